//! Scenarios from files: on a lab, at an interface, and on two hosts.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/cable.rs"]
mod cable;
#[expect(dead_code, reason = "what is impaired in the background is for other tests")]
#[path = "support/command.rs"]
mod command;
#[path = "support/evidence.rs"]
mod evidence;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cable::{Cable, FAR, NEAR};
use command::{SOON, shaper, signal, stderr};
use evidence::{accounts_close, opens_without_a_warning, told};
use nix::libc;
use shaper_net::process::ProcessId;
use shaper_report::summary::{Severity, Summary};
use support::{Host, on_own_host, until};

/// A command that sends a datagram every few milliseconds until it is ended.
fn sending(to: impl std::fmt::Display) -> String {
    format!("[\"bash\", \"-c\", \"while :; do echo x > /dev/udp/{to}/9; sleep 0.005; done\"]")
}

fn written(host: &Host, name: &str, text: &str) -> PathBuf {
    let path = host.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Whether the expectation of this text held, and what was measured.
fn judged<'s>(summary: &'s Summary, text: &str) -> (bool, &'s str) {
    let found = summary.expectations.iter().find(|expectation| expectation.text == text);
    let found = found.unwrap_or_else(|| panic!("{text} is not among {:?}", summary.expectations));
    (found.held, &found.measured)
}

#[test]
fn in_a_lab_commands_run_the_link_changes_and_what_is_expected_holds() {
    on_own_host(|host| {
        let send = sending("server");
        let text = format!(
            r#"
duration = "10s"
seed = 5

[lab]
hosts = ["client", "server"]

[link]
delay = "5ms"

[[timeline]]
at = "1s"
delay = "40ms"
[timeline.up]
loss = "50%"

[[workload]]
name = "send"
command = {send}
for = "2s"

[[workload]]
name = "look"
command = ["sh", "-c", "cat /etc/hosts; echo where >&2"]
on = "server"
at = "200ms"

[[workload]]
name = "wait"
command = ["sleep", "60"]
on = "server"
background = true

[capture]
snaplen = "128B"

[expect]
loss.a_to_b = ["> 5%", "< 50%"]
delay.a_to_b.min = ">= 5ms"
exit.look = "== 0"
"#
        );
        let path = written(host, "whole.toml", &text);
        let run = host.run(path.to_str().unwrap());
        let summary = run.summary();
        assert_eq!(summary.exit_code, 0, "{:?} {:?}", summary.findings, summary.expectations);
        accounts_close(&summary);
        opens_without_a_warning(&run, &summary);
        assert!(judged(&summary, "delay.a_to_b.min >= 5ms").0);

        let [before, after] = &summary.phases[..] else { panic!("{:?}", summary.phases) };
        let (before, after) = (&before.directions["client_to_server"], &after.directions["client_to_server"]);
        assert!(before.packets > 20 && after.packets > 20, "{before:?} {after:?}");
        assert_eq!(before.loss.count, 0, "{before:?}");
        assert!(after.loss.low < 0.5 && after.loss.high > 0.5, "{after:?}");
        let median = |phase: &shaper_report::summary::PhaseDirection| phase.delay_ms.p50.unwrap();
        assert!((5.0..40.0).contains(&median(before)) && median(after) >= 40.0, "{before:?} {after:?}");

        let ended: Vec<_> =
            summary.programs.iter().map(|one| (one.name.as_str(), one.exit_code, one.ended_by_run)).collect();
        assert_eq!(ended, [("send", None, true), ("look", Some(0), false), ("wait", None, true)]);
        let look = &summary.programs[1];
        assert!(look.started_ms.unwrap() >= 200.0, "{look:?}");
        assert!(fs::read_to_string(run.out.join("look.out")).unwrap().contains("server"));
        assert_eq!(fs::read_to_string(run.out.join("look.err")).unwrap(), "where\n");
        assert_eq!(fs::read_to_string(run.out.join("scenario.toml")).unwrap(), text);
        let join = summary.join.as_ref().unwrap();
        assert!(join.joined > 40 && join.not_in_a == 0, "{join:?}");
    });
}

#[test]
fn a_probe_is_between_the_hosts_of_a_lab_whatever_they_are_called() {
    on_own_host(|host| {
        let text = r#"
duration = "500ms"
[lab]
hosts = ["client", "server"]
[[timeline]]
at = "250ms"
delay = "20ms"
[[workload]]
probe = { interval = "5ms" }
[expect]
delivery.server = ">= 95%"
"#;
        let path = written(host, "probe.toml", text);
        let run = host.run(&format!("{} --records drops", path.display()));
        let summary = run.summary();
        assert!(judged(&summary, "delivery.server >= 95%").0, "{:?} {:?}", summary.findings, summary.expectations);
        assert_eq!(summary.commands.as_ref().unwrap().peers.keys().collect::<Vec<_>>(), ["server"]);
        // Of drops alone it is not known what each was a part of.
        assert!(summary.phases.is_empty(), "{:?}", summary.phases);
    });
}

#[test]
fn what_fails_or_does_not_end_or_start_is_told_and_is_exit_code_1() {
    on_own_host(|host| {
        let text = r#"
duration = "1s"
[lab]
[[workload]]
command = ["false"]
[[workload]]
name = "three"
command = ["sh", "-c", "exit 3"]
expect_exit = 3
[[workload]]
name = "none"
command = ["/no/such/program"]
[[workload]]
name = "hangs"
command = ["sleep", "60"]
[[workload]]
name = "early"
command = ["sh", "-c", "exit 1"]
background = true
[capture]
points = []
[expect]
loss.a_to_b = "< 100%"
exit.three = "== 4"
"#;
        let run = host.run(written(host, "fails.toml", text).to_str().unwrap());
        let summary = run.summary();
        assert_eq!(summary.exit_code, 1);
        let words = [
            ("false ends with 0", false, "ended with 1"),
            ("three ends with 3", true, "ended with 3"),
            ("none ends with 0", false, "No such file"),
            ("hangs ends with 0", false, "had not ended"),
            ("early ends with 0", false, "ended with 1: see early.err"),
            // Nothing came that could be lost.
            ("loss.a_to_b < 100%", false, "nothing"),
            ("exit.three == 4", false, "3"),
        ];
        for (text, held, measured) in words {
            let found = judged(&summary, text);
            assert!(found.0 == held && found.1.contains(measured), "{text}: {found:?}");
        }
        assert!(summary.captures.is_empty() && !run.out.join("a.pcapng").exists());
        accounts_close(&summary);
    });
}

#[test]
fn who_is_interrupted_ends_its_commands_and_leaves_nothing() {
    on_own_host(|host| {
        let text = "duration = \"60s\"\n[lab]\n[[workload]]\nname = \"x\"\ncommand = [\"sleep\", \"60\"]\n";
        let run = host.start(written(host, "long.toml", text).to_str().unwrap());
        assert!(until(Duration::from_secs(30), || run.out.join("x.err").exists()));
        signal(ProcessId::of(run.pid()).unwrap(), libc::SIGINT);
        let summary = run.end().summary();
        assert!(told(&summary, Severity::Error, &["interrupted"]), "{:?}", summary.findings);
        assert!(summary.programs[0].ended_by_run, "{:?}", summary.programs);
    });
}

#[test]
fn an_interface_in_a_namespace_is_impaired_captured_on_both_sides_and_as_it_was() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let send = sending(NEAR);
        let text = format!(
            r#"
duration = "10s"
[interfaces]
interface = "eth0"
netns = "far"
[link.up]
delay = "20ms"
[link.down]
delay = "5ms"
[[workload]]
name = "send"
command = {send}
for = "1s"
[expect]
loss.egress = "== 0%"
arrived.egress = "> 20"
delay.egress.min = ">= 20ms"
delay.egress.p50 = "< 40ms"
"#
        );
        let run = host.run(written(host, "interface.toml", &text).to_str().unwrap());
        let summary = run.summary();
        assert_eq!(summary.exit_code, 0, "{:?} {:?}", summary.findings, summary.expectations);
        accounts_close(&summary);
        opens_without_a_warning(&run, &summary);
        assert_eq!(summary.captures.keys().collect::<Vec<_>>(), ["host", "wire"]);
        let join = summary.join.as_ref().unwrap();
        let packets = summary.directions["egress"].measured.packets;
        assert!(join.joined >= packets && join.unrecorded == 0, "{join:?} of {packets}");
        assert!(until(SOON, || cable.takes(|took| took < Duration::from_millis(20))), "delayed still");
        cable.cut();
    });
}

#[test]
fn the_interface_of_ones_own_session_is_refused_with_the_key_that_allows_it() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let path = written(host, "own.toml", "duration = \"1s\"\n[interfaces]\ninterface = \"eth0\"\n");
        let session = format!("192.0.2.7 50000 {NEAR} 22");
        let run = host.start_with(path.to_str().unwrap(), &host.folder.path().join("own"), |command| {
            command.env("SSH_CONNECTION", session);
        });
        let ended = run.end();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("ssh session") && ended.stderr.contains("allow_default_route = true"));
        assert!(!ended.stderr.contains("--"), "{}", ended.stderr);
        cable.cut();
    });
}

#[test]
fn two_hosts_each_do_their_own_part_and_their_captures_go_together() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let (from_west, from_east) = (sending(FAR), sending(NEAR));
        let text = format!(
            r#"
duration = "10s"
[hosts.west]
interface = "eth0"
[hosts.east]
interface = "eth0"
netns = "far"
[link.up]
delay = "30ms"
[link.down]
delay = "10ms"
loss = "20%"
[[workload]]
name = "there"
command = {from_west}
on = "west"
for = "1s"
[[workload]]
name = "back"
command = {from_east}
on = "east"
for = "1s"
[expect]
loss.a_to_b = "== 0%"
loss.b_to_a = "< 40%"
"#
        );
        let path = written(host, "two.toml", &text);
        // Both stand well before.
        let start = SystemTime::now() + Duration::from_secs(4);
        let start = start.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let run = |name: &str| host.start(&format!("{} --host {name} --start {}", path.display(), utc(start)));
        let (west, east) = (run("west"), run("east"));
        // Nobody else takes an interface meanwhile, and who has it is told.
        assert!(until(Duration::from_secs(30), || west.out.join("west.0.spool").exists()));
        let other = shaper(&["apply", "eth0", "--delay", "1ms"]);
        let by = format!("process {} (run two-west): ", west.pid());
        assert!(other.status.code() == Some(2) && stderr(&other).contains(&by), "{}", stderr(&other));
        let (west, east) = (west.end(), east.end());
        for (run, own, other) in
            [(&west, "loss.a_to_b == 0%", "loss.b_to_a < 40%"), (&east, "loss.b_to_a < 40%", "loss.a_to_b == 0%")]
        {
            let summary = run.summary();
            assert_eq!(summary.exit_code, 0, "{:?} {:?}", summary.findings, summary.expectations);
            accounts_close(&summary);
            assert!(judged(&summary, own).0);
            assert!(!summary.expectations.iter().any(|expectation| expectation.text == other), "{summary:?}");
            assert_eq!(summary.programs.len(), 1);
        }
        let (a, b) = (west.out.join("west.pcapng"), east.out.join("east.pcapng"));
        let analyze = |expected: &[&str]| {
            let expected = expected.iter().flat_map(|text| ["--expect", text]);
            shaper(
                &["analyze", a.to_str().unwrap(), b.to_str().unwrap()].into_iter().chain(expected).collect::<Vec<_>>(),
            )
        };
        let held = ["delay.a_to_b.min >= 30ms", "delay.a_to_b.min < 40ms", "matched.a_to_b > 20", "loss.b_to_a > 1%"];
        let output = analyze(&held);
        assert_eq!(output.status.code(), Some(0), "{} {}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert_eq!(analyze(&["delay.b_to_a.p50 < 10ms"]).status.code(), Some(1));
        cable.cut();
    });
}

/// RFC 3339, of seconds since 1970.
fn utc(seconds: u64) -> String {
    let output = std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}
