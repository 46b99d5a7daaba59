//! What the link did to the application: the workload's own score, in the words of the summary.

use anyhow::Context;
use shaper_profile::{CompiledDirection, CompiledLink};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{
    Clock, CommandCounts, Commands, Convergence, Expectation, Schedule, Severity, Spread, Summary, SyncFailures, Window,
};
use shaper_toast::burst::BurstConfig;
use shaper_toast::log::{self, Log, ReadError};
use shaper_toast::score::{self, Asymmetry, CommandTimes, OutageWindow, PeerScore, Score, ScoreConfig, Times};
use shaper_toast::units::Nanos as Time;

use super::correlate::Correlated;
use super::execute::{Evidence, is_log};
use super::plan::Plan;
use super::workload::ToastPlan;
use super::{grade, scenarios, split};

/// Reads the logs, scores them and fills the summary in.
pub(super) fn judge(
    plan: &Plan,
    toast: &ToastPlan,
    evidence: &Evidence,
    correlated: &Correlated,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let logs = read_logs(evidence, summary)?;
    let peers = plan.peer_names();
    let config = score_config(plan, evidence, &peers);
    let score = score::score(&logs, &config);
    let commands = score::command_times(&logs, &peers);
    fill(plan, toast, &score, &commands, evidence, summary);
    scenarios::tell(toast, &score, &commands, summary);
    scenarios::leaves(&logs, correlated, summary);
    summary.latency_split = split::split(&commands, correlated);
    Ok(())
}

/// When commands were due, since the start of the run, and how long each took to change a peer's state.
pub(super) fn times_to_state(evidence: &Evidence, peers: &[String]) -> Vec<(u64, u64)> {
    let logs: Vec<Log> =
        evidence.logs.iter().filter(|path| is_log(path)).filter_map(|path| log::read_log(path).ok()).collect();
    score::command_times(&logs, peers)
        .iter()
        .flat_map(|command| {
            command.receivers.iter().filter(|receiver| receiver.intended).filter_map(|receiver| {
                let took = receiver.applied?.0.saturating_sub(command.due.0);
                Some((command.due.0.saturating_sub(evidence.start.0), took))
            })
        })
        .collect()
}

fn read_logs(evidence: &Evidence, summary: &mut Summary) -> anyhow::Result<Vec<Log>> {
    let mut logs = Vec::new();
    for path in evidence.logs.iter().filter(|path| is_log(path)) {
        match log::read_log(path) {
            Ok(log) => logs.push(log),
            // A role that died early has said so itself; what it should have heard counts as missed.
            Err(error @ (ReadError::Io { .. } | ReadError::NoHeader { .. })) => {
                summary.find(Severity::Error, format!("{error}"));
            }
            Err(error) => return Err(error).context("a role's log cannot be read"),
        }
    }
    Ok(logs)
}

fn score_config(plan: &Plan, evidence: &Evidence, peers: &[String]) -> ScoreConfig {
    let largest = Time(plan.largest_one_way(&evidence.links).0);
    let mut config = ScoreConfig::new(largest, BurstConfig::default().longest(), peers.to_vec());
    config.reference = plan.host_names().into_iter().next();
    config.asymmetries = asymmetries(&evidence.links, peers);
    let star = evidence.links.len() > 1;
    for (index, link) in evidence.links.iter().enumerate() {
        let peer = if star { index.checked_sub(1).and_then(|peer| peers.get(peer)).cloned() } else { None };
        config.outages.extend(link.windows.iter().map(|window| OutageWindow {
            peer: peer.clone(),
            from: Time(evidence.start.0 + window.start.0),
            to: Time(evidence.start.0 + window.end.0),
        }));
    }
    config
}

/// By how much longer the way from a peer to the controller is than the way back, where it is.
fn asymmetries(links: &[CompiledLink], peers: &[String]) -> Vec<Asymmetry> {
    let mean = |direction: &CompiledDirection| direction.expected.delay.mean().0.cast_signed();
    let found: Vec<i64> = match links {
        // The peer sits at the far end of the only link.
        [pair] => vec![mean(&pair.b_to_a) - mean(&pair.a_to_b)],
        // Each way crosses the sender's link upwards and the receiver's downwards; the first link is the controller's.
        [controller, others @ ..] => others
            .iter()
            .map(|peer| {
                (mean(&peer.a_to_b) + mean(&controller.b_to_a)) - (mean(&controller.a_to_b) + mean(&peer.b_to_a))
            })
            .collect(),
        [] => Vec::new(),
    };
    let asymmetry =
        |(peer, forward_minus_backward): (&String, i64)| Asymmetry { peer: peer.clone(), forward_minus_backward };
    peers.iter().zip(found).filter(|(_, difference)| *difference != 0).map(asymmetry).collect()
}

fn fill(
    plan: &Plan,
    toast: &ToastPlan,
    score: &Score,
    commands: &[CommandTimes],
    evidence: &Evidence,
    summary: &mut Summary,
) {
    let peers = score.peers.iter().map(|peer| (peer.peer.clone(), command_counts(peer))).collect();
    let mut counted = Commands::new(peers);
    counted.total.delivery_ratio = proportion(score.delivery);
    counted.total.self_heard += score.controller_self_heard;
    let ms = |from: Time, to: Option<Time>| to.map(|to| to.signed_since(from) as f64 / 1e6);
    let of_intended = |of: fn(&score::ReceiverTimes) -> Option<Time>, missing_as: Missing| {
        let all: Vec<Option<f64>> = commands
            .iter()
            .flat_map(|command| {
                command
                    .receivers
                    .iter()
                    .filter(|receiver| receiver.intended)
                    .map(move |receiver| ms(command.due, of(receiver)))
            })
            .collect();
        let missing = all.iter().filter(|took| took.is_none()).count() as u64;
        Distribution::with_missing(all.into_iter().flatten().collect(), missing, missing_as)
    };
    summary.response_time_ms = Some(of_intended(|receiver| receiver.answer_received, Missing::Excluded));
    summary.response_time_all_ms = Some(of_intended(|receiver| receiver.answer_received, Missing::Infinite));
    summary.time_to_state_ms = Some(of_intended(|receiver| receiver.applied, Missing::Excluded));
    summary.time_to_state_all_ms = Some(of_intended(|receiver| receiver.applied, Missing::Infinite));
    summary.spread_ms = (score.peers.len() > 1).then(|| Spread {
        distribution: times(&score.spread.times),
        beat_fraction: score.spread.beats_p95,
        p95_all: score.spread.times_all.p95.map(Time::as_millis_f64),
    });
    summary.sync_failures = Some(SyncFailures {
        total: score.peers.iter().map(|peer| peer.sync.failures).sum(),
        judged: score.peers.iter().map(|peer| peer.sync.judged).sum(),
        peers: score.peers.iter().map(|peer| (peer.peer.clone(), peer.sync.failures)).collect(),
    });
    let controller = plan.host_names().into_iter().next();
    for peer in &score.peers {
        summary.position_drift_ppm.insert(peer.peer.clone(), peer.drift.map(|drift| drift.drift.0));
        if let Some(score) = peer.clocks.iter().find(|clock| Some(&clock.controller) == controller.as_ref()) {
            let clock = &score.peer_ahead;
            summary.clock.insert(
                peer.peer.clone(),
                Clock {
                    offset_estimated_us: Some(clock.estimated_offset),
                    offset_injected_us: Some(clock.injected_offset),
                    offset_error_us: Some(clock.error),
                    asymmetry_error_us: clock.asymmetry_error,
                    offset_bound_us: Some(clock.bound),
                    skew_estimated_ppm: clock.estimated_skew.map(|skew| skew.0),
                    skew_injected_ppm: Some(clock.injected_skew.0),
                    exchanges: score.exchanges,
                },
            );
        }
    }
    summary.convergence = score.convergence.iter().map(|convergence| convergence_of(convergence, evidence)).collect();
    let slip = &score.schedule;
    summary.schedule = Some(Schedule {
        slip_ms: times(&slip.slip),
        late_count: slip.over_limit,
        bound_ms: slip.limit.as_millis_f64(),
        kept: slip.kept,
    });
    if !slip.kept {
        summary.find(Severity::Error, score.schedule.statement());
    }
    summary.grade = Some(grade::grade(plan, toast, score, evidence));
    heard(&counted, toast, summary);
    for warning in &score.warnings {
        if !summary.findings.iter().any(|finding| finding.text == *warning) {
            summary.find(Severity::Warning, warning.clone());
        }
    }
    summary.commands = Some(counted);
}

/// Whether anybody was there at all.
fn heard(counted: &Commands, toast: &ToastPlan, summary: &mut Summary) {
    let named = |of: fn(&CommandCounts) -> bool| -> Vec<&str> {
        counted.peers.iter().filter(|(_, counts)| of(counts)).map(|(peer, _)| peer.as_str()).collect()
    };
    let spoken_to = named(|counts| counts.intended > 0);
    let left_out = named(|counts| counts.intended == 0);
    let deaf = named(|counts| counts.intended > 0 && counts.delivered == 0);
    let left_out =
        if left_out.is_empty() { String::new() } else { format!("; no command was meant for {}", left_out.join(", ")) };
    summary.expectations.push(Expectation {
        text: "every peer hears the controller".into(),
        held: deaf.is_empty() && counted.total.intended > 0,
        measured: if counted.total.intended == 0 {
            "no command was sent".into()
        } else {
            format!("{} of {} peers did{left_out}", spoken_to.len() - deaf.len(), spoken_to.len())
        },
    });
    if !deaf.is_empty() {
        let own = counted.total.self_heard;
        let absent = |peer: &str| toast.absent.iter().any(|absent| absent == peer);
        let told = |peer: &&str| format!("{peer}{}", if absent(peer) { " (not started, as asked)" } else { "" });
        let deaf: Vec<String> = deaf.iter().map(told).collect();
        summary.find(
            Severity::Error,
            format!(
                "nobody listens at {}: delivered {} of {}; the {own} own packets that were heard are no delivery",
                deaf.join(", "),
                counted.total.delivered,
                counted.total.intended,
            ),
        );
    }
}

fn command_counts(peer: &PeerScore) -> CommandCounts {
    CommandCounts {
        intended: peer.intended,
        delivered: peer.delivered,
        applied_once: peer.applied_once,
        repeated: peer.repeated,
        superseded: peer.superseded,
        missed: peer.missed,
        out_of_order: peer.out_of_order,
        self_heard: peer.self_heard,
        foreign: peer.foreign,
        delivery_ratio: Proportion::of(0, 0),
    }
    .with_ratio()
}

fn convergence_of(convergence: &score::Convergence, evidence: &Evidence) -> Convergence {
    let since = |time: Time| (time.0.saturating_sub(evidence.start.0)) as f64 / 1e6;
    let took = |took: &Option<Time>| took.map(Time::as_millis_f64);
    Convergence {
        direction: "both".into(),
        outage: Window { start_ms: since(convergence.outage.from), end_ms: since(convergence.outage.to) },
        peers_ms: convergence.peers.iter().map(|(peer, time)| (peer.clone(), took(time))).collect(),
        tested: convergence.tested,
        within_beat: convergence.within_a_beat,
    }
}

fn proportion(share: score::Proportion) -> Proportion {
    Proportion::of(share.count, share.of)
}

fn times(times: &Times) -> Distribution {
    let ms = |time: Option<Time>| time.map(Time::as_millis_f64);
    Distribution {
        n: times.n,
        missing: times.missing,
        missing_as: Missing::Excluded,
        mean: None,
        min: ms(times.min),
        p50: ms(times.p50),
        p95: ms(times.p95),
        p99: ms(times.p99),
        p999: None,
        max: ms(times.max),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shaper_common::units::Nanos;
    use shaper_profile::Compile;
    use shaper_profile::quantity::Duration;
    use shaper_report::summary::Run;

    use super::*;

    /// A link of constant delays, in milliseconds.
    fn link(number: u32, up: u64, down: u64) -> CompiledLink {
        let text = format!("[up]\ndelay = \"{up}ms\"\n[down]\ndelay = \"{down}ms\"\n");
        let profile = shaper_profile::presets::parse("link.toml", "link", &text).unwrap();
        profile.link.compile(&Compile { seed: 1, link: number, horizon: Duration(Nanos(1_000_000_000)) }).unwrap()
    }

    fn found(links: &[CompiledLink], peers: &[&str]) -> Vec<(String, i64)> {
        let peers: Vec<String> = peers.iter().map(|&peer| peer.into()).collect();
        let ms = |asymmetry: Asymmetry| (asymmetry.peer, asymmetry.forward_minus_backward / 1_000_000);
        asymmetries(links, &peers).into_iter().map(ms).collect()
    }

    #[test]
    fn an_asymmetry_is_that_of_the_whole_way_to_the_controller_and_back() {
        // In a pair the controller is at a, and its commands go up.
        assert_eq!(found(&[link(0, 3, 10)], &["b"]), [("b".to_owned(), 7)]);
        // To a: 5 + 2, 1 + 2. From a: 40 + 6, 40 + 9.
        let star = [link(0, 40, 2), link(1, 5, 6), link(2, 1, 9)];
        assert_eq!(found(&star, &["b", "c"]), [("b".to_owned(), -39), ("c".to_owned(), -46)]);
        // Links alike: each way goes up one and down another.
        let star = [link(0, 40, 2), link(1, 40, 2), link(2, 40, 2)];
        assert_eq!(found(&star, &["b", "c"]), []);
    }

    fn judged(peers: &[(&str, u64, u64)], absent: &[&str]) -> Summary {
        let counts = |intended, delivered| CommandCounts { intended, delivered, ..CommandCounts::default() };
        let peers = peers.iter().map(|&(peer, intended, delivered)| (peer.to_owned(), counts(intended, delivered)));
        let counted = Commands::new(peers.collect::<BTreeMap<_, _>>());
        let absent = absent.iter().map(|&peer| peer.into()).collect();
        let mut summary = Summary::new(Run::default());
        heard(&counted, &ToastPlan { absent, ..ToastPlan::default() }, &mut summary);
        summary
    }

    #[test]
    fn who_was_not_started_is_told_from_who_does_not_hear() {
        let summary = judged(&[("b", 10, 0), ("c", 10, 0), ("d", 10, 9)], &["c"]);
        let text = &summary.findings[0].text;
        assert!(text.starts_with("nobody listens at b, c (not started, as asked): delivered 9 of 30"), "{text}");
        assert_eq!(
            (summary.expectations[0].held, summary.expectations[0].measured.as_str()),
            (false, "1 of 3 peers did")
        );
    }

    #[test]
    fn a_peer_that_no_command_was_meant_for_does_not_count_as_hearing() {
        let summary = judged(&[("b", 10, 9), ("c", 0, 0)], &[]);
        let [expected] = &summary.expectations[..] else { panic!("{:?}", summary.expectations) };
        assert!(expected.held && summary.findings.is_empty());
        assert_eq!(expected.measured, "1 of 1 peers did; no command was meant for c");
    }
}
