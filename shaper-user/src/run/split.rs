//! Where a command's latency went: the application's stamps and the captures' stamps of the same packets.

use shaper_report::stats::quantile;
use shaper_report::summary::{LatencySplit, Stage};
use shaper_toast::score::{CommandTimes, ReceiverTimes};

use super::correlate::{Correlated, ToastPacket};

/// The stages in the order of time.
const STAGES: [&str; 7] = [
    "sender_stack",
    "link",
    "receiver_stack",
    "application",
    "answer_sender_stack",
    "answer_link",
    "answer_receiver_stack",
];

/// Splits every command that was answered into its stages; `None` where no command was.
///
/// The seven stages of one command add up to its total exactly; their medians need not.
pub(super) fn split(commands: &[CommandTimes], correlated: &Correlated) -> Option<LatencySplit> {
    let mut stages: [Vec<f64>; 7] = Default::default();
    let mut totals = Vec::new();
    let mut unjoined = 0;
    for command in commands {
        for receiver in &command.receivers {
            let Some(total) = receiver.answer_received.map(|received| received.signed_since(command.commanded)) else {
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
    if totals.is_empty() && unjoined == 0 {
        return None;
    }
    let stages = STAGES.iter().zip(stages).map(|(name, spans)| stage(name, spans)).collect();
    Some(LatencySplit { stages, total: stage("total", totals), unjoined })
}

/// The seven spans of one command at one peer, in nanoseconds; `None` where a stamp is missing.
fn stages_of(command: &CommandTimes, receiver: &ReceiverTimes, correlated: &Correlated) -> Option<[i64; 7]> {
    let copy = receiver.first_copy?;
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
        correlated.seen(&command.controller, &there)?,
        correlated.seen(&receiver.peer, &there)?,
        epoch(receiver.received?),
        epoch(receiver.answer_sent?),
        correlated.seen(&receiver.peer, &back)?,
        correlated.seen(&command.controller, &back)?,
        epoch(receiver.answer_received?),
    ];
    let mut spans = [0; 7];
    for (span, pair) in spans.iter_mut().zip(times.windows(2)) {
        if let [from, to] = pair {
            *span = to - from;
        }
    }
    Some(spans)
}

fn stage(name: &str, mut spans: Vec<f64>) -> Stage {
    spans.sort_unstable_by(f64::total_cmp);
    Stage { stage: name.into(), n: spans.len() as u64, p50_ms: quantile(&spans, 0.5), p99_ms: quantile(&spans, 0.99) }
}
