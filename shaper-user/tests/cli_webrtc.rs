//! `shaper webrtc` as a process of its own, without root, on loopback.

#![cfg(feature = "webrtc")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/sfu.rs"]
mod sfu;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;
use sfu::Server;

fn shaper(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
    command.arg("webrtc").args(arguments);
    command
}

fn start(arguments: &[&str]) -> Server {
    let server = Server::start("127.0.0.1", arguments);
    assert!(server.media.starts_with("127.0.0.1:"));
    server
}

fn get(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(&server.http).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn map_log(path: &Path) -> Output {
    shaper(&["map-log"]).arg(path).output().unwrap()
}

#[test]
fn a_server_serves_until_a_signal_and_ends_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("map");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = start(&["--map-log", log.to_str().unwrap()]);
        assert!(get(&server, "GET /health").starts_with("HTTP/1.1 200 "));
        let ended = server.stop(signal);
        assert_eq!(ended["event"], "stopped");
        assert_eq!(ended["metrics"]["shaper_webrtc_rtp_received_total"], 0);
        let printed = map_log(&log);
        assert!(printed.status.success());
        let first = String::from_utf8(printed.stdout).unwrap();
        let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
        assert_eq!(first["record"], "clock");
    }
}

#[test]
fn tokens_are_read_from_a_file_that_must_have_some() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "\n  \n").unwrap();
    let path = tokens.to_str().unwrap();
    let refused = shaper(&["serve", "--listen", "127.0.0.1:0", "--token-file", path]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("has no token"));
    std::fs::write(&tokens, "secret\n").unwrap();
    let server = start(&["--token-file", path]);
    assert!(get(&server, "POST /whip/room").starts_with("HTTP/1.1 401 "));
    server.stop(Signal::SIGTERM);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_runs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = shaper(&["serve", "--listen", &address]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&address) && said.contains("TCP"), "{said}");
    let everywhere = shaper(&["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(everywhere.status.code(), Some(2));
    assert!(String::from_utf8(everywhere.stderr).unwrap().contains("unspecified"));
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, "else").unwrap();
    let refused = map_log(&other);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("no mapping log"));
}

#[test]
fn the_page_is_served_where_it_is_asked_for() {
    assert!(get(&start(&[]), "GET /").starts_with("HTTP/1.1 404 "));
    let server = start(&["--page"]);
    let page = get(&server, "GET /");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<!DOCTYPE html>"), "{page}");
    assert!(get(&server, "GET /shape").ends_with(r#"{"interface":null,"profiles":[]}"#));
    // Without the page there is nobody to ask.
    let refused = shaper(&["serve", "--listen", "127.0.0.1:0", "--shape", "eth0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
