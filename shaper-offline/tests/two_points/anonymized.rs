//! Captures written without addresses and contents say the same as before.

use std::{
    fs::{self, File},
    path::Path,
};

use etherparse::PacketBuilder;
use proptest::prelude::*;
use serde_json::Value;
use shaper_offline::{
    analyze::{Analysis, Capture, Clock, Comparison, Options, one_point},
    anonymize::Key,
    merged::{self, Marks, Writing},
    packet::Layers,
    pcapfile::Packet,
};

use super::path::{Draws, MS, Points};

const HOST_A: [u8; 4] = [203, 0, 113, 77];
const HOST_B: [u8; 4] = [198, 51, 100, 13];
const MAC_A: [u8; 6] = [0x00, 0x1b, 0x21, 0xaa, 0xbb, 0xcc];
const MAC_B: [u8; 6] = [0x3c, 0xfd, 0xfe, 0x77, 0x66, 0x55];
const NAME: &[u8] = b"desk.example.org";

fn builder(there: bool) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let ([from, to], [mac_from, mac_to]) =
        if there { ([HOST_A, HOST_B], [MAC_A, MAC_B]) } else { ([HOST_B, HOST_A], [MAC_B, MAC_A]) };
    PacketBuilder::ethernet2(mac_from, mac_to).ipv4(from, to, 64)
}

fn udp(there: bool, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    builder(there).udp(ports.0, ports.1).write(&mut bytes, payload).unwrap();
    bytes
}

/// A packet of every kind in turn.
fn packet(there: bool, number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    match number % 6 {
        0 => udp(there, (5000, 6000), &[NAME, &HOST_A, &number.to_be_bytes(), &[0x5a; 60]].concat()),
        1 => {
            let mut rtp = vec![0x80, 0];
            rtp.extend((number as u16).to_be_bytes());
            rtp.extend((number * 160).to_be_bytes());
            rtp.extend([1, 2, 3, if there { 4 } else { 5 }]);
            rtp.extend([0xd5; 160]);
            udp(there, (40_000, 40_002), &rtp)
        }
        2 => {
            let step = builder(there).tcp(50_001, 443, number * 100, 1024).ack(77);
            step.write(&mut bytes, &[NAME, &[number as u8; 84]].concat()).unwrap();
            bytes
        }
        // Short content, of which only the number differs.
        3 => udp(there, (7000, 7001), &number.to_be_bytes()[1..]),
        4 => {
            let quoted = udp(!there, (9, 9), &number.to_be_bytes());
            builder(there).icmpv4_raw(3, 3, [0; 4]).write(&mut bytes, &quoted[14..]).unwrap();
            bytes
        }
        _ => {
            let mut hello = [0; 12];
            hello[0..2].copy_from_slice(&(number as u16).to_be_bytes());
            hello[2] = 1;
            hello[5] = 1;
            udp(there, (5353, 53), &[&hello[..], b"\x04desk\x07example\x03org\0\0\x01\0\x01"].concat())
        }
    }
}

/// Both ways, with loss, delays that overtake each other, copies and damage.
fn path(seed: u64, packets: u32, snaplen: [Option<usize>; 2]) -> Points {
    let mut draws = Draws(seed);
    let mut points = Points { snaplen, ..Points::default() };
    for number in 0..packets {
        for there in [true, false] {
            let sent = i64::from(number) * MS;
            let frame = packet(there, number);
            let arrives = sent + 5 * MS + draws.below(4_000_000) as i64;
            let mut arrived = frame.clone();
            match draws.below(40) {
                0 | 1 => arrived.clear(),
                2 => *arrived.last_mut().unwrap() ^= 0x10,
                _ => {}
            }
            let (from, to) = if there { (&mut points.a, &mut points.b) } else { (&mut points.b, &mut points.a) };
            from.push((sent, frame));
            if !arrived.is_empty() {
                to.push((arrives, arrived.clone()));
                if draws.below(30) == 0 {
                    to.push((arrives + 1000, arrived));
                }
            }
        }
    }
    points
}

fn compare(a: Capture<'_>, b: Capture<'_>, anonymize: Option<Key>) -> (Analysis, Marks) {
    let options = Options { clock: Clock::Same, anonymize, ..Options::default() };
    let mut marks = Marks::default();
    let analysis = Comparison { a, b, only: None, options }.run_into(&mut marks).unwrap();
    (analysis, marks)
}

/// The figures, and those of flows whatever they are called.
fn figures(analysis: &Analysis) -> Vec<String> {
    let all = serde_json::to_value(analysis).unwrap();
    let mut flows: Vec<String> = all["flows"].as_array().unwrap().iter().map(nameless).collect();
    flows.sort();
    let whole = ["total", "a_to_b", "b_to_a", "compared_bytes"].map(|name| all[name].to_string());
    whole.into_iter().chain(flows).collect()
}

fn nameless(flow: &Value) -> String {
    let mut flow = flow.clone();
    flow.as_object_mut().unwrap().remove("flow");
    flow.to_string()
}

fn without_originals(bytes: &[u8]) {
    for secret in [&HOST_A[..], &HOST_B, &MAC_A, &MAC_B, NAME, b"example", b"point"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{secret:x?}");
    }
}

fn says_the_same(seed: u64, packets: u32, snaplen: [Option<usize>; 2], folder: &Path) {
    let (a, b) = path(seed, packets, snaplen).write(folder);
    let key = Key::new([seed as u8; 32]);
    let [whole_a, whole_b] = [&a, &b].map(|path| Capture::whole(path));
    let (plain, _) = compare(whole_a, whole_b, None);
    let (hidden, marks) = compare(whole_a, whole_b, Some(key));
    assert_eq!(figures(&hidden), figures(&plain));
    let text = format!("{hidden}{}", serde_json::to_string(&hidden).unwrap());
    for secret in ["203.0.113", "198.51.100", "pcapng", "point"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let out = folder.join("both.pcapng");
    let writing = Writing { application: "test", anonymize: Some(key) };
    let written = merged::write([&a, &b], &marks, &hidden, &writing, File::create(&out).unwrap()).unwrap();
    assert_eq!(written.packets, plain.files[0].packets + plain.files[1].packets);
    without_originals(&fs::read(&out).unwrap());
    let [of_a, of_b] = ["a: 0", "b: 0"].map(|name| Capture { interface: Some(name), ..Capture::whole(&out) });
    let (again, _) = compare(of_a, of_b, None);
    for (is, was) in figures(&again).into_iter().zip(figures(&plain)) {
        assert_eq!(is, was);
    }
    let names = |analysis: &Analysis| {
        let mut names: Vec<_> = analysis.flows.iter().map(|flow| flow.flow).collect();
        names.sort();
        names
    };
    assert_eq!(names(&again), names(&hidden), "the file and the figures have one map");
}

#[test]
fn captures_without_addresses_and_contents_have_the_figures_of_the_originals() {
    let folder = tempfile::tempdir().unwrap();
    says_the_same(1, 1200, [None, None], folder.path());
}

#[test]
fn so_do_captures_that_hold_different_parts_of_packets() {
    let folder = tempfile::tempdir().unwrap();
    says_the_same(2, 600, [Some(96), None], folder.path());
    says_the_same(3, 600, [Some(70), Some(120)], folder.path());
}

#[test]
fn one_capture_keeps_its_streams_and_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = path(4, 600, [None, None]).write(folder.path());
    let out = folder.path().join("one.pcapng");
    let writing = Writing { application: "test", anonymize: Some(Key::new([7; 32])) };
    merged::copy(&a, None, &writing, File::create(&out).unwrap()).unwrap();
    without_originals(&fs::read(&out).unwrap());
    let describe = |path, anonymize| {
        let found = one_point(path, &Options { anonymize, ..Options::default() }).unwrap();
        let mut told = serde_json::to_value(&found).unwrap();
        let mut rtp: Vec<_> = told["rtp"].as_array_mut().unwrap().drain(..).collect();
        for stream in &mut rtp {
            stream.as_object_mut().unwrap().remove("ssrc");
        }
        let mut rtp: Vec<_> = rtp.iter().map(nameless).collect();
        rtp.sort();
        (rtp, told["tcp"].clone(), told["packets"].clone(), told["bytes"].clone())
    };
    let plain = describe(&a, None);
    assert_eq!(plain.0.len(), 2);
    assert_eq!(describe(&out, None), plain);
    assert_eq!(describe(&a, writing.anonymize), plain);
    // Only some of its packets.
    let only = |_: &Packet<'_>, layers: &Layers<'_>| layers.ports() == (40_000, 40_002);
    let some = folder.path().join("some.pcapng");
    let written = merged::copy(&a, Some(&only), &writing, File::create(&some).unwrap()).unwrap();
    let streams = one_point(&some, &Options::default()).unwrap().rtp.streams;
    assert_eq!(written.packets, streams.iter().map(|stream| stream.received).sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_becomes_of_packets(seed: u64) {
        let folder = tempfile::tempdir().unwrap();
        says_the_same(seed, 120, [None, None], folder.path());
    }
}
