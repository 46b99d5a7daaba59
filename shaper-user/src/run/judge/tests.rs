//! Judgements of evidence that was made up: records of a kernel that did, or did not do, what it was told.

use std::time::SystemTime;

use hdrhistogram::Histogram;
use shaper_channel::{Channel, ChannelSpec};
use shaper_common::fate::Cause;
use shaper_common::layout::{Counts, Params, Record};
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;
use shaper_delayline::Released;
use shaper_engine::{Account, DirectionOutcome, DirectionSpec, Outcome, Recorded, Recording};
use shaper_profile::shift::MISSES;
use shaper_report::agreement::{Agreement, Check};

use super::findings::LATENESS;
use super::links::links;
use super::*;
use crate::run::decided::rate;
use crate::run::plan::testing;
use crate::run::workload::ProbePlan;

const MS: u64 = 1_000_000;

/// A probe's plan on a link with these settings.
fn plan(link: &str, packets: u64, interval_ns: u64) -> Plan {
    testing::plan(Workload::Probe(ProbePlan { packets, interval_ns, payload: 172 }), link)
}

/// What a kernel that runs `ran` leaves of packets of 214 bytes, where it was told `told`.
fn outcome(name: &str, told: &Params, ran: &Params, arrivals: impl Iterator<Item = u64>) -> DirectionOutcome {
    let mut channel = Channel::new(ChannelSpec::plain(*ran));
    let records: Vec<Record> = (0..)
        .zip(arrivals)
        .map(|(sequence, arrival)| {
            let packet = Packet { now: Nanos(arrival), len: 214, ..Packet::default() };
            let _ = channel.decide(&packet);
            let fate = channel.state().work.fate;
            Record { sequence, packet, fate, before: *channel.met(), ..Record::default() }
        })
        .collect();
    let counts = channel.state().counts;
    let dropped = [(Cause::Loss, counts.loss), (Cause::Queue, counts.queue)];
    let account = Account {
        arrived: records.len() as u64,
        out: counts.forwarded,
        dropped: dropped.into_iter().filter(|(_, count)| *count > 0).collect(),
        ..Account::default()
    };
    DirectionOutcome {
        spec: DirectionSpec { name: name.into(), channel: ChannelSpec::plain(*told), ..DirectionSpec::default() },
        account,
        oracle: shaper_engine::Verdict { checked: records.len() as u64, ..Default::default() },
        by_rule: Vec::new(),
        recorded: Recorded { recorded: records.len() as u64, ..Recorded::default() },
        releases_lost: 0,
        let_pass: 0,
        records,
        releases: Vec::new(),
        copies: Vec::new(),
        lateness: Histogram::new(3).unwrap(),
    }
}

/// Packets at the plan's interval, from a second on.
fn steady(plan: &Plan) -> impl Iterator<Item = u64> + use<> {
    let Workload::Probe(ProbePlan { packets, interval_ns, .. }) = plan.workload else { panic!("a probe") };
    (0..packets).map(move |index| 1_000 * MS + index * interval_ns)
}

/// The evidence of a plan's kernel, which does `ran` of what the forward direction was told; nothing runs backward.
fn evidence(plan: &Plan, ran: impl Fn(Params) -> Params) -> Evidence {
    let links = plan.compile().unwrap();
    let [forward, backward] = [links[0].a_to_b.channel.params, links[0].b_to_a.channel.params];
    Evidence {
        started: SystemTime::UNIX_EPOCH,
        start: Nanos(1_000 * MS),
        outcome: Outcome {
            directions: vec![
                outcome("a_to_b", &forward, &ran(forward), steady(plan)),
                outcome("b_to_a", &backward, &backward, std::iter::empty()),
            ],
            leaked_frames: 0,
            starved: 0,
        },
        links,
        captured: Vec::new(),
        clocks: Vec::new(),
        idle_errors: vec![100_000; 300],
        device_drops: Vec::new(),
        logs: Vec::new(),
        interrupted: false,
        ending: Nanos(u64::MAX),
        broken: Vec::new(),
        usage: Vec::new(),
        server_outage: None,
        programs: Vec::new(),
    }
}

fn judged(plan: &Plan, evidence: &Evidence) -> Summary {
    let mut summary = Summary::new(Run::default());
    links(plan, evidence, &mut summary).unwrap();
    summary
}

/// What a check of the forward direction says.
fn check<'a>(summary: &'a Summary, name: &str) -> &'a Check {
    summary.directions["a_to_b"].agree.checks.iter().find(|check| check.name == name).unwrap()
}

/// The releases of all that the forward direction let through, each this late.
fn release(evidence: &mut Evidence, late: Nanos) {
    let forward = &mut evidence.outcome.directions[0];
    let through = forward.records.iter().filter(|record| record.fate.cause == Cause::None as u32);
    forward.releases = through
        .map(|record| Released {
            id: record.id(),
            intended: record.release(),
            actual: record.release().saturating_add(late),
            direction: 0,
            copy: 0,
            sent: true,
        })
        .collect();
}

/// The same link, with each packet a millisecond later than it was told.
fn late(params: Params) -> Params {
    Params { delay: params.delay.saturating_add(Nanos(MS)), ..params }
}

fn errors(summary: &Summary) -> Vec<&str> {
    let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.text.as_str()).collect()
}

#[test]
fn what_stands_beside_the_settings_is_of_packets_that_no_rule_matched() {
    let plan = plan("delay = \"20ms\"\n[[rule]]\nname = \"v\"\nmatch = \"udp\"\nloss = \"50%\"", 1_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    let forward = &mut evidence.outcome.directions[0];
    // Of a thousand more packets, by the rule, half are lost.
    let of_rule = forward.records.clone().into_iter().map(|mut record| {
        record.rule = 1;
        if record.sequence % 2 == 0 {
            record.fate.cause = Cause::Loss as u32;
        } else {
            record.fate.release = record.packet.now;
        }
        record
    });
    let of_rule: Vec<Record> = of_rule.collect();
    forward.records.extend(of_rule);
    forward.account.arrived += 1_000;
    forward.account.dropped.insert(Cause::Loss, 500);
    forward.by_rule = vec![(1_000, Counts { forwarded: 500, loss: 500, ..Counts::default() })];
    let summary = judged(&plan, &evidence);
    let measured = &summary.directions["a_to_b"].measured;
    assert_eq!((measured.loss.count, measured.loss.of, measured.loss_burst), (0, 1_000, None));
    assert_eq!((measured.outage.of, measured.queue.of, measured.zero_delay.of), (1_000, 1_000, 1_000));
    let delay = &measured.intended_delay_ms;
    assert_eq!((delay.n, delay.missing, delay.min, delay.max), (1_000, 0, Some(20.0), Some(20.0)));
    assert_eq!((measured.packets, measured.forwarded), (2_000, 1_500));
    assert_eq!((measured.rules[0].packets, measured.rules[0].dropped["loss"]), (1_000, 500));
}

#[test]
fn releases_a_millisecond_late_do_not_agree() {
    for link in [
        "delay = \"20ms\"",
        "delay = \"20ms\"\norder = \"keep\"",
        "delay = \"20ms\"\nrate = \"30mbit\"",
        "delay = \"5ms\"\njitter = \"4ms\"",
        "delay = \"5ms\"\njitter = \"4ms\"\ndistribution = \"normal\"",
        "delay = \"5ms\"\njitter = \"4ms\"\norder = \"keep\"",
        "delay = \"5ms\"\njitter = \"4ms\"\nrate = \"30mbit\"",
    ] {
        let plan = plan(link, 10_000, 4 * MS);
        let as_told = judged(&plan, &evidence(&plan, |params| params));
        assert_eq!(check(&as_told, "intended delay").result, Agreement::Yes, "{link}: {as_told:?}");
        let too_late = judged(&plan, &evidence(&plan, late));
        assert_eq!(check(&too_late, "intended delay").result, Agreement::No, "{link}: {too_late:?}");
        assert!(!errors(&too_late).is_empty(), "{link}");
    }
}

#[test]
fn a_shift_is_foretold_and_another_is_refuted() {
    let plan = plan("delay = \"20ms\"\njitter = \"4ms\"\norder = \"keep\"", 10_000, MS);
    let as_told = judged(&plan, &evidence(&plan, |params| params));
    assert_eq!(check(&as_told, "shift").result, Agreement::Yes, "{as_told:?}");
    // Loss, zero delay and intended delay each way, and the shift.
    let agree = &as_told.directions["a_to_b"].agree;
    assert_eq!(agree.family_size, 7);
    assert!(MISSES <= agree.family_wise_error / f64::from(agree.family_size));
    let wider = judged(&plan, &evidence(&plan, |params| Params { jitter: Nanos(5 * MS), ..params }));
    assert_eq!(check(&wider, "shift").result, Agreement::No, "{wider:?}");
}

/// Packets of 214 bytes, two at a time: at 30 Mbit/s each takes 57,066 2/3 ns.
fn in_twos(plan: &Plan) -> impl Iterator<Item = u64> + use<> {
    steady(plan).flat_map(|at| [at, at + 1_000])
}

#[test]
fn a_rate_holds_through_many_short_busy_times_and_another_rate_does_not() {
    let plan = plan("rate = \"30mbit\"", 5_000, MS);
    let told = plan.compile().unwrap()[0].a_to_b.channel.params;
    let of = |ran: Params| rate(&outcome("a_to_b", &told, &ran, in_twos(&plan)));
    let held = of(told);
    // The last packet of all has no successor, whose record would tell.
    assert_eq!((held.result, held.n), (Agreement::Yes, 4_999), "{held:?}");
    assert!((held.measured.unwrap() - 30e6).abs() <= held.tolerance, "{held:?}");
    for other in [29_999_000, 30_001_000] {
        let other = of(Params { rate: shaper_common::units::BitsPerSec(other), ..told });
        assert_eq!(other.result, Agreement::No, "{other:?}");
    }
    // A record that is missing takes its packet's service time with it, and no more.
    let mut gaps = outcome("a_to_b", &told, &told, in_twos(&plan));
    gaps.records.retain(|record| record.sequence % 5 != 3);
    assert_eq!(rate(&gaps).result, Agreement::Yes, "{:?}", rate(&gaps));
    let sparse = outcome("a_to_b", &told, &told, steady(&plan));
    assert_eq!(rate(&sparse).result, Agreement::TooFew);
}

#[test]
fn the_share_at_zero_that_is_shown_is_the_one_that_is_judged() {
    for link in ["delay = \"1ms\"\njitter = \"2ms\"\nrate = \"30mbit\"", "jitter = \"2ms\"\norder = \"keep\""] {
        let plan = plan(link, 10_000, MS);
        let summary = judged(&plan, &evidence(&plan, |params| params));
        let (shown, checked) = (&summary.directions["a_to_b"].measured.zero_delay, check(&summary, "zero delay"));
        assert_eq!((shown.ratio, shown.of), (checked.measured, checked.n), "{link}");
        assert_eq!(checked.result, Agreement::Yes, "{link}: {checked:?}");
    }
}

#[test]
fn packets_without_a_trace_are_an_error_and_forgotten_flows_and_unread_packets_are_told() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    let account = &mut evidence.outcome.directions[0].account;
    account.dropped.insert(Cause::Trace, 7);
    account.out -= 7;
    (account.unread, account.flows_evicted) = (3, 5);
    let summary = judged(&plan, &evidence);
    let errors = errors(&summary);
    assert!(matches!(errors[..], [text] if text.starts_with("7 packets found no trace")), "{errors:?}");
    let told = |words: &str| summary.findings.iter().any(|finding| finding.text.starts_with(words));
    assert!(told("3 packets went by no rule") && told("5 times a flow was forgotten"), "{:?}", summary.findings);
}

#[test]
fn what_the_harness_lost_is_an_error_and_no_loss_of_the_link() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    for cause in [Cause::Metadata, Cause::Redirect, Cause::RxRing, Cause::FillRing, Cause::Transmit] {
        let mut evidence = evidence(&plan, |params| params);
        let account = &mut evidence.outcome.directions[0].account;
        account.dropped.insert(cause, 10);
        account.out -= 10;
        let summary = judged(&plan, &evidence);
        let errors = errors(&summary);
        assert!(matches!(errors[..], [text] if text.starts_with("the harness itself lost 10 packets")), "{errors:?}");
        let measured = &summary.directions["a_to_b"].measured;
        let lost = [&measured.loss, &measured.outage, &measured.queue].map(|lost| lost.count);
        assert_eq!((lost, measured.forwarded), ([0; 3], 10_000), "{cause:?}");
        assert_eq!(check(&summary, "loss").result, Agreement::Yes, "{cause:?}");
        assert_eq!(summary.conservation.total.difference, 0, "{cause:?}");
        assert_eq!(summary.conservation.total.dropped_by_cause[cause.name()], 10);
    }
}

#[test]
fn copies_are_in_the_account_and_no_packets_of_the_link() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    let account = &mut evidence.outcome.directions[0].account;
    (account.copies, account.out) = (30, account.out + 30);
    let summary = judged(&plan, &evidence);
    assert_eq!(errors(&summary), [""; 0]);
    let total = &summary.conservation.total;
    assert_eq!((total.arrived, total.copies, total.out, total.difference), (10_000, 30, 10_030, 0));
    let measured = &summary.directions["a_to_b"].measured;
    assert_eq!((measured.packets, measured.forwarded), (10_000, 10_000));
    // One that found no frame is a loss of the harness.
    let account = &mut evidence.outcome.directions[0].account;
    account.out -= 1;
    account.dropped.insert(Cause::FillRing, 1);
    let summary = judged(&plan, &evidence);
    let errors = errors(&summary);
    assert!(matches!(errors[..], [text] if text.starts_with("the harness itself lost 1 packets")), "{errors:?}");
}

#[test]
fn a_copy_that_left_before_its_time_is_an_error() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    release(&mut evidence, Nanos(1_000));
    let forward = &mut evidence.outcome.directions[0];
    let copies = forward.releases.iter().map(|release| Released { copy: 1, ..*release });
    forward.copies = copies.collect();
    assert_eq!(errors(&judged(&plan, &evidence)), [""; 0]);
    let copy = &mut evidence.outcome.directions[0].copies[5_000];
    copy.actual = copy.intended.saturating_sub(Nanos(1));
    let summary = judged(&plan, &evidence);
    assert_eq!(check(&summary, LATENESS).n, 20_000);
    assert!(matches!(errors(&summary)[..], [text] if text.starts_with("a_to_b: lateness: ")), "{summary:?}");
}

#[test]
fn accounts_that_make_up_for_each_other_do_not_close() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    evidence.outcome.directions[0].account.out -= 5;
    evidence.outcome.directions[1].account.out += 5;
    let summary = judged(&plan, &evidence);
    assert_eq!(summary.conservation.total.difference, 0);
    let errors = errors(&summary);
    assert!(matches!(errors[..], [text] if text.starts_with("the account does not close: ")), "{errors:?}");
    assert!(errors[0].contains("a_to_b 0 held after the drain, 5 unaccounted for"), "{errors:?}");
    assert!(errors[0].contains("b_to_a 0 held after the drain, -5 unaccounted for"), "{errors:?}");
}

#[test]
fn a_packet_without_a_record_is_an_error() {
    let plan = plan("delay = \"20ms\"", 10_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    assert_eq!(errors(&judged(&plan, &evidence)), [""; 0]);
    let forward = &mut evidence.outcome.directions[0];
    forward.records.pop();
    forward.recorded = Recorded { lost: 1, recorded: forward.recorded.recorded - 1, ..forward.recorded };
    forward.oracle.checked -= 1;
    let summary = judged(&plan, &evidence);
    let errors = errors(&summary);
    assert!(matches!(errors[..], [text] if text.starts_with("1 packets left no record: ")), "{errors:?}");
}

#[test]
fn being_late_is_a_warning_until_half_of_the_packets_are_five_milliseconds_late() {
    let plan = plan("", 10_000, MS);
    for (late, failed) in [(0, false), (4_999_999, false), (5_000_000, false), (5_000_001, true)] {
        let mut evidence = evidence(&plan, |params| params);
        release(&mut evidence, Nanos(late));
        let summary = judged(&plan, &evidence);
        let errors = errors(&summary);
        assert_eq!(errors.len(), usize::from(failed), "{late}: {errors:?}");
        let refuted = check(&summary, LATENESS).result == Agreement::No;
        assert_eq!(refuted, late > 0, "{late}: {:?}", check(&summary, LATENESS));
        if failed {
            assert!(errors[0].starts_with("a_to_b: half of the packets left more than 5.0 ms late"), "{errors:?}");
            assert!(errors[0].contains("--busy-poll"), "{errors:?}");
            // A handful may be late for reasons of their own.
            evidence.outcome.directions[0].releases.truncate(19);
            assert!(self::errors(&judged(&plan, &evidence)).is_empty());
        }
    }
}

/// The same evidence where fewer decisions were recorded.
fn recorded(plan: &mut Plan, evidence: &mut Evidence, mode: &str) {
    plan.recording = mode.parse().unwrap();
    for outcome in &mut evidence.outcome.directions {
        let raw = plan.recording.raw();
        let decided = outcome.records.len() as u64;
        outcome.records.retain(|record| Recording::is_due(raw, record.sequence, record.fate.cause != 0));
        let recorded = outcome.records.len() as u64;
        outcome.recorded = Recorded { recorded, left_out: decided - recorded, lost: 0 };
        outcome.oracle.checked = recorded;
    }
}

#[test]
fn with_fewer_records_what_needs_them_is_neither_held_nor_refuted() {
    let link = "delay = \"20ms\"\njitter = \"5ms\"\nloss = \"20%\"";
    for (mode, delays, outages) in [
        ("all", Agreement::Yes, Agreement::Yes),
        ("drops", Agreement::TooFew, Agreement::TooFew),
        ("1/2", Agreement::Yes, Agreement::Yes),
        ("off", Agreement::TooFew, Agreement::TooFew),
    ] {
        let mut plan = plan(link, 40_000, MS);
        let mut evidence = evidence(&plan, |params| params);
        recorded(&mut plan, &mut evidence, mode);
        let summary = judged(&plan, &evidence);
        assert_eq!(errors(&summary), [""; 0], "{mode}");
        assert_eq!(summary.oracle.unchecked, 0, "{mode}");
        assert_eq!(check(&summary, "intended delay").result, delays, "{mode}: {:?}", check(&summary, "intended delay"));
        assert_eq!(check(&summary, "outage").result, outages, "{mode}: {:?}", check(&summary, "outage"));
    }
}

#[test]
fn a_link_that_does_not_do_as_told_is_not_held_to_by_few_records() {
    let link = "rate = \"1mbit\"\ndelay = \"20ms\"\nloss = \"2%\"";
    for mode in ["drops", "1/10", "off"] {
        let mut plan = plan(link, 10_000, MS);
        let mut evidence = evidence(&plan, late);
        recorded(&mut plan, &mut evidence, mode);
        let summary = judged(&plan, &evidence);
        let result = summary.directions["a_to_b"].agree.result;
        assert_ne!(result, Agreement::Yes, "{mode}");
        assert_eq!(check(&summary, "rate").detail, format!("not recorded: --records {mode}"));
    }
}

#[test]
fn phases_are_of_the_packets_that_came_within_them() {
    let link = "loss = \"10%\"\ndelay = \"5ms\"\n[[change]]\nat = \"300ms\"\ndelay = \"40ms\"\n";
    let mut plan = plan(link, 1_000, MS);
    let mut evidence = evidence(&plan, |params| params);
    release(&mut evidence, Nanos(MS));
    let found = phases::phases(&plan, &evidence);
    let [before, after] = &found[..] else { panic!("{found:?}") };
    assert_eq!((before.start_ms, before.end_ms, after.start_ms, after.end_ms), (0.0, Some(300.0), 300.0, None));
    let lost = |records: &[Record]| records.iter().filter(|record| record.fate.cause != 0).count() as u64;
    let (early, late) = evidence.outcome.directions[0].records.split_at(300);
    for (phase, records) in [(before, early), (after, late)] {
        let direction = &phase.directions["a_to_b"];
        assert_eq!((direction.packets, direction.loss.count), (records.len() as u64, lost(records)));
        assert_eq!(direction.delay_ms.n, direction.packets - direction.loss.count);
        assert_eq!(direction.delay_ms.max, Some(6.0));
        assert_eq!(phase.directions["b_to_a"].packets, 0);
    }
    // Records that are of drops alone, or end before the run does, say nothing of a phase.
    plan.recording = Recording::Drops;
    assert!(phases::phases(&plan, &evidence).is_empty());
    plan.recording = "1/100".parse().unwrap();
    assert_eq!(phases::phases(&plan, &evidence).len(), 2);
    evidence.outcome.directions[0].records.truncate(500);
    assert!(phases::phases(&plan, &evidence).is_empty());
}
