//! The sample captures: the analysis is what is written beside them, and what their run said.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::{env, fs, path::Path, process::Command};

use serde_json::Value;
use shaper_offline::{
    analyze::{Analysis, ClockMethod, Figures, Options, two_points},
    pcapfile::{Reader, Tail},
};

const SAMPLES: [&str; 3] = ["wifi", "kept-order", "queue"];

/// Paths stand in results, so they are given as from the root of the repository.
fn at_root() {
    env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
}

fn analysis(sample: &str) -> Analysis {
    at_root();
    let path = |point| format!("captures/{sample}-{point}.pcapng");
    two_points(Path::new(&path("a")), Path::new(&path("b")), &Options::default()).unwrap()
}

#[test]
fn each_sample_gives_the_result_that_is_written_beside_it() {
    for sample in SAMPLES {
        let analysis = analysis(sample);
        assert_eq!(analysis.clock.method, ClockMethod::SameHostByFiles, "{sample}");
        let found = serde_json::to_string_pretty(&analysis).unwrap();
        let golden = fs::read_to_string(format!("captures/{sample}.json")).unwrap();
        for (number, (found, golden)) in found.lines().zip(golden.lines()).enumerate() {
            assert_eq!(found, golden, "captures/{sample}.json, line {}", number + 1);
        }
        assert_eq!(found.trim_end(), golden.trim_end(), "captures/{sample}.json");
    }
}

/// The same direction, as the run's own summary has it.
fn same(figures: &Figures, direction: &Value) {
    let measured = &direction["measured"];
    let count = |pointer: &str| measured.pointer(pointer).and_then(Value::as_u64).unwrap();
    assert_eq!(figures.sent, count("/packets"));
    assert_eq!(figures.lost, count("/loss/count") + count("/outage/count") + count("/queue/count"));
    assert_eq!(figures.matched, count("/forwarded"));
    assert_eq!((figures.edge, figures.unmatched, figures.arrivals_only), (0, 0, 0));
    if figures.matched == 0 {
        return;
    }
    assert_eq!(figures.reordered, count("/reordered/count"));
    let delay = figures.delay_ns.unwrap();
    for (found, name) in [(delay.min, "min"), (delay.p50, "p50"), (delay.p99, "p99"), (delay.max, "max")] {
        let stated = measured["one_way_delay_ms"][name].as_f64().unwrap();
        // Written in milliseconds, measured in whole nanoseconds.
        assert_eq!((stated * 1e6).round() as i64, found, "{name}");
    }
}

#[test]
fn the_captures_alone_give_the_figures_of_their_run() {
    for sample in SAMPLES {
        let analysis = analysis(sample);
        let run: Value =
            serde_json::from_str(&fs::read_to_string(format!("captures/{sample}.run.json")).unwrap()).unwrap();
        same(&analysis.a_to_b, &run["directions"]["a_to_b"]);
        same(&analysis.b_to_a, &run["directions"]["b_to_a"]);
    }
}

#[test]
fn the_samples_are_whole_and_those_that_the_list_names() {
    at_root();
    let list = fs::read_to_string("captures/README.md").unwrap();
    for sample in SAMPLES {
        for point in ["a", "b"] {
            let path = format!("captures/{sample}-{point}.pcapng");
            let mut reader = Reader::open(&path).unwrap();
            while reader.next_packet().unwrap().is_some() {}
            assert_eq!(reader.tail(), Tail::Complete, "{path}");
            let output = Command::new("sha256sum").arg(&path).output().unwrap();
            let line = String::from_utf8(output.stdout).unwrap();
            let sum = line.split(' ').next().unwrap();
            assert_eq!(sum.len(), 64, "sha256sum {path}: {line}");
            assert!(list.contains(&format!("| `{sample}-{point}.pcapng` | `{sum}` |")), "{path} has {sum}");
        }
    }
}
