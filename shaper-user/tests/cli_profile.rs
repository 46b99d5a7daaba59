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

/// The command as it ended: exit code, standard output, standard error.
fn ended(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_command_of_tc_becomes_a_profile_and_a_command_again() {
    let folder = tempfile::tempdir().unwrap();
    let command = "tc qdisc replace dev eth0 root netem limit 117 delay 20ms loss 1% rate 10000000bit\n";
    fs::write(folder.path().join("up.sh"), command).unwrap();
    let (code, profile, notes) = ended(folder.path(), &["profile", "import", "--from", "tc", "--up", "up.sh"]);
    assert_eq!(code, 0, "{notes}");
    assert!(notes.starts_with("note: up.sh:1: limit 117 counts packets in the delay too"), "{notes}");
    fs::write(folder.path().join("up.toml"), &profile).unwrap();
    let read = shaper_profile::load(folder.path().join("up.toml").to_str().unwrap()).unwrap();
    assert_eq!((read.name.as_str(), read.source.as_str()), ("up", "Taken over from tc: up.sh"));
    assert_eq!(read.link.b_to_a, shaper_profile::Direction::default());
    let exported = shaper(folder.path(), &["profile", "export", "--to", "netem", "up.toml", "--down-device", "ifb1"]);
    assert_eq!(exported, format!("# a to b\n{command}# b to a\ntc qdisc replace dev ifb1 root netem\n"));
}

#[test]
fn a_trace_is_written_beside_its_profile_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (up, down) = ("1\n1\n4\n", "3\n5\n");
    fs::write(folder.path().join("up"), up).unwrap();
    fs::write(folder.path().join("down"), down).unwrap();
    let import = ["profile", "import", "--from", "mahimahi", "--up", "up", "--down", "down"];
    let (code, out, error) = ended(folder.path(), &import);
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    assert!(
        error.contains("shaper: up: the profile has files of its own: say where they go, with -o up.toml"),
        "{error}"
    );
    fs::create_dir(folder.path().join("made")).unwrap();
    let (code, out, error) = ended(folder.path(), &[&import[..], &["-o", "made/cell.toml"]].concat());
    assert_eq!((code, out.as_str()), (0, ""), "{error}");
    let read = shaper_profile::load(folder.path().join("made/cell.toml").to_str().unwrap()).unwrap();
    assert_eq!(read.name, "cell");
    for (side, text) in [("up", up), ("down", down)] {
        let export = ["profile", "export", "--to", "mahimahi", "made/cell.toml", "--direction", side, "--strict"];
        assert_eq!(shaper(folder.path(), &export), text, "{side}");
    }
}

#[test]
fn a_distribution_is_copied_with_its_profile() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wlan.dist"), "-8192 0 16384\n").unwrap();
    let import = ["profile", "import", "--from", "dist", "wlan.dist", "-o", "wlan.toml"];
    let (code, _, error) = ended(folder.path(), &import);
    assert_eq!(code, 2);
    assert_eq!(
        error,
        "shaper: wlan.dist:1: a distribution says neither delay nor jitter; give both, for example --delay 20ms \
         --jitter 5ms\n"
    );
    let (code, _, error) = ended(folder.path(), &[&import[..], &["--delay", "9ms", "--jitter", "3ms"]].concat());
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("wlan.down.dist")).unwrap(), "-8192 0 16384\n");
    assert_eq!(shaper(folder.path(), &["profile", "export", "--to", "dist", "wlan.toml"]), "-8192 0 16384\n");
    let (code, _, error) = ended(folder.path(), &["profile", "import", "--from", "tc", "wlan.dist", "--delay", "9ms"]);
    assert_eq!((code, error.as_str()), (2, "shaper: --delay is for --from dist alone: tc says its own\n"));
}

#[test]
fn what_another_tool_cannot_say_is_listed_and_strict_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, listed) = ended(folder.path(), &["profile", "export", "--to", "netem", "wifi"]);
    assert_eq!((code, listed.as_str()), (0, "not said: netem has no outages: outages 1 %/s of 500 ms\n"));
    assert_eq!(out.lines().nth(1), Some("tc qdisc replace dev eth0 root netem limit 100000 delay 15ms 30ms loss 5%"));
    let strict = ended(folder.path(), &["profile", "export", "--to", "netem", "wifi", "--strict", "-o", "wifi.sh"]);
    assert_eq!(strict, (2, String::new(), listed));
    assert!(!folder.path().join("wifi.sh").exists());
    let (code, _, error) = ended(folder.path(), &["profile", "export", "--to", "mahimahi", "wifi"]);
    assert_eq!(code, 2);
    assert!(error.contains("mahimahi: there is neither a rate nor a trace of rates"), "{error}");
}

#[test]
fn what_cannot_be_taken_over_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cell.json"), "{\"up\": {},\n \"sideways\": {}}").unwrap();
    let (code, out, error) = ended(folder.path(), &["profile", "import", "--from", "atc", "cell.json"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.starts_with("shaper: cell.json:2: \"sideways\" is not known here; known: up, down"), "{error}");
    for (arguments, words) in [
        (&["--from", "netem", "cell.json"][..], "\"netem\" is not known; write \"mahimahi\""),
        (&["--from", "atc", "gone.json"], "gone.json: cannot read it as text"),
        (&["--from", "atc"], "required"),
        (&["--from", "atc", "--up", "cell.json"], "\"sideways\" is not known"),
        (&["--from", "atc", "cell.json", "--up", "cell.json"], "cannot be used with"),
    ] {
        let (code, _, error) = ended(folder.path(), &[&["profile", "import"], arguments].concat());
        assert!(code == 2 && error.contains(words), "{arguments:?}: {error}");
    }
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
