//! `shaper webrtc load` with clients in another network namespace than its own.

#![cfg(all(feature = "live", feature = "webrtc"))]

#[path = "support/cable.rs"]
mod cable;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use cable::{Cable, FAR, NEAR};
use serde_json::Value;
use support::{SHAPER, on_own_host};

#[test]
fn clients_have_their_sockets_in_the_namespace_that_is_named() {
    on_own_host(|host| {
        let cable = Cable::laid();
        assert!(cable.takes(|_| true), "packets go there and back");
        let listen = format!("{NEAR}:0");
        let mut server = Command::new(SHAPER)
            .args(["webrtc", "serve", "--listen", &listen, "--no-pin", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        let url = format!("ws://{}/ws", started["http"].as_str().unwrap());
        let load =
            ["webrtc", "load", "--netns", "far", "-c", "2", "-d", "3", "-r", "0", "--audio-only", "-s", &url, "--out"];
        let output = Command::new(SHAPER).args(load).arg(host.folder.path()).output().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(output.status.success(), "{output:?}");
        let results = fs::read_to_string(host.folder.path().join("load_test_results.json")).unwrap();
        let results: Value = serde_json::from_str(&results).unwrap();
        for client in results.as_array().unwrap() {
            assert_eq!(client["connectionSuccessful"], true, "{client}");
            let stats = client["stats"].as_array().unwrap();
            let pairs: Vec<&Value> = stats.iter().filter(|stat| stat["type"] == "candidate-pair").collect();
            assert_eq!(pairs.len(), 2);
            for pair in pairs {
                assert!(pair["localCandidateId"].as_str().unwrap().starts_with(&format!("{FAR}:")), "{pair}");
            }
        }
        let wrong = Command::new(SHAPER).args(["webrtc", "load", "--netns", "nowhere", "-s", &url]).output().unwrap();
        assert_eq!(wrong.status.code(), Some(2));
        assert!(String::from_utf8(wrong.stderr).unwrap().contains("nowhere"));
        cable.cut();
    });
}
