//! The delay line between two hosts in namespaces of their own. Needs root.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use shaper_common::units::Nanos;
use shaper_delayline::{Counts, Ended, Released, monotonic};
use support::{ADDRESSES, Lab, Running, Shape, Stamp, delay};

const PATIENCE: Duration = Duration::from_secs(10);
const MILLISECOND: u64 = 1_000_000;

fn conserved(counts: &Counts) -> bool {
    let Counts { received, copies, released, held, transmit_errors, no_metadata, copies_dropped } = *counts;
    received + copies == released + held + transmit_errors + no_metadata + copies_dropped
}

/// Waits for a thing to become true, but not for ever.
fn wait_until(done: impl Fn() -> bool, state: impl Fn() -> String) {
    let given_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < given_up, "{}", state());
        std::thread::yield_now();
    }
}

/// A UDP socket on either host.
fn sockets(lab: &Lab) -> [UdpSocket; 2] {
    [0, 1].map(|side| {
        let socket = lab.on_host(side, || UdpSocket::bind((ADDRESSES[side], 7000)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The default holds fewer than 300 small datagrams.
        setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).unwrap();
        socket
    })
}

/// Sends one datagram there and back, so that both hosts know each other's hardware address.
fn greet([a, b]: &[UdpSocket; 2]) {
    let mut buffer = [0; 2048];
    a.send_to(&[0], (ADDRESSES[1], 7000)).unwrap();
    b.recv(&mut buffer).unwrap();
    b.send_to(&[0], (ADDRESSES[0], 7000)).unwrap();
    a.recv(&mut buffer).unwrap();
}

#[test]
fn twenty_milliseconds_each_way_make_forty_there_and_back() {
    let lab = Lab::new();
    let line = Running::start(&lab, Shape::default());
    let pair = sockets(&lab);
    greet(&pair);
    let [a, b] = pair;
    let mut round_trips: Vec<u64> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            for _ in 0..100 {
                let (length, from) = b.recv_from(&mut buffer).unwrap();
                b.send_to(&buffer[..length], from).unwrap();
            }
        });
        let probe = |_| {
            let start = monotonic();
            a.send_to(&[1; 100], (ADDRESSES[1], 7000)).unwrap();
            a.recv(&mut [0; 2048]).unwrap();
            monotonic().0 - start.0
        };
        (0..100).map(probe).collect()
    });
    round_trips.sort_unstable();
    let (least, median) = (round_trips[0], round_trips[50]);
    println!("round trip: least {} us, median {} us", least / 1000, median / 1000);
    assert!(least >= 40 * MILLISECOND, "{least} ns: something left early");
    // A round trip waits for the scheduler six times; on a busy machine that is the larger part of what is left.
    assert!(median < 60 * MILLISECOND, "{median} ns");

    let monitor = line.monitor.clone();
    let (outcome, log) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.unreturned, outcome.leaked), (Ended::Drained, 0, 0, 0));
    for direction in [0, 1] {
        let counts = monitor.counts(direction);
        assert!(conserved(&counts) && counts.held == 0 && counts.released >= 101, "{counts:?}");
        let mut ids: Vec<u64> =
            log.iter().filter(|entry| entry.direction as usize == direction).map(|entry| entry.id).collect();
        ids.sort_unstable();
        let first = (direction as u64) << 48;
        assert_eq!(ids, (first..first + counts.received).collect::<Vec<_>>(), "each packet is logged once");
        assert_eq!(monitor.lateness(direction).unwrap().len(), counts.released);
    }
    assert!(log.iter().all(|entry| entry.sent && entry.actual >= entry.intended), "nothing leaves early");
}

#[test]
fn jitter_reorders_and_packets_leave_in_order_of_release() {
    let lab = Lab::new();
    let stamp = Some(Stamp { delay: Nanos(100 * MILLISECOND), jitter: Nanos(1 << 23), ..Stamp::default() });
    let line = Running::start(&lab, Shape { stamp, ..Shape::default() });
    let pair = sockets(&lab);
    greet(&pair);
    let [a, b] = pair;
    const COUNT: u32 = 2_000;
    for number in 0..COUNT {
        a.send_to(&number.to_le_bytes(), (ADDRESSES[1], 7000)).unwrap();
    }
    let mut buffer = [0; 4];
    let arrived: Vec<u32> = (0..COUNT)
        .map(|_| {
            b.recv(&mut buffer).unwrap();
            u32::from_le_bytes(buffer)
        })
        .collect();
    assert!(!arrived.is_sorted(), "8 ms of jitter on a burst changes its order");
    let mut sorted = arrived;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..COUNT).collect::<Vec<_>>());
    let (outcome, log) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.unreturned, outcome.leaked), (Ended::Drained, 0, 0, 0));
    let intended: Vec<Nanos> = log.iter().filter(|entry| entry.direction == 0).map(|entry| entry.intended).collect();
    assert!(intended.is_sorted());
}

#[test]
fn tcp_arrives_whole() {
    const BYTES: usize = 32 << 20;
    let lab = Lab::new();
    let stamp = delay(2 * MILLISECOND);
    let line = Running::start(&lab, Shape { stamp, ..Shape::default() });
    let listener = lab.on_host(1, || TcpListener::bind((ADDRESSES[1], 7001)).unwrap());
    let sent: Vec<u8> = (0..BYTES).map(|index| ((index * 31) >> 3) as u8).collect();
    let received = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut received = Vec::with_capacity(BYTES);
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received
        });
        let mut stream = lab.on_host(0, || TcpStream::connect((ADDRESSES[1], 7001)).unwrap());
        stream.write_all(&sent).unwrap();
        drop(stream);
        receiver.join().unwrap()
    });
    assert!(received == sent, "{} of {BYTES} bytes, or other ones", received.len());
    let monitor = line.monitor.clone();
    let (outcome, _) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.held, outcome.unreturned, outcome.leaked), (0, 0, 0));
    assert!(conserved(&monitor.counts(0)) && conserved(&monitor.counts(1)));
}

#[test]
fn what_a_small_umem_loses_is_counted() {
    const SENT: u64 = 20_000;
    let lab = Lab::new();
    let stamp = delay(50 * MILLISECOND);
    let line = Running::start(&lab, Shape { frames: 512, ring: 256, stamp, ..Shape::default() });
    let pair = sockets(&lab);
    greet(&pair);
    let before = line.monitor.counts(0).received;
    for _ in 0..SENT {
        pair[0].send_to(&[2; 64], (ADDRESSES[1], 7000)).unwrap();
    }
    let monitor = line.monitor.clone();
    let statistics = || monitor.statistics(0).unwrap().unwrap();
    let received = || monitor.counts(0).received - before;
    let state = || format!("{} received, {:?}", received(), statistics());
    wait_until(|| received() + statistics().lost() == SENT, state);
    let statistics = statistics();
    assert!(statistics.rx_fill_ring_empty_descs > 0, "{statistics:?}");
    assert!(monitor.starved() > 0);
    assert_eq!(monitor.frames_free().1, 0);
    let (outcome, _) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.leaked), (Ended::Drained, 0, 0));
    let counts = monitor.counts(0);
    assert!(conserved(&counts) && counts.held == 0, "{counts:?}");
}

/// A numbered datagram whose length and bytes hang on its number.
fn datagram(number: u32) -> Vec<u8> {
    let pattern = (0..number % 1400).map(|index| (number * 31 + index * 7) as u8);
    b"copy".iter().copied().chain(number.to_le_bytes()).chain(pattern).collect()
}

/// All frames that a host sees, whole.
struct Tap(OwnedFd);

impl Tap {
    fn on(lab: &Lab, side: usize) -> Tap {
        let all = SockProtocol::EthAll;
        let open = || socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), all).unwrap();
        let tap = Tap(lab.on_host(side, open));
        setsockopt(&tap.0, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE.as_secs() as i64, 0)).unwrap();
        setsockopt(&tap.0, sockopt::RcvBufForce, &(16 << 20)).unwrap();
        tap
    }

    /// The next frame with a [`datagram`] in it, and that one's number.
    fn next(&self) -> (u32, Vec<u8>) {
        /// Bytes of the Ethernet, IPv4 and UDP headers.
        const HEADERS: usize = 14 + 20 + 8;
        loop {
            let mut frame = vec![0; 2048];
            let length = recv(self.0.as_raw_fd(), &mut frame, nix::sys::socket::MsgFlags::empty()).unwrap();
            frame.truncate(length);
            if let Some([b'c', b'o', b'p', b'y', number @ ..]) = frame.get(HEADERS..HEADERS + 8) {
                return (u32::from_le_bytes(number.try_into().unwrap()), frame);
            }
        }
    }
}

#[test]
fn copies_leave_with_the_packet_s_bytes_each_a_spacing_behind_the_one_before() {
    for spacing in [0, 3 * MILLISECOND] {
        copies_leave(spacing);
    }
}

fn copies_leave(spacing: u64) {
    const COUNT: u32 = 300;
    const COPIES: u64 = 3;
    const DELAY: u64 = 20 * MILLISECOND;
    let lab = Lab::new();
    let stamp = Stamp { delay: Nanos(DELAY), copies: COPIES as u32, spacing: Nanos(spacing), ..Stamp::default() };
    let line = Running::start(&lab, Shape { stamp: Some(stamp), ..Shape::default() });
    let pair = sockets(&lab);
    greet(&pair);
    let tap = Tap::on(&lab, 1);
    let send = |number| {
        let at = monotonic().0;
        pair[0].send_to(&datagram(number), (ADDRESSES[1], 7000)).unwrap();
        at
    };
    let sent: Vec<u64> = (0..COUNT).map(send).collect();
    let mut arrived: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for _ in 0..u64::from(COUNT) * (1 + COPIES) {
        let (number, frame) = tap.next();
        let frames = arrived.entry(number).or_default();
        let due = sent[number as usize] + DELAY + frames.len() as u64 * spacing;
        assert!(monotonic().0 >= due, "{number}, frame {} of it", frames.len());
        frames.push(frame);
    }
    assert_eq!(arrived.len(), COUNT as usize);
    for (number, frames) in arrived {
        assert_eq!(frames.len() as u64, 1 + COPIES, "{number}");
        assert!(frames.iter().all(|frame| *frame == frames[0]), "{number}: copies with other bytes");
        assert_eq!(frames[0][42..], datagram(number), "{number}");
    }

    let monitor = line.monitor.clone();
    let (outcome, log) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.unreturned, outcome.leaked), (Ended::Drained, 0, 0, 0));
    let counts = monitor.counts(0);
    assert!(conserved(&counts) && counts.received >= u64::from(COUNT), "{counts:?}");
    assert_eq!((counts.copies, counts.copies_dropped), (counts.received * COPIES, 0), "{counts:?}");
    assert_eq!(counts.released, counts.received * (1 + COPIES), "{counts:?}");
    assert_eq!(monitor.lateness(0).unwrap().len(), counts.released);
    let log: Vec<Released> = log.into_iter().filter(|entry| entry.direction == 0).collect();
    assert!(log.iter().all(|entry| entry.sent && entry.actual >= entry.intended), "nothing leaves early");
    assert!(log.is_sorted_by_key(|entry| entry.intended), "{log:?}");
    if spacing == 0 {
        assert!(log.is_sorted_by_key(|entry| (entry.id, entry.copy)), "copies leave right behind the packet: {log:?}");
    }
    let mut by_id: BTreeMap<u64, Vec<Released>> = BTreeMap::new();
    for entry in log {
        by_id.entry(entry.id).or_default().push(entry);
    }
    assert_eq!(by_id.keys().copied().collect::<Vec<_>>(), (0..counts.received).collect::<Vec<_>>());
    for entries in by_id.values() {
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.copy.into()).collect();
        assert_eq!(numbers, (0..=COPIES).collect::<Vec<_>>(), "{entries:?}");
        let behind = entries.iter().map(|entry| entry.intended.0 - entries[0].intended.0);
        assert!(behind.eq(numbers.iter().map(|number| number * spacing)), "{entries:?}");
    }
}

#[test]
fn copies_that_find_no_frame_are_counted_and_the_frames_come_back() {
    const SENT: u64 = 2_000;
    const COPIES: u64 = 15;
    let lab = Lab::new();
    let stamp = Stamp {
        delay: Nanos(50 * MILLISECOND),
        copies: COPIES as u32,
        spacing: Nanos(MILLISECOND),
        ..Stamp::default()
    };
    let line = Running::start(&lab, Shape { frames: 512, ring: 256, stamp: Some(stamp), ..Shape::default() });
    let pair = sockets(&lab);
    greet(&pair);
    let monitor = line.monitor.clone();
    let counts = || monitor.counts(0);
    let before = counts().received;
    for _ in 0..SENT {
        pair[0].send_to(&[2; 64], (ADDRESSES[1], 7000)).unwrap();
    }
    let statistics = || monitor.statistics(0).unwrap().unwrap();
    let state = || format!("{:?}, {:?}", counts(), statistics());
    wait_until(|| counts().received - before + statistics().lost() == SENT, state);
    wait_until(|| counts().held == 0 && monitor.counts(1).held == 0, state);
    let starved = counts();
    assert!(starved.copies_dropped > 0 && starved.copies_dropped < starved.copies, "{starved:?}");
    assert_eq!(monitor.frames_free().1, 0);
    // Now there are frames again, for all copies of one more.
    pair[0].send_to(&[2; 64], (ADDRESSES[1], 7000)).unwrap();
    wait_until(|| counts().released >= starved.released + 1 + COPIES, state);
    let (outcome, log) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.leaked), (Ended::Drained, 0, 0));
    let counts = counts();
    assert!(conserved(&counts) && counts.held == 0, "{counts:?}");
    assert_eq!(counts.copies, counts.received * COPIES, "{counts:?}");
    assert_eq!(counts.copies_dropped, starved.copies_dropped, "{counts:?}");
    let logged =
        |wanted: fn(&Released) -> bool| log.iter().filter(|entry| entry.direction == 0 && wanted(entry)).count() as u64;
    assert_eq!(logged(|entry| entry.copy == 0), counts.received, "{counts:?}");
    assert_eq!(logged(|entry| entry.copy > 0), counts.copies - counts.copies_dropped, "{counts:?}");
}

#[test]
fn a_packet_without_metadata_is_dropped_and_counted() {
    let lab = Lab::new();
    let line = Running::start(&lab, Shape { stamp: None, ..Shape::default() });
    let [a, _b] = sockets(&lab);
    // The first thing host 0 sends is a question for host 1's hardware address.
    a.send_to(&[3], (ADDRESSES[1], 7000)).unwrap();
    let monitor = line.monitor.clone();
    wait_until(|| monitor.counts(0).no_metadata > 0, || format!("{:?}", monitor.counts(0)));
    let counts = monitor.counts(0);
    assert!(conserved(&counts) && counts.released == 0, "{counts:?}");
    let (outcome, _) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!(outcome.leaked, 0);
}

#[test]
fn packets_for_a_device_that_is_down_are_transmit_errors() {
    const SENT: u64 = 500;
    let lab = Lab::new();
    let line = Running::start(&lab, Shape::default());
    let pair = sockets(&lab);
    greet(&pair);
    let before = line.monitor.counts(0);
    support::run(&format!("ip -n {} link set eth0 down", lab.host(1)));
    for _ in 0..SENT {
        pair[0].send_to(&[4; 64], (ADDRESSES[1], 7000)).unwrap();
    }
    let monitor = line.monitor.clone();
    wait_until(
        || {
            let counts = monitor.counts(0);
            assert!(conserved(&counts), "{counts:?}");
            counts.transmit_errors >= SENT
        },
        || format!("{:?}", monitor.counts(0)),
    );
    let (outcome, log) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.leaked), (Ended::Drained, 0, 0));
    let counts = monitor.counts(0);
    assert!(conserved(&counts) && counts.released == before.released, "{before:?} {counts:?}");
    assert_eq!(log.iter().filter(|entry| !entry.sent).count() as u64, counts.transmit_errors);
}

#[test]
fn an_output_that_goes_down_keeps_no_more_than_its_ring_and_recovers() {
    const SENT: u64 = 500;
    let lab = Lab::new();
    let line = Running::start(&lab, Shape::default());
    let pair = sockets(&lab);
    greet(&pair);
    support::run(&format!("ip -n {} link set p1 down", lab.middle()));
    let before = line.monitor.counts(0);
    for _ in 0..SENT {
        pair[0].send_to(&[6; 64], (ADDRESSES[1], 7000)).unwrap();
    }
    let monitor = line.monitor.clone();
    let settled = |counts: &Counts| counts.received >= before.received + SENT && counts.held <= 64;
    wait_until(|| settled(&monitor.counts(0)), || format!("{:?}", monitor.counts(0)));
    let down = monitor.counts(0);
    assert!(conserved(&down) && down.released == before.released && down.held > 0, "{down:?}");
    support::run(&format!("ip -n {} link set p1 up", lab.middle()));
    let (outcome, _) = line.drain(Nanos(5_000 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.held, outcome.leaked), (Ended::Drained, 0, 0));
    let up = monitor.counts(0);
    assert!(conserved(&up) && up.transmit_errors >= down.transmit_errors, "{down:?} {up:?}");
}

#[test]
fn an_interface_that_is_deleted_leaves_the_others_running() {
    let lab = Lab::new();
    let line = Running::start(&lab, Shape::default());
    let pair = sockets(&lab);
    greet(&pair);
    support::run(&format!("ip -n {} link del p1", lab.middle()));
    let before = line.monitor.counts(0);
    for _ in 0..200 {
        pair[0].send_to(&[6; 64], (ADDRESSES[1], 7000)).unwrap();
    }
    let monitor = line.monitor.clone();
    let settled = |counts: &Counts| counts.received >= before.received + 200 && counts.held <= 64;
    wait_until(|| settled(&monitor.counts(0)), || format!("{:?}", monitor.counts(0)));
    let beat = monitor.heartbeat();
    wait_until(|| monitor.heartbeat() > beat, || "the loop stands still".into());
    let (outcome, _) = line.drain(Nanos(100 * MILLISECOND));
    let counts = monitor.counts(0);
    assert!(conserved(&counts) && counts.held == outcome.held, "{counts:?} {outcome:?}");
    assert_eq!(outcome.leaked, 0);
}

#[test]
fn a_drain_that_is_too_short_says_what_is_still_held() {
    let lab = Lab::new();
    let stamp = delay(60_000 * MILLISECOND);
    let line = Running::start(&lab, Shape { stamp, ..Shape::default() });
    let [a, _b] = sockets(&lab);
    a.send_to(&[5], (ADDRESSES[1], 7000)).unwrap();
    let monitor = line.monitor.clone();
    wait_until(|| monitor.counts(0).held > 0, || format!("{:?}", monitor.counts(0)));
    let (outcome, log) = line.drain(Nanos(10 * MILLISECOND));
    assert_eq!((outcome.ended, outcome.leaked, log.len()), (Ended::DrainDeadline, 0, 0));
    assert!(outcome.held >= 1);
    assert_eq!(outcome.held, monitor.counts(0).held + monitor.counts(1).held);
}
