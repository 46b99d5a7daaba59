//! `shaper webrtc path` on logs that are made up.

#![cfg(feature = "webrtc")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use shaper_webrtc::load::results::{Percentiles, SUMMARY_FILE, Summary};
use shaper_webrtc::packet_log::{self, Received, Sent, Stream};
use shaper_webrtc::serve::{Forwarded, Record};

const IN: u32 = 1;
const OUT: u32 = 2;

fn path(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).args(["webrtc", "path"]).args(arguments).output().unwrap()
}

fn log(magic: &[u8; 8], records: Vec<[u8; 48]>) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.resize(48, 0);
    bytes.extend(records.concat());
    bytes
}

/// A run of ten packets, of which the server does not send on the sixth, without captures.
fn run(folder: &Path) {
    let mut map = vec![Record::Clock { monotonic_ns: 0, realtime_ns: 1 << 60 }.encode()];
    let clock = packet_log::Record::Clock { monotonic_ns: 0, realtime_ns: 1 << 60 };
    let from = Stream { client: 0, out: true, ssrc: IN, ..Stream::default() };
    let to = Stream { client: 1, ssrc: OUT, ..Stream::default() };
    let mut packets: Vec<_> = [clock, packet_log::Record::Stream(from), packet_log::Record::Stream(to)].to_vec();
    for number in 0..10_u16 {
        let time_ns = 1_000_000 * u64::from(number);
        let sent = Sent { ssrc: IN, sequence: number, number: number.into(), time_ns, ..Sent::default() };
        packets.push(packet_log::Record::Sent(sent));
        if number == 5 {
            continue;
        }
        let out = Forwarded {
            ssrc_in: IN,
            ssrc_out: OUT,
            sequence_in: number,
            sequence_out: number + 9,
            ..Default::default()
        };
        map.push(Record::Forwarded(Forwarded { time_in_ns: time_ns + 10, time_out_ns: time_ns + 20, ..out }).encode());
        let received =
            Received { client: 1, ssrc: OUT, sequence: number + 9, time_ns: time_ns + 30, ..Received::default() };
        packets.push(packet_log::Record::Received(received));
    }
    std::fs::write(folder.join("server.map"), log(b"SHWMAP01", map)).unwrap();
    let packets = packets.iter().map(packet_log::Record::encode).collect();
    std::fs::write(folder.join("tester.packets"), log(b"SHWPKT01", packets)).unwrap();
}

#[test]
fn a_run_is_told_by_its_directory_and_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path());
    let directory = folder.path().to_str().unwrap();
    let csv = folder.path().join("rows.csv");
    let by_directory = path(&[directory, "--json", "--csv", csv.to_str().unwrap()]);
    assert!(by_directory.status.success(), "{by_directory:?}");
    let report: Value = serde_json::from_slice(&by_directory.stdout).unwrap();
    assert_eq!(report["joined_by"], "mapping_log");
    assert_eq!((&report["fates"]["delivered"], &report["fates"]["lost_somewhere"]), (&9.into(), &1.into()));
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 11);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let by_files = path(&["--map-log", &file("server.map"), "--packet-log", &file("tester.packets"), "--json"]);
    assert_eq!(by_files.stdout, by_directory.stdout);
    let for_people = path(&[directory]);
    let text = String::from_utf8(for_people.stdout).unwrap();
    assert!(text.contains("lost, not known where") && text.contains("audio from client 0 (SSRC 1)"), "{text}");
}

#[test]
fn a_tester_that_was_late_is_told_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path());
    let slip = Percentiles { count: 100, p99_ms: 35.0, ..Percentiles::default() };
    let summary = Summary { schedule_slip: Some(slip), ..Summary::default() };
    let file = folder.path().join(SUMMARY_FILE);
    std::fs::write(&file, serde_json::to_string(&summary).unwrap()).unwrap();
    let told = path(&[folder.path().to_str().unwrap()]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("the tester was late: slip p99 35.000 ms"), "{text}");
    std::fs::write(&file, "{").unwrap();
    let told = path(&[folder.path().to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8(told.stderr).unwrap().contains("is not what the tester writes"));
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(path(&[])).contains("--packet-log"));
    assert!(said(path(&[directory])).contains("is no directory of a WebRTC run"));
    std::fs::write(folder.path().join("server.map"), "else").unwrap();
    assert!(said(path(&[directory])).contains("no mapping log"));
}
