//! Every packet of the runs: what the two captures alone tell is what the run decided, as far as it can be seen from them.

use std::{fs, path::Path};

use serde_json::Value;
use shaper_offline::analyze::{ClockMethod, Figures, Options, Way, two_points};

use super::{RUNS, at_root, made::SKEW, of_run, truth};
use truth::Seen;

fn seen(name: &str) -> Seen {
    at_root();
    let [a, b] = of_run(name);
    let records = format!("captures/{name}.records.csv");
    let records = Path::new(&records);
    truth::holds([Path::new(&a), Path::new(&b)], records.exists().then_some(records), &|ns| ns, 0).0
}

#[test]
fn what_became_of_each_packet_is_what_its_run_decided() {
    let all: Vec<_> = RUNS.iter().map(|name| seen(name)).collect();
    let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
    // Enough of each kind that a run of none cannot pass for a proof.
    for (kind, found, least) in [
        ("matched", sum(|seen| seen.matched), 1_800),
        ("lost", sum(|seen| seen.lost), 100),
        ("duplicated", sum(|seen| seen.duplicated), 30),
        ("corrupted", sum(|seen| seen.corrupted), 30),
        ("reordered", sum(|seen| seen.reordered), 250),
        ("disguised", sum(|seen| seen.disguised), 8),
        ("touched", sum(|seen| seen.touched), 5),
    ] {
        assert!(found >= least, "{found} {kind}, {least} at least: {all:#?}");
    }
}

#[test]
fn by_the_clock_of_another_host_the_same_is_found_within_the_bound() {
    at_root();
    let (a, b) = (Path::new("captures/two-hosts-a.pcapng"), Path::new("captures/skewed-b.pcapng"));
    let analysis = two_points(a, b, &Options::default()).unwrap();
    let clock = &analysis.clock;
    assert_eq!(clock.method, ClockMethod::MinimumDelays);
    let bound = clock.offset_bound_ns.unwrap();
    // No more than the round trip of the link, 4 ms at least.
    assert!((1..=4_000_000).contains(&bound), "{clock:?}");
    assert!((clock.skew_ppm.unwrap() - SKEW.skew_ppm as f64).abs() < 20.0, "{clock:?}");
    let first = analysis.files[1].first_ns.unwrap();
    let back = |ns: i64| {
        let since = i128::from(ns - first) * 1_000_000 / i128::from(1_000_000 + SKEW.skew_ppm);
        first - SKEW.offset_ns + since as i64
    };
    // A delay is off by what the offset is off, and may be told before the last word on the offset.
    let (found, _) = truth::holds([a, b], None, &back, 2 * bound);
    assert_eq!(found, seen("two-hosts"));
}

/// The same direction, as the run's own summary has it.
fn same(name: &str, figures: &Figures, flows: usize, direction: &Value) {
    let measured = &direction["measured"];
    let count = |pointer: &str| measured.pointer(pointer).and_then(Value::as_u64).unwrap();
    assert_eq!(figures.sent, count("/packets"), "{name}");
    assert_eq!(figures.lost, count("/loss/count") + count("/outage/count") + count("/queue/count"), "{name}");
    assert_eq!(figures.matched + figures.corrupted, count("/forwarded"), "{name}");
    assert_eq!((figures.edge, figures.unmatched, figures.arrivals_only), (0, 0, 0), "{name}");
    // The run's delays are of damaged packets too.
    if figures.matched == 0 || figures.corrupted > 0 {
        return;
    }
    // The run counts over all flows of a direction together, RFC 4737 and the analysis over each.
    let of_run = count("/reordered/count");
    assert!(figures.reordered == of_run || flows > 1 && figures.reordered < of_run, "{name}: {of_run}");
    let delay = figures.delay_ns.unwrap();
    for (found, name) in [(delay.min, "min"), (delay.p50, "p50"), (delay.p99, "p99"), (delay.max, "max")] {
        let stated = measured["one_way_delay_ms"][name].as_f64().unwrap();
        // Written in milliseconds, measured in whole nanoseconds.
        assert_eq!((stated * 1e6).round() as i64, found, "{name}");
    }
}

#[test]
fn the_captures_alone_give_the_figures_of_their_run() {
    at_root();
    // Damaged in what packets are found by, some of those in "corrupted" are lost to the analysis, and not to the run.
    for name in RUNS.iter().filter(|name| **name != "corrupted") {
        let [a, b] = of_run(name);
        let analysis = two_points(Path::new(&a), Path::new(&b), &Options::default()).unwrap();
        let run: Value =
            serde_json::from_str(&fs::read_to_string(format!("captures/{name}.run.json")).unwrap()).unwrap();
        let flows = |way| analysis.flows.iter().filter(|flow| flow.way == Some(way)).count();
        same(name, &analysis.a_to_b, flows(Way::AToB), &run["directions"]["a_to_b"]);
        same(name, &analysis.b_to_a, flows(Way::BToA), &run["directions"]["b_to_a"]);
    }
}
