//! Where a command's latency went: the application's stamps and the captures' stamps of the same packets.

use shaper_report::stats::quantile;
use shaper_report::summary::{LatencySplit, Stage};
use shaper_toast::score::{CommandTimes, ReceiverTimes};

use super::correlate::{Correlated, ToastPacket};
use super::roles::host_of;

/// How many stages there are.
const COUNT: usize = 8;

/// The stages in the order of time. `burst` is the sender's wait for the copy that came first.
const STAGES: [&str; COUNT] = [
    "burst",
    "sender_stack",
    "link",
    "receiver_stack",
    "application",
    "answer_sender_stack",
    "answer_link",
    "answer_receiver_stack",
];

/// Splits every command that was answered into its stages; `None` where none arrived.
///
/// The stages of one command add up to its total exactly; their medians need not.
pub(super) fn split(commands: &[CommandTimes], correlated: &Correlated) -> Option<LatencySplit> {
    let mut stages: [Vec<f64>; COUNT] = Default::default();
    let mut totals = Vec::new();
    let (mut unjoined, mut unanswered) = (0, 0);
    for command in commands {
        for receiver in command.receivers.iter().filter(|receiver| receiver.intended) {
            let Some(total) = receiver.answer_received.map(|received| received.signed_since(command.commanded)) else {
                unanswered += u64::from(receiver.received.is_some());
                continue;
            };
            match stages_of(command, receiver, correlated) {
                Some(spans) => {
                    totals.push(total as f64 / 1e6);
                    for (stage, span) in stages.iter_mut().zip(spans) {
                        stage.push(span as f64 / 1e6);
                    }
                }
                None => unjoined += 1,
            }
        }
    }
    if totals.is_empty() && unjoined + unanswered == 0 {
        return None;
    }
    let stages = STAGES.iter().zip(stages).map(|(name, spans)| stage(name, spans)).collect();
    Some(LatencySplit { stages, total: stage("total", totals), unjoined, unanswered })
}

/// The spans of one command at one peer, in nanoseconds; `None` where a stamp is missing.
fn stages_of(command: &CommandTimes, receiver: &ReceiverTimes, correlated: &Correlated) -> Option<[i64; COUNT]> {
    let copy = receiver.first_copy?;
    let sent = command.copies.iter().find(|sent| sent.burst_index == copy)?.sent;
    let controller = host_of(&command.controller);
    let there =
        ToastPacket { source: command.source, session: command.session, sequence: command.sequence, burst_index: copy };
    let back = ToastPacket {
        source: receiver.source?,
        session: command.session,
        sequence: receiver.answer_sequence?,
        burst_index: 0,
    };
    let epoch = |monotonic: shaper_toast::units::Nanos| correlated.epoch(monotonic.0);
    let times = [
        epoch(command.commanded),
        epoch(sent),
        correlated.seen(controller, &there)?,
        correlated.seen(&receiver.peer, &there)?,
        epoch(receiver.received?),
        epoch(receiver.answer_sent?),
        correlated.seen(&receiver.peer, &back)?,
        correlated.seen(controller, &back)?,
        epoch(receiver.answer_received?),
    ];
    let mut spans = [0; COUNT];
    for (span, pair) in spans.iter_mut().zip(times.windows(2)) {
        if let [from, to] = pair {
            *span = to - from;
        }
    }
    Some(spans)
}

fn stage(name: &str, mut spans: Vec<f64>) -> Stage {
    spans.sort_unstable_by(f64::total_cmp);
    Stage {
        stage: name.into(),
        n: spans.len() as u64,
        min_ms: spans.first().copied(),
        p50_ms: quantile(&spans, 0.5),
        p99_ms: quantile(&spans, 0.99),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddrV4;

    use shaper_offline::join::{ClockMap, ClockSample};
    use shaper_toast::score::CopyTime;
    use shaper_toast::transport::Snapshot;
    use shaper_toast::units::Nanos as Time;
    use shaper_toast::wire::{Command, PlayState};

    use super::*;

    const MS: u64 = 1_000_000;

    fn address(host: u8) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, host].into(), 40_000)
    }

    /// A command of three copies 1 ms apart, of which one came first; the answer is sequence 9 at peer b.
    fn command(controller: &str, first: u8) -> CommandTimes {
        let at = |ms: u64| Time(ms * MS);
        let arrived = u64::from(first) + 10;
        CommandTimes {
            controller: controller.into(),
            source: address(1),
            session: 7,
            sequence: 5,
            burst_id: 3,
            command: Command::Play,
            due: at(0),
            commanded: at(0),
            after: Snapshot { state: PlayState::Playing, position: 0.0, beats: 0.0, bpm: 120.0 },
            copies: (0..3).map(|copy| CopyTime { burst_index: copy, sent: at(u64::from(copy)) }).collect(),
            receivers: vec![ReceiverTimes {
                peer: "b".into(),
                source: Some(address(2)),
                intended: true,
                local: false,
                first_copy: Some(first),
                received: Some(at(arrived + 2)),
                copies_received: 1,
                applied: Some(at(arrived + 2)),
                times_applied: 1,
                answer_sequence: Some(9),
                answer_sent: Some(at(arrived + 5)),
                answer_received: Some(at(arrived + 24)),
            }],
        }
    }

    /// Taps: a copy is at a's after 1 ms and at b's after 10, the answer at b's after 1 and at a's after 15.
    fn correlated(first: u8) -> Correlated {
        let packet = |source, sequence, burst_index| ToastPacket { source, session: 7, sequence, burst_index };
        let arrived = i64::from(first) + 10;
        let at = |ms: i64| ms * MS as i64;
        let copies =
            |behind: i64| (0..3u8).map(move |copy| (packet(address(1), 5, copy), at(i64::from(copy) + behind)));
        let answer = |ms| (packet(address(2), 9, 0), at(ms));
        let toast = HashMap::from([
            ("a".to_owned(), copies(1).chain([answer(arrived + 20)]).collect()),
            ("b".to_owned(), copies(10).chain([answer(arrived + 6)]).collect()),
        ]);
        let clock = ClockMap::new(vec![ClockSample { before: 0, realtime: 0, after: 0 }]).unwrap();
        Correlated { clock, toast }
    }

    fn medians(split: &LatencySplit) -> Vec<f64> {
        split.stages.iter().map(|stage| stage.p50_ms.unwrap()).collect()
    }

    #[test]
    fn the_wait_for_the_copy_that_came_first_is_the_burst_and_not_the_sender_s_stack() {
        for first in 0..3 {
            let split = split(&[command("a", first)], &correlated(first)).unwrap();
            assert_eq!(medians(&split), [f64::from(first), 1.0, 9.0, 2.0, 3.0, 1.0, 14.0, 4.0]);
            assert_eq!(split.total.p50_ms, Some(medians(&split).iter().sum()));
            assert_eq!((split.total.n, split.unjoined, split.unanswered), (1, 0, 0));
        }
    }

    #[test]
    fn a_second_controller_is_captured_at_its_host() {
        let split = split(&[command("a-controller", 1)], &correlated(1)).unwrap();
        assert_eq!((split.total.n, split.unjoined), (1, 0));
    }

    #[test]
    fn what_arrived_and_was_not_answered_is_counted() {
        let mut silent = command("a", 0);
        silent.receivers[0].answer_received = None;
        let only = split(&[silent.clone()], &correlated(0)).unwrap();
        assert_eq!((only.total.n, only.unjoined, only.unanswered), (0, 0, 1));
        assert!(only.stages.iter().all(|stage| stage.n == 0 && stage.p50_ms.is_none()));
        let mut lost = silent.clone();
        lost.receivers[0].received = None;
        let mut apart = command("a", 0);
        apart.sequence = 6;
        let split = split(&[command("a", 0), silent, lost, apart], &correlated(0)).unwrap();
        assert_eq!((split.total.n, split.unjoined, split.unanswered), (1, 1, 1));
    }

    #[test]
    fn nothing_that_arrived_is_nothing_to_split() {
        let mut lost = command("a", 0);
        lost.receivers[0].received = None;
        lost.receivers[0].answer_received = None;
        assert_eq!(split(&[lost], &correlated(0)), None);
        // A peer on the controller's own host has no link to split.
        let mut local = command("a", 0);
        local.receivers[0].intended = false;
        assert_eq!(split(&[local], &correlated(0)), None);
    }
}
