//! `shaper webrtc load` as a process of its own, against `shaper webrtc serve`, without root, on loopback.

#![cfg(feature = "webrtc")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn shaper(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
    command.arg("webrtc").args(arguments);
    command
}

/// A server, killed at the end.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--no-pin", "--json"];
        let mut process = shaper(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        let url = format!("ws://{}/ws", started["http"].as_str().unwrap());
        Self { process, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A short load with its results in a folder.
fn load(url: &str, out: &Path, more: &[&str]) -> Command {
    let out = out.to_str().unwrap();
    let fixed =
        ["load", "-c", "3", "-d", "3", "-r", "1", "--quality", "480p", "--drain", "2s", "-s", url, "--out", out];
    let mut command = shaper(&fixed);
    command.args(more);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_load_writes_both_files_and_is_held_against_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let log = folder.path().join("packets");
    let expected = ["--expect", "connected >= 100%", "--expect", "received >= 99%", "--expect", "p95(e2e) < 60s"];
    let output = load(&server.url, folder.path(), &expected)
        .args(["--json", "--packet-log", log.to_str().unwrap()])
        .output()
        .unwrap();
    let (out, error) = told(&output);
    assert!(output.status.success(), "{out}{error}");
    let started: Value = serde_json::from_str(error.lines().next().unwrap()).unwrap();
    assert!(started["monotonic_ns"].as_u64().unwrap() > 0 && started["started"].as_u64().unwrap() > 0);
    assert_eq!(out.lines().count(), 1);
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary, json(&folder.path().join("load_test_summary.json")));
    for (name, value) in [("totalClients", 3), ("successfulConnections", 3), ("totalProducersCreated", 6)] {
        assert_eq!(summary[name], value, "{name}");
    }
    assert_eq!(summary["expectations"][0]["held"], true);
    let clients = json(&folder.path().join("load_test_results.json"));
    assert_eq!(clients.as_array().unwrap().len(), 3);
    for name in [
        "clientId",
        "connectionSuccessful",
        "connectionTimeMs",
        "totalPacketsSent",
        "totalPacketsReceived",
        "totalBytesSent",
        "totalBytesReceived",
        "errors",
        "producersCreated",
        "consumersCreated",
    ] {
        assert!(!clients[0][name].is_null(), "{name}");
    }
    assert!(std::fs::metadata(&log).unwrap().len() > 1000);
}

#[test]
fn what_is_not_as_expected_ends_with_1_and_what_cannot_run_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let failed = load(&server.url, folder.path(), &["--expect", "p50(e2e) < 1us", "--audio-only"]).output().unwrap();
    let (out, error) = told(&failed);
    assert_eq!(failed.status.code(), Some(1), "{out}{error}");
    assert!(out.contains("expected p50(e2e) < 1us: FAILED"), "{out}");
    assert!(out.contains("verdict"), "{out}");
    for bad in [vec!["--expect", "loss.up < 1%"], vec!["--audio-only", "--video-only"], vec!["-s", "http://127.0.0.1"]]
    {
        let refused = load("ws://127.0.0.1:9/ws", folder.path(), &[]).args(&bad).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn without_a_server_there_is_no_media_and_the_stage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", free.local_addr().unwrap());
    drop(free);
    let output = load(&url, folder.path(), &["-d", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "the flag is given twice");
    let output =
        shaper(&["load", "-c", "2", "-d", "1", "-r", "0", "-s", &url, "--out"]).arg(folder.path()).output().unwrap();
    let (out, error) = told(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{error}");
    assert!(out.contains("no media") && out.contains("2 clients failed at connect"), "{out}");
}

#[test]
fn a_server_that_is_killed_is_named_as_lost_signalling_and_nothing_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let arguments = ["-d", "1h", "-c", "2", "-r", "0", "--timeout", "2s", "--audio-only", "--json"];
    let mut process = shaper(&["load", "-s", &server.url])
        .args(arguments)
        .arg("--out")
        .arg(folder.path())
        .args(["--packet-log", folder.path().join("packets").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    // Both are there when the log has packets: its batches are written once a second.
    while std::fs::metadata(folder.path().join("packets")).unwrap().len() < 10_000 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(server);
    // Longer than a client may take to give up.
    std::thread::sleep(std::time::Duration::from_secs(6));
    kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = process.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["failedStages"]["signalling"], 2, "{summary}");
    let clients = json(&folder.path().join("load_test_results.json"));
    for client in clients.as_array().unwrap() {
        let errors = client["errors"][0].as_str().unwrap();
        assert!(errors.contains("cannot be taken up"), "{errors}");
        assert!(client["totalPacketsReceived"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_signal_ends_it_early_with_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let arguments = ["load", "-c", "2", "-d", "1h", "-r", "0", "--audio-only", "-s", &server.url, "--json", "--out"];
    let mut process =
        shaper(&arguments).arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("monotonic_ns"), "{line}");
    kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let output = process.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["interrupted"], true);
    assert_eq!(json(&folder.path().join("load_test_results.json")).as_array().unwrap().len(), 2);
}
