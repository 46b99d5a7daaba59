//! Scenarios and expectations on the command line, without root.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn shaper(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).current_dir(folder).args(arguments).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Ends with 2, with all of these words on standard error, and makes no run directory.
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let output = shaper(folder, arguments);
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr}");
    }
    assert!(!folder.join("runs").exists());
}

#[test]
fn each_sample_says_what_it_would_do() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let host: &[&str] = if path.ends_with("two-hosts.toml") { &["--host", "east"] } else { &[] };
        let output = shaper(&root(), &[&["run", "--check", path.to_str().unwrap()], host].concat());
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {stderr}", path.display());
        assert!(stdout.contains("captured at") && stdout.contains("expected"), "{stdout}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn what_is_wrong_in_a_scenario_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let lab = "duration = \"2s\"\n[lab]\n";
    for (text, words) in [
        ("duration = 2s", ["x.toml:1:", "no TOML"]),
        ("duration = \"2s\"\n[lab]\nhost = 2", ["x.toml:3:1: lab.host: unknown key", "did you mean hosts?"]),
        ("duration = \"2s\"\n[lab]\n[link]\ndelay = \"20\"", ["x.toml:4:9: link.delay: ", "unit is missing"]),
        ("duration = \"2s\"\n[lab]\n[[workload]]\nat = \"1s\"", ["x.toml:3:1: workload[0].command: ", "write one of"]),
    ] {
        fs::write(&file, text).unwrap();
        refused(folder.path(), &["run", "x.toml"], &words);
        refused(folder.path(), &["run", "--check", "x.toml"], &words);
    }
    fs::write(&file, format!("{lab}[capture]\nfilter = \"udp prt 5\"")).unwrap();
    refused(folder.path(), &["run", "x.toml"], &["x.toml", "capture.filter", "udp port 5201"]);
    fs::write(&file, lab).unwrap();
    refused(folder.path(), &["run", "x.toml", "--host", "a"], &["not for two hosts"]);
    refused(folder.path(), &["run", "x.toml", "--expect", "exit.x == 0"], &["no figure that is known here"]);
    refused(folder.path(), &["run", "no.toml"], &["no.toml: cannot read the scenario", "toast, probe"]);
    refused(folder.path(), &["run"], &["SCENARIO.toml"]);
    let two = "duration = \"2s\"\n[hosts.a]\ninterface = \"x\"\n[hosts.b]\ninterface = \"y\"\n";
    fs::write(&file, two).unwrap();
    refused(folder.path(), &["run", "x.toml"], &["two hosts, a and b", "--host a"]);
    refused(folder.path(), &["run", "x.toml", "--host", "c"], &["no such host", "a and b"]);
}

#[test]
fn expectations_set_the_exit_code_of_an_analysis() {
    let captures = ["captures/wifi-a.pcapng", "captures/wifi-b.pcapng"];
    let analyze = |expected: &[&str]| {
        let expected: Vec<&str> = expected.iter().flat_map(|text| ["--expect", text]).collect();
        shaper(&root(), &[&["analyze"], &captures[..], &expected].concat())
    };
    let held = analyze(&["loss.a_to_b < 50%", "matched.a_to_b > 10", "delay.a_to_b.p50 > 1ms", "reordered.up < 100%"]);
    let (stdout, stderr) = texts(&held);
    assert_eq!(held.status.code(), Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.matches(": held, measured").count(), 4, "{stdout}");
    let failed = analyze(&["loss.a_to_b < 50%", "delay.a_to_b.p99 < 1us"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(texts(&failed).0.contains("expected delay.a_to_b.p99 < 1us: FAILED, measured "), "{}", texts(&failed).0);
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = captures.map(|path| root().join(path).to_str().unwrap().to_owned());
    refused(folder.path(), &["analyze", &a, &b, "--expect", "lateness.up < 1ms"], &["known: loss, matched"]);
    refused(folder.path(), &["analyze", &a, "--expect", "loss.up < 1%"], &["name the capture at the second"]);
    let json = shaper(&root(), &["analyze", captures[0], captures[1], "--json", "--expect", "loss.up < 50%"]);
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let expected = &told["expectations"][0];
    assert_eq!((&expected["held"], &expected["text"]), (&true.into(), &"loss.up < 50%".into()));
    assert!(told["a_to_b"]["matched"].as_u64().unwrap() > 10);
}

#[test]
fn an_expectation_that_a_run_cannot_be_held_to_is_refused_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["run", "toast", "--expect", "loss.up < 6"][..], "such as 6%"),
        (&["run", "toast", "--peers", "2", "--expect", "loss.up < 6%"], "known: a_up, a_down"),
        (&["run", "probe", "--expect", "delay.up.p98 < 6ms"], "known: min, mean"),
        (&["run", "toast", "--expect", "delivery.c > 5%"], "known: b"),
    ] {
        refused(folder.path(), arguments, &["--expect", words]);
    }
}
