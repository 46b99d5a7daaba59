//! Captures of any length are analysed in memory that does not grow with them: below a limit that the kernel holds
//! (RLIMIT_DATA, which maps of files do not count for), far below what a few bytes for each packet would take.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

const MIB: u64 = 1 << 20;
/// From one packet to the next: 50,000 packets a second.
const INTERVAL: u64 = 20_000;
/// From one point to the other.
const DELAY: u64 = 5_000_000;
/// Eight one-way flows of RTP and of numbered datagrams, and two of TCP, whose acknowledgements are flows too.
const FLOWS: u64 = 10;
/// What the analysis of one capture may take.
const ONE_POINT: u64 = 16 * MIB;
/// The same of two: one waiting time of packets, and the delays that are kept one by one.
const TWO_POINTS: u64 = 128 * MIB;
/// Of the long ones, all four million delays that are kept for each direction.
const TWO_POINTS_FULL: u64 = 384 * MIB;

/// The packets of a long capture, one of 1,000 of which is lost on its way to the second point.
fn packets() -> u64 {
    // Without optimisation the long one would take minutes.
    match (full(), cfg!(debug_assertions)) {
        (true, _) => 10_000_000,
        (false, false) => 1_000_000,
        (false, true) => 200_000,
    }
}

fn full() -> bool {
    std::env::var_os("SHAPER_TEST_FULL").is_some()
}

/// Writes a capture of that many packets, in nanoseconds.
fn capture(mut out: impl Write, packets: u64, second: bool) -> io::Result<()> {
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut frame = Vec::new();
    for number in 0..packets {
        if second && number % 1_000 == 777 {
            continue;
        }
        make(&mut frame, number, second);
        let at = 1_700_000_000_000_000_000 + number * INTERVAL + if second { DELAY } else { 0 };
        let length = frame.len() as u64;
        for word in [at / 1_000_000_000, at % 1_000_000_000, length, length] {
            out.write_all(&(word as u32).to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
}

fn make(frame: &mut Vec<u8>, number: u64, second: bool) {
    let (flow, of_flow) = (number % FLOWS, (number / FLOWS) as u32);
    let back = flow == 9;
    frame.clear();
    frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend([64 - u8::from(second), if flow < 8 { 17 } else { 6 }, 0, 0]);
    let ends = [[10, 0, 0, 1], [10, 0, 0, 2]];
    frame.extend(ends[usize::from(back)]);
    frame.extend(ends[usize::from(!back)]);
    match flow {
        // RTP by a clock of 48 kHz, and numbers.
        0..8 => {
            frame.extend([5_000 + 2 * flow as u16, 6_000, 8 + 24, 0].iter().flat_map(|field| field.to_be_bytes()));
            if flow < 4 {
                let units = u64::from(of_flow) * FLOWS * INTERVAL * 48 / 1_000_000;
                for word in [0x8060_0000 | (of_flow & 0xffff), units as u32, 100 + flow as u32] {
                    frame.extend(word.to_be_bytes());
                }
                frame.extend([0x5a; 12]);
            } else {
                frame.extend(number.to_be_bytes());
                frame.extend([0x33; 16]);
            }
        }
        // Eight bytes a segment, each acknowledged.
        _ => {
            let ports: [u16; 2] = if back { [443, 50_000] } else { [50_000, 443] };
            frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            let sent = of_flow.wrapping_mul(8).wrapping_add(1);
            let numbers = if back { [1, sent.wrapping_add(8)] } else { [sent, 1] };
            frame.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
            frame.extend([0x50, 0x10, 0x40, 0, 0, 0, 0, 0]);
            if !back {
                frame.extend([0x44; 8]);
            }
        }
    }
    let length = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
}

/// `shaper analyze` with no more memory than that.
fn within(limit: u64, arguments: &[&str], stdin: Option<u64>) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -d "$0" && exec "$@""#, &(limit / 1024).to_string(), env!("CARGO_BIN_EXE_shaper")]);
    command.args(["analyze", "--json"]).args(arguments);
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.take();
    let writer = thread::spawn(move || {
        if let (Some(pipe), Some(packets)) = (pipe, stdin) {
            // One that ends early has closed it.
            let _ = capture(BufWriter::with_capacity(1 << 16, pipe), packets, false);
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn answer(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_capture_takes_no_more_memory_than_its_flows() {
    let long = packets();
    for packets in [long / 10, long] {
        let found = answer(&within(ONE_POINT, &["-"], Some(packets)));
        assert_eq!(found["packets"], packets);
        assert_eq!(found["rtp"].as_array().unwrap().len(), 4);
        assert_eq!(found["untracked"], 0);
    }
}

#[test]
fn two_captures_take_no_more_memory_than_one_waiting_time_and_what_is_kept_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let long = packets();
    for packets in [long / 10, long] {
        for (name, second) in [("a.pcap", false), ("b.pcap", true)] {
            let file = File::create(folder.path().join(name)).unwrap();
            capture(BufWriter::with_capacity(1 << 20, file), packets, second).unwrap();
        }
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let limit = if full() { TWO_POINTS_FULL } else { TWO_POINTS };
        let found =
            answer(&within(limit, &["--same-clock", "--tmax", "500ms", &path("a.pcap"), &path("b.pcap")], None));
        assert_eq!((&found["total"]["sent"], &found["evicted"]), (&packets.into(), &0.into()));
        assert_eq!(found["total"]["lost"], packets / 1_000);
        assert_eq!(found["total"]["unmatched"], 0);
    }
}

#[test]
fn the_limit_is_one() {
    let output = within(MIB / 4, &["-"], Some(10_000));
    assert_ne!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}
