//! What was set up on purpose beside the link, and what came of it: who comes and goes, tempo, a second controller.

use shaper_report::stats::{Distribution, Missing};
use shaper_report::summary::{Leave, Severity, Summary, Tempo};
use shaper_toast::log::{Event, Log, Role};
use shaper_toast::score::{CommandTimes, ReceiverTimes, Score};
use shaper_toast::wire::Command;

use super::correlate::Correlated;
use super::workload::ToastPlan;

/// Tells what the score knows of them.
pub(super) fn tell(toast: &ToastPlan, score: &Score, commands: &[CommandTimes], summary: &mut Summary) {
    if let Some(interleaved) = &toast.tempo {
        let values: Vec<String> = interleaved.values.iter().map(f64::to_string).collect();
        let every = interleaved.every;
        for (index, peer) in score.peers.iter().enumerate() {
            summary.tempo.insert(peer.peer.clone(), tempo(index, commands));
        }
        let total = |of: fn(&Tempo) -> u64| summary.tempo.values().map(of).sum::<u64>();
        let (applied, intended) = (total(|tempo| tempo.applied), total(|tempo| tempo.intended));
        let values = values.join(", ");
        let text = format!(
            "every {every}th command sets the tempo, in turn to {values} beats a minute: applied {applied} of {intended}"
        );
        summary.find(Severity::Note, text);
    }
    for peer in &score.peers {
        if let Some(late) = &peer.late_join {
            let (severity, text) = match late.first_right_after {
                Some(took) => (Severity::Note, format!("{} joined late and was right {took} after that", peer.peer)),
                None => (Severity::Warning, format!("{} joined late and never was right", peer.peer)),
            };
            summary.find(severity, text);
        }
    }
    if let Some(contention) = score.contention.as_ref().filter(|contention| contention.common > 0) {
        let severity = if contention.same_final_state { Severity::Note } else { Severity::Warning };
        summary.find(
            severity,
            format!(
                "two controllers ({}): {} commands interleaved; peers applied them {} and ended in {}",
                contention.controllers.join(", "),
                contention.interleaved,
                if contention.same_order { "in the same order" } else { "in different orders" },
                if contention.same_final_state { "the same state" } else { "different states" },
            ),
        );
    }
}

/// What became of the tempo commands at the peer that is receiver `index`.
fn tempo(index: usize, commands: &[CommandTimes]) -> Tempo {
    let meant: Vec<(&CommandTimes, &ReceiverTimes)> = commands
        .iter()
        .filter(|command| command.command == Command::Bpm)
        .filter_map(|command| Some((command, command.receivers.get(index).filter(|receiver| receiver.intended)?)))
        .collect();
    let tally = |what: fn(&ReceiverTimes) -> bool| meant.iter().filter(|(_, receiver)| what(receiver)).count() as u64;
    let took = |(command, receiver): &(&CommandTimes, &ReceiverTimes)| {
        receiver.applied.map(|applied| applied.signed_since(command.due) as f64 / 1e6)
    };
    let times: Vec<f64> = meant.iter().filter_map(took).collect();
    let applied = tally(|receiver| receiver.applied.is_some());
    Tempo {
        intended: meant.len() as u64,
        applied,
        superseded: tally(|receiver| receiver.received.is_some() && receiver.applied.is_none()),
        missed: tally(|receiver| receiver.received.is_none()),
        time_to_tempo_ms: Distribution::with_missing(times, meant.len() as u64 - applied, Missing::Excluded),
    }
}

/// What the network still carried to the host of a peer that had left: its socket falls silent at once, its link when
/// the switch has heeded the leave and what had passed before is through.
pub(super) fn leaves(logs: &[Log], correlated: &Correlated, summary: &mut Summary) {
    for log in logs.iter().filter(|log| log.role == Role::Peer) {
        let left = log.events.iter().find_map(|event| match event {
            Event::Left { begun, .. } => Some(correlated.epoch(begun.0)),
            _ => None,
        });
        let Some(left) = left else { continue };
        let after: Vec<i64> =
            correlated.of_others(&log.peer_id, *log.source.ip()).filter(|at| *at > left).map(|at| at - left).collect();
        let leave = Leave { frames: after.len() as u64, last_ms: after.iter().max().map(|ns| *ns as f64 / 1e6) };
        let peer = &log.peer_id;
        let text = match leave.last_ms {
            Some(last) => format!(
                "{peer}: the network still carried {} frames to its host after it left the group, the last {last:.0} ms \
                 later",
                leave.frames
            ),
            None => format!("{peer}: the network carried no frame to its host after it left the group"),
        };
        summary.find(Severity::Note, text);
        summary.leave.insert(peer.clone(), leave);
    }
}
