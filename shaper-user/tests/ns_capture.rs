//! Interfaces captured by the command: what is in the file, in which order, and what it says of what it dropped.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/command.rs"]
mod command;
mod support;
#[path = "support/wireshark.rs"]
mod wireshark;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use cable::{Cable, DEVICE, FAR};
use command::{SOON, shaper, signal, start, stderr};
use nix::libc;
use shaper_net::process::ProcessId;
use shaper_net::rtnl::Rtnl;
use shaper_offline::pcapfile::{InterfaceStatistics, Reader, Tail};
use shaper_offline::writer::Comment;
use support::{SHAPER, Traces, on_own_host, until};
use wireshark::opens;

/// A capture that goes on.
struct Capturing {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Capturing {
    fn started(arguments: &[&str]) -> Self {
        let mut child = Command::new(SHAPER)
            .arg("capture")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        stderr.read_line(&mut first).unwrap();
        assert!(first.starts_with("capturing "), "{first}");
        Self { child, stderr }
    }

    fn signal(&self, number: i32) {
        signal(ProcessId::of(self.child.id()).unwrap(), number);
    }

    /// Its exit code and what it said, once it has been told to end.
    fn interrupted(self) -> (Option<i32>, String) {
        self.signal(libc::SIGINT);
        self.ended()
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

/// What a file holds.
#[derive(Default)]
struct Held {
    interfaces: Vec<(String, Option<InterfaceStatistics>)>,
    stamps: Vec<i64>,
    /// Packets by interface.
    packets: Vec<u64>,
    /// Drops told with packets.
    gaps: u64,
    clock: Option<String>,
}

fn held(path: &Path) -> Held {
    let mut reader = Reader::open(path).unwrap();
    let mut held = Held::default();
    while let Some(packet) = reader.next_packet().unwrap() {
        held.stamps.push(packet.ts_ns.unwrap());
        held.packets.resize(held.packets.len().max(packet.interface as usize + 1), 0);
        held.packets[packet.interface as usize] += 1;
        held.gaps += packet.dropcount.unwrap_or(0);
    }
    assert_eq!(reader.tail(), Tail::Complete, "{}", path.display());
    held.clock = reader.section_comments()[0].first().cloned();
    let described = reader.interfaces().iter();
    held.interfaces =
        described.map(|interface| (interface.name.clone().unwrap_or_default(), interface.statistics)).collect();
    held
}

/// A cable that packets pass: just laid it may lose them, until it is up and addresses are known.
fn carrying() -> Cable {
    let cable = Cable::laid();
    assert!(until(SOON, || cable.takes(|took| took < SOON)));
    cable
}

/// Sends datagrams to nobody.
fn send(count: usize, length: usize, to: Ipv4Addr) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    for _ in 0..count {
        // That nobody takes them may be told to the socket.
        let _ = socket.send_to(&vec![7; length], (to, 7007));
    }
}

#[test]
fn what_passes_two_interfaces_is_in_one_file_in_order_of_time() {
    on_own_host(|host| {
        let cable = carrying();
        let before = Traces::now();
        let path = host.folder.path().join("a.pcapng");
        let file = path.to_str().unwrap();
        let capturing = Capturing::started(&[DEVICE, "lo", "-w", file, "--filter", "udp port 7007"]);
        for _ in 0..10 {
            assert_eq!(cable.echo(5).iter().flatten().count(), 5);
            send(3, 20, Ipv4Addr::LOCALHOST);
        }
        let (code, said) = capturing.interrupted();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("eth0: 100 packets written, 100 received, 0 dropped by the capture"), "{said}");
        assert!(said.contains("lo: 30 packets written"), "{said}");

        let held = held(&path);
        assert!(held.stamps.is_sorted());
        assert_eq!(held.packets, [100, 30]);
        let names: Vec<_> = held.interfaces.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [DEVICE, "lo"]);
        for ((_, statistics), packets) in held.interfaces.iter().zip(&held.packets) {
            let told = statistics.unwrap();
            assert_eq!((told.received, told.dropped), (Some(*packets), Some(0)));
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!(held.clock.unwrap(), format!("shaper clock={}", boot.trim()), "so that two such files compare");
        opens(&path, 130);
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

/// What is said of the packets of one point: by cause, and how many have no fate.
fn fates(path: &Path, point: &str) -> (BTreeMap<String, u64>, u64) {
    let mut reader = Reader::open(path).unwrap();
    let (mut by_cause, mut without) = (BTreeMap::new(), 0);
    while let Some((packet, interfaces)) = reader.next_with_interfaces().unwrap() {
        if interfaces[packet.interface as usize].name.as_deref() != Some(point) {
            continue;
        }
        let comment = packet.comments().find_map(|comment| Comment::parse(comment).unwrap());
        match comment.and_then(|comment| comment.cause) {
            Some(cause) => *by_cause.entry(cause).or_default() += 1,
            None => without += 1,
        }
    }
    assert_eq!(reader.tail(), Tail::Complete);
    (by_cause, without)
}

#[test]
fn the_fate_of_each_packet_of_an_impaired_interface_is_in_the_file_dropped_ones_included() {
    on_own_host(|host| {
        const MANY: u32 = 400;
        let cable = carrying();
        let before = Traces::now();
        let applied =
            shaper(&["apply", DEVICE, "--egress", "--loss 25% --delay 5ms", "--ingress", "--delay 2ms", "--detach"]);
        assert!(applied.status.success(), "{}", stderr(&applied));
        let path = host.folder.path().join("a.pcapng");
        let file = path.to_str().unwrap();
        let capturing = Capturing::started(&[DEVICE, "-w", file, "--fates", "--filter", "udp"]);
        let answered = cable.echo(20).iter().flatten().count();
        assert!((1..20).contains(&answered), "{answered} of 20 at a loss of 25 %");
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        for number in 0..MANY {
            // That nobody takes them may be told to the socket.
            let _ = socket.send_to(&number.to_be_bytes(), (FAR, 7007));
        }
        // The last of them is out once one that came later is.
        assert!(until(SOON, || cable.echo(1)[0].is_some()));
        let (code, said) = capturing.interrupted();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("0 dropped by the capture"), "{said}");

        let (host_side, without) = fates(&path, "eth0:host");
        let lost = host_side["loss"];
        assert_eq!(without, 0, "{said}");
        assert!((60..150).contains(&lost), "{lost} lost");
        let (network_side, without) = fates(&path, "eth0:network");
        assert!(network_side.keys().eq(["none"]), "{network_side:?}");
        assert_eq!(without, 0, "{said}");
        // What was let through is at both sides, each way.
        assert_eq!(host_side["none"], network_side["none"]);
        // Others than those captured are decided on too.
        let (told, _) = said.split_once(" dropped by loss").unwrap();
        assert!(told.rsplit(' ').next().unwrap().parse::<u64>().unwrap() >= lost, "{said}");
        let all = lost + host_side["none"] + network_side["none"];
        assert!(said.contains(&format!("{all} of {all} packets have a fate")), "{said}");

        // The same from the captures alone.
        let analysed = shaper(&["analyze", file, "--points", "eth0:host,eth0:network", "--json"]);
        let analysed: serde_json::Value = serde_json::from_slice(&analysed.stdout).unwrap();
        assert_eq!(analysed["total"]["lost"], lost);
        assert!(analysed["a_to_b"]["delay_ns"]["min"].as_i64().unwrap() >= 5_000_000, "{analysed}");
        assert!(shaper(&["clear", DEVICE]).status.success());
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn fates_end_with_whoever_impairs_and_what_was_captured_is_in_the_file() {
    on_own_host(|host| {
        let cable = carrying();
        let path = host.folder.path().join("a.pcapng");
        let file = path.to_str().unwrap();
        let nobody = shaper(&["capture", DEVICE, "-w", file, "--fates"]);
        assert_eq!(nobody.status.code(), Some(2));
        assert!(stderr(&nobody).contains("eth0 is not impaired by any shaper"), "{}", stderr(&nobody));
        let apply = |flags: &[&str]| {
            let applied = shaper(&[&["apply", DEVICE, "--delay", "3ms", "--detach"], flags].concat());
            assert!(applied.status.success(), "{}", stderr(&applied));
        };
        apply(&["--records", "off"]);
        let unrecorded = shaper(&["capture", DEVICE, "-w", file, "--fates"]);
        assert!(stderr(&unrecorded).contains("without --records off"), "{}", stderr(&unrecorded));
        let piped = shaper(&["capture", DEVICE, "-w", "-", "--fates"]);
        assert!(stderr(&piped).contains("name a file"), "{}", stderr(&piped));
        assert!(!path.exists());
        assert!(shaper(&["clear", DEVICE]).status.success());

        apply(&[]);
        let capturing = Capturing::started(&[DEVICE, "-w", file, "--fates", "--filter", "udp port 7007"]);
        send(50, 100, FAR);
        assert!(until(SOON, || cable.echo(1)[0].is_some()));
        assert!(shaper(&["clear", DEVICE]).status.success());
        let (code, said) = capturing.ended();
        assert_eq!(code, Some(2), "{said}");
        let (fates, _) = fates(&path, "eth0:host");
        assert!(fates["none"] >= 51, "{fates:?}: {said}");
        let left: Vec<_> = fs::read_dir(host.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [path], "and nothing else");
        cable.cut();
    });
}

#[test]
fn a_ring_keeps_the_last_files_and_each_is_whole() {
    on_own_host(|host| {
        let cable = carrying();
        let path = host.folder.path().join("ring.pcapng");
        let capturing = Capturing::started(&[DEVICE, "-w", path.to_str().unwrap(), "--ring", "1MiBx2"]);
        send(3000, 1400, FAR);
        let files = || {
            let mut names: Vec<PathBuf> =
                fs::read_dir(host.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            names
        };
        assert!(until(SOON, || files().last().is_some_and(|last| last.ends_with("ring-00005.pcapng"))));
        let (code, said) = capturing.interrupted();
        assert_eq!(code, Some(0), "{said}");
        let names = files();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(said.contains("files"), "{said}");
        let mut last = i64::MIN;
        for path in names {
            let held = held(&path);
            let told = held.interfaces[0].1.unwrap();
            assert_eq!(told.received.unwrap() - told.dropped.unwrap(), held.packets[0], "of this file alone");
            assert!(told.end.unwrap() >= *held.stamps.last().unwrap());
            assert!(held.stamps.is_sorted() && held.stamps[0] >= last);
            opens(&path, held.packets[0]);
            last = *held.stamps.last().unwrap();
        }
        let again = shaper(&["capture", DEVICE, "-w", path.to_str().unwrap(), "--ring", "1MiBx2"]);
        assert_eq!(again.status.code(), Some(2));
        assert!(stderr(&again).contains("of an earlier ring"), "{}", stderr(&again));
        cable.cut();
    });
}

#[test]
fn what_the_capture_drops_is_told_at_the_end_of_the_file_and_on_standard_error() {
    on_own_host(|host| {
        let cable = carrying();
        let path = host.folder.path().join("a.pcapng");
        let file = path.to_str().unwrap();
        let capturing = Capturing::started(&[DEVICE, "-w", file, "--buffer", "1MiB", "--filter", "udp port 7007"]);
        capturing.signal(libc::SIGSTOP);
        send(4000, 1400, FAR);
        capturing.signal(libc::SIGCONT);
        let (code, said) = capturing.interrupted();
        assert_eq!(code, Some(0), "{said}");
        let held = held(&path);
        let told = held.interfaces[0].1.unwrap();
        let (received, dropped) = (told.received.unwrap(), told.dropped.unwrap());
        assert_eq!(received, 4000);
        assert!(dropped > 1000, "{dropped}");
        assert_eq!(held.packets[0], received - dropped);
        assert_eq!(held.gaps, 0, "where it was is not known");
        opens(&path, held.packets[0]);
        assert!(said.contains(&format!("{dropped} dropped by the capture")), "{said}");
        assert!(said.contains("a larger --buffer"), "{said}");
        cable.cut();
    });
}

#[test]
fn it_ends_by_itself_after_a_number_or_a_time_and_writes_to_a_pipe() {
    on_own_host(|host| {
        let cable = carrying();
        let mut counted = Capturing::started(&[DEVICE, "-w", "-", "--count", "7", "--snaplen", "60"]);
        send(20, 500, FAR);
        let mut bytes = Vec::new();
        counted.child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(counted.ended().0, Some(0));
        let piped = host.folder.path().join("piped.pcapng");
        fs::write(&piped, bytes).unwrap();
        assert_eq!(held(&piped).packets, [7]);
        let mut reader = Reader::open(&piped).unwrap();
        while let Some(packet) = reader.next_packet().unwrap() {
            assert!(packet.caplen <= 60 && packet.origlen >= packet.caplen);
        }

        let path = host.folder.path().join("far.pcapng");
        let mut timed = start(&["capture", DEVICE, "--netns", "far", "-w", path.to_str().unwrap(), "--for", "200ms"]);
        assert!(timed.wait().unwrap().success());
        assert_eq!(held(&path).interfaces[0].0, DEVICE);
        cable.cut();
    });
}

#[test]
fn a_pipe_that_nobody_reads_any_more_is_given_up_when_it_is_to_end() {
    on_own_host(|_| {
        let cable = carrying();
        let mut capturing = Capturing::started(&[DEVICE, "-w", "-", "--filter", "udp port 7007"]);
        let mut stdout = capturing.child.stdout.take().unwrap();
        // Several times what a pipe holds.
        send(400, 1400, FAR);
        let mut bytes = vec![0; 4_096];
        // The capture hands on all that it has, or this waits for ever; the rest of it then waits for us.
        stdout.read_exact(&mut bytes).unwrap();
        let (code, said) = capturing.interrupted();
        assert_eq!(code, Some(2), "{said}");
        let words: Vec<&str> = said.split_whitespace().collect();
        let at = words.windows(2).position(|pair| pair == ["nobody", "reads"]).unwrap();
        let [out, left, received] = [3, 7, 10].map(|behind| words[at + behind].parse::<u64>().unwrap());
        assert_eq!((received, left), (400, received - out), "{said}");

        stdout.read_to_end(&mut bytes).unwrap();
        let mut reader = Reader::from_bytes("piped", bytes).unwrap();
        let mut whole = 0;
        while reader.next_packet().unwrap().is_some() {
            whole += 1;
        }
        assert_eq!(whole, out, "what it says is out is there");
        assert!(whole > 0 && whole < 400 && reader.tail() != Tail::Complete);
        cable.cut();
    });
}

#[test]
fn an_interface_that_goes_away_is_told_and_the_file_is_whole() {
    on_own_host(|host| {
        let cable = carrying();
        let path = host.folder.path().join("a.pcapng");
        let capturing = Capturing::started(&[DEVICE, "-w", path.to_str().unwrap(), "--filter", "udp port 7007"]);
        let described = fs::metadata(&path).unwrap().len();
        send(9, 100, FAR);
        assert!(until(SOON, || fs::metadata(&path).unwrap().len() > described));
        let rtnl = Rtnl::open().unwrap();
        rtnl.delete(rtnl.link(DEVICE).unwrap().index).unwrap();
        let (code, said) = capturing.ended();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("ended early, with 9 packets in") && said.contains("eth0"), "{said}");
        assert_eq!(held(&path).packets, [9]);
        drop(cable.far);
        cable.journal.undo().unwrap();
    });
}

#[test]
fn what_cannot_be_captured_is_told_and_no_file_is_made() {
    on_own_host(|host| {
        let path = host.folder.path().join("a.pcapng");
        let there = host.folder.path().join("there.pcapng");
        fs::write(&there, "mine").unwrap();
        let [file, there_already] = [&path, &there].map(|path| path.to_str().unwrap());
        for (arguments, words) in [
            (&["nosuch0", "-w", file][..], "nosuch0: no such interface"),
            (&["lo", "lo", "-w", file], "lo is named twice"),
            (&["lo", "any", "-w", file], "any is all interfaces"),
            (&["lo", "-w", file, "--filter", "udp prot 5"], "--filter"),
            (&["lo", "-w", there_already], "is there already"),
            (&["lo", "-w", "/nosuch/a.pcapng"], "cannot be written"),
            (&["lo", "-w", file, "--snaplen", "3"], "from 16 to 256KiB"),
            (&["lo", "-w", file, "--ring", "5"], "100MBx10"),
            (&["lo", "-w", "-", "--ring", "1MiBx2"], "a ring is of files"),
            (&["lo", "-w", file, "--netns", "nosuch"], "nosuch"),
            (&["lo", "-w", file, "--pid", "4294967295"], "there is no process"),
        ] {
            let output = shaper(&[&["capture"], arguments].concat());
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        }
        assert!(!path.exists());
        assert_eq!(fs::read(&there).unwrap(), b"mine");
    });
}
