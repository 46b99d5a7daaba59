//! What became of a probe's packets, by both of its ends.

use std::collections::BTreeMap;

use anyhow::Context;
use shaper_report::stats::{Distribution, Proportion};
use shaper_report::summary::{CommandCounts, Commands, Expectation, Schedule, Severity, Summary};

use super::execute::Evidence;
use super::plan::Plan;
use crate::workload::probe::{Received, Sent};

/// How late the probe's sender may be.
const PROBE_SLIP_MS: f64 = 5.0;

/// What the probe's ends say.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, summary: &mut Summary) -> anyhow::Result<()> {
    let (Some(sent), Some(received)) = (evidence.logs.first(), evidence.logs.get(1)) else {
        return Ok(());
    };
    let (Ok(sent), Ok(received)) = (std::fs::read_to_string(sent), std::fs::read_to_string(received)) else {
        summary.find(Severity::Error, "an end of the probe left no result: nothing can be said of delivery");
        return Ok(());
    };
    let sent: Sent = serde_json::from_str(&sent).context("the probe sender's result cannot be read")?;
    let received: Received = serde_json::from_str(&received).context("the probe receiver's result cannot be read")?;
    tell(&plan.both_hosts()?, &sent, &received, evidence.interrupted, summary);
    Ok(())
}

fn tell([from, to]: &[String; 2], sent: &Sent, received: &Received, interrupted: bool, summary: &mut Summary) {
    let slips: Vec<f64> = sent.slip_ns.iter().map(|ns| *ns as f64 / 1e6).collect();
    let late = slips.iter().filter(|slip| **slip > PROBE_SLIP_MS).count() as u64;
    let kept = late * 100 <= slips.len() as u64;
    if !kept {
        summary.find(
            Severity::Error,
            format!("the sender could not keep its own schedule: {late} of {} packets left more than {PROBE_SLIP_MS} ms late", slips.len()),
        );
    }
    summary.schedule =
        Some(Schedule { slip_ms: Distribution::of(slips), late_count: late, bound_ms: PROBE_SLIP_MS, kept });
    // Of a stream that was cut on purpose, the rest was never due.
    let due = sent.sent + sent.refused;
    let intended = if interrupted { due } else { sent.planned };
    if sent.refused > 0 {
        summary.find(
            Severity::Error,
            format!(
                "the sender's own kernel refused {} of {intended} packets: they count as missed and never met the link; \
                 offer less, or see what is wrong with host {from}",
                sent.refused
            ),
        );
    }
    if due < intended {
        summary.find(
            Severity::Error,
            format!(
                "the sender ended after {due} of {intended} packets and nobody asked it to: the rest count as missed; \
                 what else went wrong says why"
            ),
        );
    }
    let dropped = received.dropped_at_socket;
    if dropped > 0 {
        summary.find(
            Severity::Warning,
            format!("the receiver's own socket dropped {dropped} packets: they came through the link and are left out of the delivery"),
        );
    }
    if received.damaged > 0 {
        summary.find(
            Severity::Note,
            format!(
                "{} packets reached the receiver's host with a wrong checksum: what is damaged on the way counts as missed",
                received.damaged
            ),
        );
    }
    let counts = CommandCounts {
        intended,
        delivered: received.received,
        repeated: received.duplicates,
        missed: intended.saturating_sub(received.received + dropped),
        foreign: received.foreign,
        ..CommandCounts::default()
    };
    summary.expectations.push(Expectation {
        text: "the receiver hears the sender".into(),
        held: received.received > 0,
        measured: format!("{} of {intended} packets received", received.received),
    });
    let ratio = Proportion::of(received.received, intended.saturating_sub(dropped));
    let counts = CommandCounts { delivery_ratio: ratio, ..counts };
    let mut commands = Commands::new(BTreeMap::from([(to.clone(), counts)]));
    commands.total.delivery_ratio = ratio;
    summary.commands = Some(commands);
}

#[cfg(test)]
mod tests {
    use shaper_report::summary::Run;

    use super::*;

    fn told(sent: &Sent, received: u64, interrupted: bool) -> (CommandCounts, Vec<String>) {
        let mut summary = Summary::new(Run::default());
        let hosts = ["client", "server"].map(str::to_owned);
        tell(&hosts, sent, &Received { received, ..Received::default() }, interrupted, &mut summary);
        let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let errors = errors.map(|finding| finding.text.clone()).collect();
        (summary.commands.unwrap().total, errors)
    }

    #[test]
    fn what_the_sender_s_own_kernel_refused_is_missed_and_an_error() {
        let sent = Sent { planned: 10, sent: 7, refused: 3, slip_ns: vec![0; 10] };
        let (total, errors) = told(&sent, 7, false);
        assert_eq!((total.intended, total.delivered, total.missed), (10, 7, 3));
        assert_eq!(total.delivery_ratio, Proportion::of(7, 10));
        let words = ["refused 3 of 10", "host client"];
        assert!(matches!(&errors[..], [error] if words.iter().all(|word| error.contains(word))), "{errors:?}");
    }

    #[test]
    fn a_stream_that_ends_short_is_an_error_unless_it_was_interrupted() {
        let sent = Sent { planned: 10, sent: 4, refused: 0, slip_ns: vec![0; 4] };
        let (total, errors) = told(&sent, 4, false);
        assert_eq!((total.intended, total.missed), (10, 6));
        assert!(matches!(&errors[..], [error] if error.contains("after 4 of 10")), "{errors:?}");
        let (total, errors) = told(&sent, 4, true);
        assert_eq!((total.intended, total.missed), (4, 0));
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn what_was_damaged_on_the_way_is_missed_and_what_found_a_full_buffer_is_left_out() {
        let mut summary = Summary::new(Run::default());
        let sent = Sent { planned: 10, sent: 10, refused: 0, slip_ns: vec![0; 10] };
        let received = Received { received: 5, dropped_at_socket: 2, damaged: 3, ..Received::default() };
        tell(&["a", "b"].map(str::to_owned), &sent, &received, false, &mut summary);
        let total = summary.commands.unwrap().total;
        assert_eq!((total.delivered, total.missed), (5, 3));
        assert_eq!(total.delivery_ratio, Proportion::of(5, 8));
        let said: Vec<_> = summary.findings.iter().map(|finding| (finding.severity, &finding.text[..])).collect();
        let [(Severity::Warning, full), (Severity::Note, damaged)] = said[..] else { panic!("{said:?}") };
        assert!(full.contains("dropped 2 packets") && damaged.contains("3 packets"), "{said:?}");
    }

    #[test]
    fn a_whole_stream_is_none() {
        let sent = Sent { planned: 2, sent: 2, refused: 0, slip_ns: vec![0; 2] };
        assert!(told(&sent, 1, false).1.is_empty());
    }
}
