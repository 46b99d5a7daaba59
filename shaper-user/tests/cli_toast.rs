//! `shaper toast`: both ends as separate processes, without root, on the loopback device.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// An end, in a folder that takes its log; killed when the test fails.
struct End(Option<Child>);

impl End {
    fn start(folder: &Path, arguments: &[&str], group: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_shaper"))
            .arg("toast")
            .args(arguments)
            .args(["--interface", "lo", "--group", group])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    fn end(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    fn stop(self) -> Output {
        let pid = i32::try_from(self.0.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        self.end()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A group at a port that nobody has now: tests of other trees run on the same loopback device.
fn group() -> String {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("239.255.77.77:{port}")
}

/// Waits until a log says that its writer is a member of the group.
fn until_joined(log: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains("\"event\":\"joined\"")) {
        assert!(Instant::now() < end, "{} never says joined", log.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The score of these logs, and the exit code that it must end with.
fn score(folder: &Path, logs: &[&str], code: i32) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_shaper"))
        .args(["toast", "score", "--json"])
        .args(logs)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_peer_follows_a_controller_and_the_score_is_read_from_both_logs() {
    let folder = tempfile::tempdir().unwrap();
    let group = group();
    for checksum in ["crc16", "sum16"] {
        let [in_a, in_b] = ["a", "b"].map(|name| format!("{checksum}-{name}.jsonl"));
        let peer = ["peer", "--name", "b", "--checksum", checksum, "--log", &in_b];
        let peer = End::start(folder.path(), &peer, &group);
        until_joined(&folder.path().join(&in_b));
        let controller = ["controller", "--name", "a", "--checksum", checksum, "--log", &in_a];
        let times = ["--duration", "1s", "--spacing", "100ms"];
        let controller = End::start(folder.path(), &[&controller[..], &times].concat(), &group).end();
        let peer = peer.stop();
        let said = String::from_utf8(controller.stdout).unwrap();
        assert_eq!(controller.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&controller.stderr));
        assert!(said.contains("commands  10 sent") && said.contains("answers   10 of 10 from b"), "{said}");
        assert!(said.contains("shaper toast score"), "{said}");
        let said = String::from_utf8(peer.stdout).unwrap();
        assert_eq!(peer.status.code(), Some(0), "{said}");
        assert!(said.contains("10 heard in 30 copies, 10 applied"), "{said}");
        let score = score(folder.path(), &[&in_a, &in_b], 0);
        assert_eq!(score["delivery"]["count"], 10, "{checksum}: {score}");
        assert_eq!(score["peers"][0]["applied_once"], 10, "{checksum}: {score}");
    }
}

#[test]
fn a_controller_that_only_hears_itself_delivers_nothing_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["controller", "--name", "a", "--duration", "500ms", "--spacing", "100ms"];
    let ended = End::start(folder.path(), &arguments, &group()).end();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("answers   none"), "{said}");
    let score = score(folder.path(), &["toast-a.jsonl", "--expect-peer", "b"], 1);
    assert_eq!((&score["delivery"]["count"], &score["delivery"]["of"]), (&0.into(), &5.into()), "{score}");
    assert!(score["controller_self_heard"].as_u64().unwrap() >= 15, "{score}");
}
