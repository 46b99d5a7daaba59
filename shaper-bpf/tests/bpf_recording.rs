//! Of which decisions there is a record: as many as are due and no others, each of which stands alone before the oracle,
//! and what finds no room is counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use shaper_bpf::{Exclusion, Object, Program, Records, Room};
use shaper_channel::{ChannelSpec, Oracle};
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Port, Record, Recording, State, flags};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

/// Where frames of test runs come in, in every namespace.
const LOOPBACK: u32 = 1;
const DIRECTION: u32 = 5;
/// Decisions for which there is room in the ring that nobody reads meanwhile.
const AT_ONCE: u32 = 200;
/// Decisions each time.
const COUNT: u32 = 2_000;

/// What no decision is known of without that before: packets in the bottleneck, and flows.
fn spec() -> ChannelSpec {
    let params = Params {
        seed: 7,
        loss: Probability(1 << 30),
        delay: Nanos(1_000_000),
        jitter: Nanos(3_000_000),
        jitter_kind: 1,
        order: 1,
        rate: BitsPerSec(100_000_000),
        queue: Nanos(1_000_000),
        queue_packets: 8,
        flags: flags::FLOWS,
        ..Params::default()
    };
    ChannelSpec { flows: 32, ..ChannelSpec::plain(params) }
}

/// UDP from this port in IPv4, as far as anybody looks.
fn datagram(port: u8) -> Vec<u8> {
    let ethernet = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let ipv4 = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let udp = [4, port, 0, 9, 0, 26, 1, port];
    [&ethernet[..], &ipv4, &udp, &[0; 18]].concat()
}

struct Kernel {
    object: Object,
    ring: Records,
    frames: Vec<Vec<u8>>,
}

impl Kernel {
    fn new(ring: u32, exclusion: Exclusion) -> Self {
        let mut object = Object::load(ring, exclusion, &Room::of([&spec()])).unwrap();
        let ring = object.take_records().unwrap();
        let frames = (0..10).map(datagram).collect();
        Self { object, ring, frames }
    }

    /// Decides for so many packets, and reads meanwhile where it is told to: records, how many were lost, and the state.
    fn decide(&mut self, recording: Recording, count: u32, reads: bool) -> (Vec<Record>, u64, State) {
        self.object.set_channel(DIRECTION, &spec()).unwrap();
        let port = Port { direction: DIRECTION, records: recording.raw(), ..Port::default() };
        self.object.set_port(LOOPBACK, port).unwrap();
        let before = self.object.edge_counts(DIRECTION).unwrap().records_lost;
        let mut records = Vec::new();
        for frame in self.frames.iter().cycle().take((count / AT_ONCE) as usize) {
            self.object.time(Program::Decision, frame, AT_ONCE).unwrap();
            if reads {
                records.extend(self.ring.by_ref());
            }
        }
        records.extend(self.ring.by_ref());
        let lost = self.object.edge_counts(DIRECTION).unwrap().records_lost - before;
        (records, lost, self.object.state(DIRECTION).unwrap())
    }
}

fn due(recording: Recording, state: &State) -> u64 {
    let dropped = state.counts.dropped().iter().map(|(_, count)| count).sum();
    recording.due(state.next_sequence, dropped)
}

fn modes() -> [Recording; 6] {
    ["all", "drops", "1/2", "1/7", "1/1000", "off"].map(|text| text.parse().unwrap())
}

#[test]
fn where_the_device_keeps_decisions_apart_there_are_the_records_that_are_due() {
    holds(Exclusion::Device);
}

#[test]
fn behind_the_lock_there_are_the_records_that_are_due() {
    holds(Exclusion::Lock);
}

fn holds(exclusion: Exclusion) {
    let mut kernel = Kernel::new(1 << 16, exclusion);
    for recording in modes() {
        as_many_are_recorded_as_are_due_and_each_stands_alone(&mut kernel, recording);
        what_finds_no_room_is_counted_where_it_was_due(&mut kernel, recording, exclusion);
    }
}

fn as_many_are_recorded_as_are_due_and_each_stands_alone(kernel: &mut Kernel, recording: Recording) {
    let (records, lost, state) = kernel.decide(recording, COUNT, true);
    assert_eq!((state.next_sequence, lost), (u64::from(COUNT), 0), "{recording}");
    assert_eq!(records.len() as u64, due(recording, &state), "{recording}");
    let mut oracle = Oracle::new(spec());
    let mut next = 0;
    for record in &records {
        let is_dropped = record.cause() != Some(Cause::None);
        assert!(Recording::is_due(recording.raw(), record.sequence, is_dropped), "{recording}: {record:?}");
        assert!(record.sequence >= next, "{recording}");
        next = record.sequence + 1;
        oracle.check(record);
    }
    let verdict = oracle.verdict();
    assert_eq!((verdict.checked, verdict.mismatches), (records.len() as u64, 0), "{recording}: {verdict:?}");
}

fn what_finds_no_room_is_counted_where_it_was_due(kernel: &mut Kernel, recording: Recording, exclusion: Exclusion) {
    let (records, lost, state) = kernel.decide(recording, COUNT, false);
    let due = due(recording, &state);
    assert_eq!(records.len() as u64 + lost, due, "{recording}");
    // Behind the lock room is taken for each, whether it is due or not.
    let overflows = due > 250 || (exclusion == Exclusion::Lock && due > 0);
    assert_eq!(lost > 0, overflows, "{recording}: {lost} of {due}");
}
