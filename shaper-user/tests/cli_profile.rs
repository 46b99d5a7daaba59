//! `shaper profile`: what is listed, shown and checked.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use shaper_profile::presets;

/// What the command prints on success.
fn shaper(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "shaper {arguments:?}: {stderr}");
    assert_eq!(stderr, "", "shaper {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_list_names_every_preset_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = shaper(folder.path(), &["profile", "list"]);
    let json: serde_json::Value = serde_json::from_str(&shaper(folder.path(), &["profile", "list", "--json"])).unwrap();
    let json = json.as_array().unwrap();
    assert_eq!(json.len(), presets::names().count());
    for (name, listed) in presets::names().zip(json) {
        let description = listed["description"].as_str().unwrap();
        assert_eq!(listed["name"], name);
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        assert!(line.is_some_and(|line| line.ends_with(description)), "{name}: {line:?}");
    }
}

#[test]
fn what_is_shown_is_a_profile_that_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for name in presets::names() {
        let shown = shaper(folder.path(), &["profile", "show", name]);
        fs::write(folder.path().join("shown.toml"), &shown).unwrap();
        let checked = shaper(folder.path(), &["profile", "check", "shown.toml"]);
        assert_eq!(checked, format!("shown.toml: ok: profile {name}\n"));
        let again = presets::parse("shown.toml", "shown", &shown).unwrap();
        assert_eq!(again, shaper_profile::load(name).unwrap());
    }
}

#[test]
fn both_directions_and_what_a_setting_does_to_itself_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let shown = shaper(folder.path(), &["profile", "show", "wifi"]);
    for words in ["# a to b and b to a: delay 15 ms +-30 ms uniform", "loss 5 %", "# note: jitter 30 ms is cut at zero"]
    {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
    fs::write(folder.path().join("adsl.toml"), "[up]\nrate = \"1mbit\"\n[down]\nrate = \"10mbit\"\n").unwrap();
    let shown = shaper(folder.path(), &["profile", "show", "adsl.toml"]);
    for words in ["# a to b: no delay, no loss, rate 1 Mbit/s", "# b to a: no delay, no loss, rate 10 Mbit/s"] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
}

#[test]
fn outage_windows_are_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let windows = |seed: &str, duration: &str| {
        let arguments = ["profile", "show", "outages", "--json", "--seed", seed, "--duration", duration];
        let shown: serde_json::Value = serde_json::from_str(&shaper(folder.path(), &arguments)).unwrap();
        shown["directions"]["a_to_b"]["outages"]["windows"].as_array().unwrap().clone()
    };
    let short = windows("7", "100s");
    let long = windows("7", "1000s");
    assert!(!short.is_empty() && long.len() > short.len());
    assert_eq!(short[..], long[..short.len()]);
    assert_ne!(windows("8", "100s"), short);
}

#[test]
fn one_wrong_file_among_right_ones_fails_the_check_and_is_the_one_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("right.toml"), "delay = \"20ms\"\n").unwrap();
    fs::write(folder.path().join("wrong.toml"), "delay = \"-20ms\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_shaper"))
        .args(["profile", "check", "right.toml", "wrong.toml", "right.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("right.toml: ok").count(), 2);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("wrong.toml:1:9: delay: \"-20ms\" is no duration: it is negative"), "{stderr}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shaper"))
        .args(["profile", "list", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
