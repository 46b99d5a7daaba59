//! What the analysis of each sample must be, to the letter; and that the list beside them is whole.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde::Serialize;
use shaper_offline::{
    analyze::{Clock, ClockMethod, Options, one_point, two_points},
    pcapfile::{Reader, Tail},
};

use super::{RUNS, at_root, of_run};

/// Analyses of one capture alone.
const ALONE: [&str; 3] = ["rtp-b", "wifi-b", "corrupted-b"];

/// As `shaper analyze --json` prints it.
pub(crate) fn pretty(analysis: &impl Serialize) -> String {
    serde_json::to_string_pretty(analysis).unwrap() + "\n"
}

fn is_golden(found: &str, name: &str) {
    let path = format!("captures/{name}.json");
    let golden = fs::read_to_string(&path).unwrap();
    for (number, (found, golden)) in found.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, golden, "{path}, line {}", number + 1);
    }
    assert_eq!(found, golden, "{path}");
}

#[test]
fn each_pair_gives_the_result_that_is_written_beside_it() {
    at_root();
    for name in RUNS {
        let [a, b] = of_run(name);
        let analysis = two_points(Path::new(&a), Path::new(&b), &Options::default()).unwrap();
        assert_eq!(analysis.clock.method, ClockMethod::SameHostByFiles, "{name}");
        is_golden(&pretty(&analysis), name);
    }
}

#[test]
fn captures_by_two_clocks_and_without_a_clock_s_name_give_theirs() {
    at_root();
    let a = Path::new("captures/two-hosts-a.pcapng");
    let analysis = two_points(a, Path::new("captures/skewed-b.pcapng"), &Options::default()).unwrap();
    is_golden(&pretty(&analysis), "skewed");
    let [a, b] = ["a", "b"].map(|point| format!("captures/microseconds-{point}.pcap"));
    let options = Options { clock: Clock::Same, ..Options::default() };
    is_golden(&pretty(&two_points(Path::new(&a), Path::new(&b), &options).unwrap()), "microseconds");
}

#[test]
fn each_capture_alone_gives_the_result_that_is_written_beside_it() {
    at_root();
    for name in ALONE {
        let path = format!("captures/{name}.pcapng");
        is_golden(&pretty(&one_point(Path::new(&path), &Options::default()).unwrap()), name);
    }
}

#[test]
fn the_captures_are_whole_and_those_that_the_list_names() {
    at_root();
    let list = fs::read_to_string("captures/README.md").unwrap();
    let listed: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `")).map(|row| row.0).collect();
    let mut there = BTreeSet::new();
    for entry in fs::read_dir("captures").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.contains(".pcap") {
            continue;
        }
        let path = format!("captures/{name}");
        let mut reader = Reader::open(&path).unwrap();
        while reader.next_packet().unwrap().is_some() {}
        assert_eq!(reader.tail(), Tail::Complete, "{path}");
        let output = Command::new("sha256sum").arg(&path).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let sum = line.split(' ').next().unwrap();
        assert_eq!(sum.len(), 64, "sha256sum {path}: {line}");
        assert!(list.contains(&format!("| `{name}` | `{sum}` |")), "{path} has {sum}");
        there.insert(name);
    }
    // Rows of samples have other cells behind the name.
    let unknown: Vec<_> = listed.iter().filter(|name| name.contains(".pcap") && !there.contains(**name)).collect();
    assert!(unknown.is_empty(), "there is no {unknown:?}");
}
