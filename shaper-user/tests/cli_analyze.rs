//! `shaper analyze` as it is typed: what it chooses of captures, and what it says where it cannot answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use shaper_offline::pcapfile::{Reader, Tail};
use shaper_offline::writer::{NewInterface, NewPacket, Section, Writer};

const MS: i64 = 1_000_000;

/// A numbered datagram from 10.0.0.1 to 10.0.0.2, with its TTL, which ends the sending MAC address too.
fn datagram(port: u16, number: u32, ttl: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, ttl, 8, 0];
    frame.extend([0x45, 0, 0, 48, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0x17, 0x70, 0, 28, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.extend([0x33; 16]);
    frame
}

/// Packets in order of time: stamp, interface, frame.
fn capture(path: &Path, interfaces: &[&str], mut packets: Vec<(i64, usize, Vec<u8>)>) {
    let mut writer = Writer::new(File::create(path).unwrap(), &Section::default()).unwrap();
    let interface = |name| NewInterface { name, description: None, filter: None, linktype: 1, snaplen: 0 };
    let ids: Vec<_> = interfaces.iter().map(|name| writer.add_interface(&interface(name)).unwrap()).collect();
    packets.sort_by_key(|packet| packet.0);
    for (ts_ns, at, data) in packets {
        let packet = NewPacket { ts_ns, origlen: data.len() as u32, data: &data, ..NewPacket::default() };
        writer.packet(ids[at], &packet).unwrap();
    }
    writer.finish().unwrap();
}

/// Two flows into a box and out of it: in eth0 with TTL 64, out of eth1 with TTL 63 after 2 ms. Number 7 of port 5000
/// is lost, 9 of it takes 60 ms.
fn through_a_box(folder: &Path) -> PathBuf {
    let mut packets = Vec::new();
    for number in 0..40 {
        for port in [5000, 5001] {
            let sent = i64::from(number) * 10 * MS;
            packets.push((sent, 0, datagram(port, number, 64)));
            let late = if number == 9 && port == 5000 { 58 * MS } else { 0 };
            if number != 7 || port != 5000 {
                packets.push((sent + 2 * MS + late, 1, datagram(port, number, 63)));
            }
        }
    }
    let path = folder.join("run.pcapng");
    capture(&path, &["eth0", "eth1"], packets);
    path
}

fn shaper(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).current_dir(folder).output().unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = shaper(folder, &[&["analyze", "--json"], arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn points_of_one_file_are_named_by_interface_or_by_filter() {
    let folder = tempfile::tempdir().unwrap();
    through_a_box(folder.path());
    for flags in [&["--points", "eth0,eth1"][..], &["--points", "0,1"]] {
        let found = json(folder.path(), &[&["run.pcapng"], flags].concat());
        assert_eq!(found["schema_version"], 1);
        assert_eq!((&found["total"]["sent"], &found["total"]["lost"]), (&80.into(), &1.into()), "{flags:?}");
        let loss = found["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == "loss").unwrap();
        assert_eq!((&loss["severity"], &loss["count"]), (&"note".into(), &1.into()));
        assert_eq!(loss["frames_a"].as_array().unwrap().len(), 1);
    }
    let filters = ["ether src host 02:00:00:00:00:40", "ether src host 02:00:00:00:00:3f"];
    let found = json(folder.path(), &["run.pcapng", "--point-a", filters[0], "--point-b", filters[1]]);
    assert_eq!(found["clock"]["method"], "one_file");
    assert_eq!((&found["a_to_b"]["sent"], &found["a_to_b"]["lost"]), (&80.into(), &1.into()));
    let wrong = shaper(folder.path(), &["analyze", "run.pcapng", "--points", "eth0,eth9"]);
    let stderr = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no interface eth9: it has 0 eth0, 1 eth1"), "{stderr}");
    for (wrong, why) in [
        (&["--points", "eth0"][..], "two different interfaces"),
        (&["--points", "eth0,eth0"], "two different interfaces"),
        (&["--points", "eth0,0"], "given twice"),
        (&["--point-a", "udp"], "--point-b"),
        (&["--point-a", filters[0], "--point-b", filters[0]], "are one filter"),
    ] {
        let output = shaper(folder.path(), &[&["analyze", "run.pcapng"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(why), "{wrong:?}: {stderr}");
    }
}

#[test]
fn filters_flows_and_the_waiting_time_choose_what_figures_are_of() {
    let folder = tempfile::tempdir().unwrap();
    through_a_box(folder.path());
    let points = ["run.pcapng", "--points", "eth0,eth1"];
    let sent_and_lost = |flags: &[&str]| {
        let found = json(folder.path(), &[&points, flags].concat());
        (found["total"]["sent"].as_u64().unwrap(), found["total"]["lost"].as_u64().unwrap())
    };
    assert_eq!(sent_and_lost(&["--filter", "udp src port 5001"]), (40, 0));
    assert_eq!(sent_and_lost(&["--flow", "UDP 10.0.0.1:5000 > 10.0.0.2:6000"]), (40, 1));
    assert_eq!(sent_and_lost(&["--tmax", "50ms"]), (80, 2), "what takes 60 ms is lost");
    let one = json(folder.path(), &["run.pcapng", "--flow", ":5001"]);
    assert_eq!(one["packets"], 80);
}

#[test]
fn what_cannot_be_answered_ends_with_2_and_says_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let packets = |from| (0..20_u32).map(|n| (i64::from(n) * MS, 0, datagram(5000, from + n, 64))).collect();
    capture(&path("a.pcapng"), &["eth0"], packets(0));
    capture(&path("b.pcapng"), &["eth0"], packets(7000));
    capture(&path("none.pcapng"), &["eth0"], Vec::new());
    for (arguments, words) in [
        (&["a.pcapng", "b.pcapng"][..], "No packet was recognised in both captures"),
        (&["a.pcapng", "none.pcapng"], "none.pcapng holds no packet: check its interface"),
        (&["a.pcapng", "b.pcapng", "--filter", "tcp"], "The filter leaves none of the 20 packets of a.pcapng"),
        (&["a.pcapng", "--flow", "TCP"], "a.pcapng: The filter leaves no packet"),
        (&["none.pcapng"], "none.pcapng: The capture holds no packet: check its interface"),
        (&["a.pcapng", "--flow", "ten"], "names no flow"),
        (&["a.pcapng", "a.pcapng"], "given twice"),
        (&["a.pcapng", "b.pcapng", "--filter", "prot 7"], "prot"),
    ] {
        let output = shaper(folder.path(), &[&["analyze"], arguments].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        // What is not the case is not told beside.
        let stdout = String::from_utf8(output.stdout).unwrap();
        let not = if words.contains("ilter") || arguments.contains(&"--flow") {
            ["recognised in both", "holds no packet"]
        } else {
            ["filter leaves", "no such"]
        };
        assert!(not.iter().all(|words| !stdout.contains(words)), "{arguments:?}: {stdout}");
    }
}

/// Comments by our tag on each packet of a file, with its interface.
fn marks(path: &Path) -> Vec<(u32, i64, Option<String>)> {
    let mut reader = Reader::open(path).unwrap();
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let found = packet.comments().find(|comment| comment.starts_with("shaper found=")).map(str::to_owned);
        all.push((packet.interface, packet.ts_ns.unwrap(), found));
    }
    assert_eq!(reader.tail(), Tail::Complete);
    all
}

#[test]
fn what_was_found_is_written_onto_the_packets_of_both_points() {
    let folder = tempfile::tempdir().unwrap();
    let run = through_a_box(folder.path());
    let output = shaper(folder.path(), &["analyze", "run.pcapng", "--points", "eth0,eth1", "-w", "marked.pcapng"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = marks(&folder.path().join("marked.pcapng"));
    assert_eq!(written.len(), marks(&run).len(), "one file, whose packets stand there once");
    let found: Vec<_> = written.iter().filter_map(|(at, ts, found)| Some((*at, *ts, found.as_deref()?))).collect();
    assert_eq!(
        found,
        [(0, 70 * MS, "shaper found=lost way=a_to_b"), (1, 150 * MS, "shaper found=reordered way=a_to_b"),]
    );
    let again = shaper(folder.path(), &["analyze", "run.pcapng", "--points", "eth0,eth1", "-w", "marked.pcapng"]);
    assert_eq!(again.status.code(), Some(2), "what is there is not written over");

    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let [a, b] = ["wifi-a.pcapng", "wifi-b.pcapng"].map(|name| captures.join(name).to_str().unwrap().to_owned());
    let output = shaper(folder.path(), &["analyze", &a, &b, "--json", "-w", "both.pcapng"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    let both = marks(&folder.path().join("both.pcapng"));
    let packets: u64 = analysis["files"].as_array().unwrap().iter().map(|file| file["packets"].as_u64().unwrap()).sum();
    assert_eq!(both.len() as u64, packets);
    assert!(both.is_sorted_by_key(|(_, ts, _)| *ts));
    for (name, word) in [("lost", "lost"), ("reordered", "reordered"), ("corrupted", "corrupted")] {
        let marked = both.iter().filter(|(.., found)| found.as_ref().is_some_and(|found| found.contains(word))).count();
        // What was damaged stands in both files.
        let files = if name == "corrupted" { 2 } else { 1 };
        assert_eq!(marked as u64, files * analysis["total"][name].as_u64().unwrap(), "{name}");
    }
    // Of one capture its packets, those that figures are of.
    let output = shaper(folder.path(), &["analyze", &a, "--json", "--filter", "udp", "-w", "one.pcapng"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let described: Value = serde_json::from_slice(&output.stdout).unwrap();
    let one = marks(&folder.path().join("one.pcapng"));
    assert_eq!(Some(one.len() as u64), described["packets"].as_u64());
    assert!(one.len() < marks(Path::new(&a)).len());
}

/// That of the samples of Crypto-PAn.
const KEY: &str = "1522178d33a4cf80130a5b1649907d10d8988f837979652762574c2d2a842202";

#[test]
fn what_is_anonymized_says_the_same_of_nobody() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let [a, b] = ["wifi-a.pcapng", "wifi-b.pcapng"].map(|name| captures.join(name).to_str().unwrap().to_owned());
    let plain = json(folder.path(), &[&a, &b]);
    let hidden = |more: &[&str]| {
        let arguments = [&["analyze", &a, &b, "--json", "--anonymize"][..], more].concat();
        let output = shaper(folder.path(), &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let by_digits = hidden(&["--anonymize-key", KEY, "-w", "both.pcapng"]);
    assert_eq!(by_digits, hidden(&["--anonymize-key", "key", "--csv", "rows.csv"]));
    assert_ne!(hidden(&[]), hidden(&[]), "a key at random links no two runs");
    let of_hidden: Value = serde_json::from_str(&by_digits).unwrap();
    let figures = |analysis: &Value| ["total", "a_to_b", "b_to_a"].map(|name| analysis[name].clone());
    assert_eq!(figures(&of_hidden), figures(&plain));
    let again = json(folder.path(), &["both.pcapng", "--points", "a: 0,b: 0"]);
    assert_eq!(figures(&again), figures(&plain));
    assert_eq!(again["clock"]["method"], plain["clock"]["method"], "the clock has a name still");
    // Addresses as they are told in the plain analysis, and the names of files.
    let rows = std::fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    let flows = plain["flows"].as_array().unwrap();
    assert!(!flows.is_empty());
    for flow in flows {
        for word in flow["flow"].as_str().unwrap().split(' ') {
            let Some((address, _)) = word.rsplit_once(':') else { continue };
            let Ok(address) = address.parse::<std::net::Ipv4Addr>() else { continue };
            if address.is_multicast() {
                continue;
            }
            assert!(!by_digits.contains(&address.to_string()) && !rows.contains(&address.to_string()), "{address}");
            let bytes = std::fs::read(folder.path().join("both.pcapng")).unwrap();
            // Two of four bytes are often 0 or 1; with the other end's in front they are nobody else's.
            let ends = [&address.octets()[..], &[10, 77]].concat();
            assert!(!bytes.windows(ends.len()).any(|window| window == ends), "{address}");
        }
    }
    assert!(!by_digits.contains("wifi"));
}

#[test]
fn a_key_that_is_none_says_what_one_is() {
    let folder = tempfile::tempdir().unwrap();
    through_a_box(folder.path());
    std::fs::write(folder.path().join("short"), "1234").unwrap();
    for (key, said) in [("short", "a key is 32 bytes, or 64 hexadecimal digits"), ("12", "12: cannot be read")] {
        let output = shaper(folder.path(), &["analyze", "run.pcapng", "--anonymize", "--anonymize-key", key]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("head -c 32 /dev/urandom"), "{stderr}");
    }
    let output = shaper(folder.path(), &["analyze", "run.pcapng", "--anonymize-key", "12"]);
    assert_eq!(output.status.code(), Some(2), "a key alone hides nothing");
}

#[test]
fn each_packet_has_a_row_that_adds_up_to_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let [a, b] = ["wifi-a.pcapng", "wifi-b.pcapng"].map(|name| captures.join(name).to_str().unwrap().to_owned());
    let output = shaper(folder.path(), &["analyze", &a, &b, "--json", "--csv", "rows.csv"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = std::fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    assert!(rows.iter().all(|row| row.len() == header.len()));
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let [way, fate, delay, extent] = ["way", "fate", "delay_ns", "extent"].map(column);
    let [time_a, time_b] = ["time_a_ns", "time_b_ns"].map(column);
    for (name, sign) in [("a_to_b", 1), ("b_to_a", -1)] {
        let of: Vec<_> = rows.iter().filter(|row| row[way] == name).collect();
        for fates in ["matched", "lost", "corrupted", "unmatched", "edge"] {
            let counted = of.iter().filter(|row| row[fate] == fates).count() as u64;
            assert_eq!(counted, analysis[name][fates].as_u64().unwrap(), "{name} {fates}");
        }
        let reordered = of.iter().filter(|row| !row[extent].is_empty()).count() as u64;
        assert_eq!(reordered, analysis[name]["reordered"].as_u64().unwrap());
        let number = |text: &str| text.parse::<i64>().unwrap();
        let delays: Vec<i64> = of.iter().filter(|row| row[fate] == "matched").map(|row| number(row[delay])).collect();
        assert_eq!(delays.iter().max().copied(), analysis[name]["delay_ns"]["max"].as_i64());
        assert_eq!(delays.iter().min().copied(), analysis[name]["delay_ns"]["min"].as_i64());
        for row in of.iter().filter(|row| row[fate] == "matched") {
            assert_eq!(number(row[delay]), sign * (number(row[time_b]) - number(row[time_a])));
        }
    }
}

#[test]
fn flags_of_two_points_are_refused_with_one() {
    let folder = tempfile::tempdir().unwrap();
    through_a_box(folder.path());
    for flags in [&["--same-clock"][..], &["--tmax", "1s"], &["--expect", "loss.a_to_b < 1%"]] {
        let output = shaper(folder.path(), &[&["analyze", "run.pcapng"], flags].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{flags:?}: {stderr}");
        let refused = format!("{} is of what lies between two points", flags[0]);
        assert!(stderr.contains(&refused), "{flags:?}: {stderr}");
    }
}

#[test]
fn a_damaged_capture_is_told_up_to_there_with_the_damage_first_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let packets =
        |late| (0..40).map(move |number| (i64::from(number) * MS + late, 0, datagram(5000, number, 64))).collect();
    capture(&folder.path().join("a.pcapng"), &["eth0"], packets(0));
    let damaged = folder.path().join("b.pcapng");
    capture(&damaged, &["eth0"], packets(5 * MS));
    let mut reader = Reader::open(&damaged).unwrap();
    let at = std::iter::from_fn(|| reader.next_packet().unwrap().map(|packet| packet.offset)).nth(30).unwrap() as usize;
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[at + 20..][..4].fill(0xee);
    std::fs::write(&damaged, bytes).unwrap();
    let place = format!("byte {}", at + 20);
    for (arguments, kept) in [(&["b.pcapng"][..], "30 packets"), (&["a.pcapng", "b.pcapng", "--same-clock"], "edge")] {
        let output = shaper(folder.path(), &[&["analyze"], arguments].concat());
        let [text, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains("b.pcapng") && error.contains(&place) && error.contains("copy the file again"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        // Of one capture the first line is what it holds.
        assert!(text.lines().take(2).any(|line| line.contains(&place)) && text.contains(kept), "{text}");
    }
    let output = shaper(folder.path(), &["analyze", "--json", "--same-clock", "a.pcapng", "b.pcapng"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["findings"][0]["kind"], &found["findings"][0]["severity"]),
        (&"damaged".into(), &"error".into())
    );
    assert_eq!(found["files"][1]["damage"]["at"], at + 20);
    assert_eq!((&found["total"]["matched"], &found["total"]["lost"]), (&30.into(), &0.into()));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn of_a_file_that_ends_before_its_first_packet_it_is_not_said_that_it_holds_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    capture(&path, &["eth0"], vec![(0, 0, datagram(5000, 1, 64))]);
    let at = Reader::open(&path).unwrap().next_packet().unwrap().unwrap().offset as usize;
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..at + 10]).unwrap();
    let output = shaper(folder.path(), &["analyze", "a.pcapng", "--html", "page.html"]);
    let [text, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(2), "{error}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    for told in [&text, &page] {
        assert!(told.contains("cut off at") && !told.contains("holds no packet"), "{told}");
    }
    assert!(!error.contains("holds no packet"), "{error}");
}
