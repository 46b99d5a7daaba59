//! What cannot be run is refused before anything happens: one line with its place and what to do, exit code 2.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the command in an empty folder, which it must leave as it was.
fn shaper(folder: &Path, arguments: &[&str]) -> Output {
    let listed = || {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed();
    let output = Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).current_dir(folder).output().unwrap();
    assert_eq!(listed(), before, "shaper {arguments:?} left something in its folder");
    output
}

/// Sees that the command is refused in a first line that holds all of `words`.
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let output = shaper(folder, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "shaper {arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "shaper {arguments:?} wrote to standard output");
    let first = stderr.lines().next().unwrap_or_default();
    for word in words {
        assert!(first.contains(word), "shaper {arguments:?}: no {word:?} in {first:?}");
    }
    // Behind it at most how such a command is written.
    let usage = |line: &&str| {
        ["  tip: ", "Usage: ", "For more information"].iter().any(|is| line.starts_with(is)) || line.is_empty()
    };
    let more: Vec<_> = stderr.lines().skip(1).filter(|line| !usage(line)).collect();
    assert!(more.is_empty(), "shaper {arguments:?} says more than a line: {more:?}");
}

/// Refused by everything that takes a link.
fn refused_as_a_link(flags: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["lab", "up"][..], &["run", "toast"], &["run", "probe"]] {
        refused(folder.path(), &[command, flags].concat(), words);
    }
}

#[test]
fn an_unknown_profile_is_told_with_those_that_are_known() {
    refused_as_a_link(&["--profile", "wfi"], &["\"wfi\"", "did you mean \"wifi\"?", "congested", "TOML file"]);
}

#[test]
fn a_missing_file_is_told_by_its_path() {
    refused_as_a_link(&["--profile", "./none.toml"], &["./none.toml", "No such file", "preset's name"]);
}

#[test]
fn an_error_in_a_file_is_told_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, "delay = \"20ms\"\nloss = \"5\"\n").unwrap();
    for command in [&["profile", "check"][..], &["profile", "show"], &["lab", "up", "--profile"]] {
        let words = ["mine.toml:2:8: loss: \"5\" is no percentage", "the unit is missing", "\"0.5%\""];
        refused(folder.path(), &[command, &["mine.toml"]].concat(), &words);
    }
    fs::write(&path, "delay = 20ms\n").unwrap();
    refused(folder.path(), &["profile", "check", "mine.toml"], &["mine.toml:1:", "no TOML"]);
    fs::write(&path, "delai = \"20ms\"\n").unwrap();
    refused(folder.path(), &["profile", "check", "mine.toml"], &["mine.toml:1:1: delai: unknown key", "delay?"]);
}

#[test]
fn a_negative_loss_is_told_as_such_and_not_as_an_unknown_flag() {
    refused_as_a_link(&["--loss", "-5%"], &["--loss", "\"-5%\" is no percentage", "negative", "\"0.5%\""]);
}

#[test]
fn a_loss_beyond_all_packets_is_told_with_its_limit() {
    refused_as_a_link(&["--loss", "101%"], &["--loss", "\"101%\"", "larger than 100%", "\"0.5%\""]);
}

#[test]
fn a_number_without_a_unit_is_told_with_an_example() {
    refused_as_a_link(&["--latency", "20"], &["--latency", "\"20\" is no duration", "unit is missing", "\"20ms\""]);
    refused_as_a_link(&["--rate", "10mbps"], &["--rate", "ambiguous", "write mbit or MB/s"]);
}

#[test]
fn a_queue_smaller_than_a_packet_is_told_with_what_would_do() {
    refused_as_a_link(
        &["--rate", "1mbit", "--queue", "100B"],
        &["--queue", "100 B is smaller than one packet (1514 bytes", "\"100p\""],
    );
}

#[test]
fn a_queue_without_a_rate_is_told_so() {
    refused_as_a_link(&["--queue", "100p"], &["--queue", "no rate"]);
}

#[test]
fn half_of_a_pair_of_flags_names_the_other() {
    refused_as_a_link(&["--outage-at", "10s"], &["--outage-at needs --outage-length", "500ms"]);
    refused_as_a_link(&["--profile", "clean", "--outages", "1%/s"], &["--outage-duration", "last no time"]);
}

#[test]
fn a_duration_of_nothing_is_told_for_what_has_one() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["run", "toast", "--duration", "0"], &["--duration", "20s"]);
    refused(folder.path(), &["run", "probe", "--packets", "0"], &["try "]);
    let words = ["--duration", "\"0\" is no duration", "it must last some time"];
    refused(folder.path(), &["toast", "controller", "--interface", "lo", "--duration", "0"], &words);
    refused(folder.path(), &["profile", "show", "wifi", "--duration", "0"], &words);
}

#[test]
fn an_unknown_command_is_told_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["docter"], &["unrecognized subcommand 'docter'"]);
    refused(folder.path(), &["lab", "upp"], &["unrecognized subcommand 'upp'"]);
}

#[test]
fn a_lab_of_one_host_or_of_too_many_is_told_with_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["lab", "up", "--hosts", "1"], &["--hosts", "1 is not in 2..="]);
    refused(folder.path(), &["lab", "up", "--hosts", "1000"], &["--hosts", "1000 is not in 2..="]);
}

#[test]
fn an_interface_that_is_not_there_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["nosuch0", "no such interface"];
    refused(folder.path(), &["toast", "peer", "--interface", "nosuch0"], &words);
}

#[test]
fn what_is_no_log_is_told_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &["toast", "score", "none.jsonl"], &["none.jsonl", "cannot read the log"]);
    fs::write(folder.path().join("text.jsonl"), "not a log\n").unwrap();
    refused(folder.path(), &["toast", "score", "text.jsonl"], &["text.jsonl:1", "not a log of a role"]);
}

#[test]
fn what_a_change_cannot_change_is_refused_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let change = ["--change", "--delay", "1ms"];
    for flag in [
        &["--engine", "xsk"][..],
        &["--seed", "7"],
        &["--allow-default-route"],
        &["--records", "off"],
        &["--busy-poll"],
        &["--for", "1s"],
    ] {
        for command in [&["apply", "eth0"][..], &["bridge", "eth0", "eth1"]] {
            refused(folder.path(), &[command, &change, flag].concat(), &[flag[0], "--change", "cannot be used with"]);
        }
    }
    let hook = ["bridge", "eth0", "eth1", "--hook", "tc"];
    refused(folder.path(), &[&hook[..], &change].concat(), &["--hook", "--change", "cannot be used with"]);
}
