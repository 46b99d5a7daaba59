//! Frames through the program as it runs on a port: what it reads from them and what it decides is what userspace
//! reads and decides, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_bpf::{Exclusion, Object, Program, Room};
use shaper_channel::{Channel, ChannelSpec};
use shaper_common::layout::{Params, Port, Record};
use shaper_common::parse::{self, Kind};
use shaper_common::units::{BitsPerSec, Nanos, Probability};

/// Where frames of test runs come in, in every namespace.
const LOOPBACK: u32 = 1;
const DIRECTION: u32 = 5;
/// The least that a test run takes: an Ethernet header.
const SHORTEST: usize = 14;

/// The link layer up to the ethertype, with so many tags.
fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 12]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame
}

fn ipv4(protocol: u8, fragment: u16, options: usize, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0x12, 0x34];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6]);
    packet.extend(vec![1; 4 * options]);
    packet.extend(payload);
    packet
}

fn ipv6(extensions: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, *extensions.first().unwrap_or(&protocol), 64];
    packet.extend(1..=32u8);
    for (place, kind) in extensions.iter().enumerate() {
        let next = *extensions.get(place + 1).unwrap_or(&protocol);
        let units = if *kind == 44 { 0 } else { place as u8 % 2 };
        packet.extend([next, units]);
        packet.extend(vec![7; 6 + 8 * units as usize]);
    }
    packet.extend(payload);
    packet
}

fn corpus() -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..60).map(|byte| byte * 3 + 1).collect();
    let solicitation = [135, 0, 1, 2, 0, 0, 0, 0];
    let report = [143, 0, 1, 2, 0, 0, 0, 0];
    let packets = [
        (0x0800, ipv4(17, 0, 0, &payload)),
        (0x0800, ipv4(17, 0, 3, &payload)),
        (0x0800, ipv4(6, 0x4000, 0, &payload)),
        (0x0800, ipv4(6, 0x2000, 0, &payload)),
        (0x0800, ipv4(17, 0x00b9, 0, &payload)),
        (0x0800, ipv4(1, 0, 0, &payload)),
        (0x0800, ipv4(2, 0, 1, &payload)),
        (0x0800, ipv4(47, 0, 0, &payload)),
        (0x86dd, ipv6(&[], 17, &payload)),
        (0x86dd, ipv6(&[], 6, &payload)),
        (0x86dd, ipv6(&[], 58, &payload)),
        (0x86dd, ipv6(&[], 58, &solicitation)),
        (0x86dd, ipv6(&[0], 58, &report)),
        (0x86dd, ipv6(&[0, 60, 43], 17, &payload)),
        (0x86dd, ipv6(&[0, 60, 43, 60, 60], 17, &payload)),
        (0x86dd, ipv6(&[60, 44], 6, &payload)),
        (0x0806, vec![0; 28]),
        (0x88cc, payload.clone()),
    ];
    let tags: [&[u16]; 4] = [&[], &[0x8100], &[0x88a8, 0x8100], &[0x88a8, 0x8100, 0x8100]];
    let tagged = tags.iter().flat_map(|tags| {
        packets.iter().map(|(ethertype, packet)| [ethernet(tags, *ethertype), packet.clone()].concat())
    });
    tagged.collect()
}

fn settings() -> Params {
    Params {
        seed: 7,
        loss: Probability(1 << 30),
        delay: Nanos(1_000_000),
        jitter: Nanos(3_000_000),
        jitter_kind: 1,
        order: 1,
        rate: BitsPerSec(1_000_000_000),
        queue: Nanos(1_000_000),
        stream: 3,
        ..Params::default()
    }
}

struct Kernel {
    object: Object,
    records: shaper_bpf::Records,
    channel: Channel,
}

impl Kernel {
    fn new() -> Self {
        let spec = ChannelSpec::plain(settings());
        let mut object = Object::load(1 << 16, Exclusion::Device, &Room::of([&spec])).unwrap();
        let records = object.take_records().unwrap();
        object.set_channel(DIRECTION, &spec).unwrap();
        object.set_port(LOOPBACK, Port { direction: DIRECTION, records: 1, ..Port::default() }).unwrap();
        Self { object, records, channel: Channel::new(spec) }
    }

    /// Lets a frame in and compares; whether it was a control packet.
    fn agrees_on(&mut self, frame: &[u8]) -> Result<bool, TestCaseError> {
        let expected = parse::summary(frame);
        let bypassed = self.object.edge_counts(DIRECTION).unwrap().bypassed;
        self.object.time(Program::Decision, frame, 1).unwrap();
        let control = expected.kind == Kind::Control;
        let counted = self.object.edge_counts(DIRECTION).unwrap().bypassed - bypassed;
        prop_assert_eq!(counted, u64::from(control), "{:02x?}", frame);
        let record = self.records.next();
        prop_assert_eq!(record.is_none(), control, "{:02x?}", frame);
        let Some(record) = record else { return Ok(true) };
        let packet = expected.packet(record.arrival(), frame.len() as u32);
        let sequence = self.channel.state().next_sequence;
        let _ = self.channel.decide(&packet);
        let decided = Record {
            sequence,
            packet,
            fate: self.channel.state().work.fate,
            before: *self.channel.met(),
            rule: self.channel.spec().params.rule,
            direction: DIRECTION as u16,
            l4_checksum: expected.l4_checksum,
            channel: DIRECTION,
            ..Record::default()
        };
        prop_assert_eq!(record, decided, "{:02x?}", frame);
        let (kernel, own) = (self.object.state(DIRECTION).unwrap(), self.channel.state());
        prop_assert_eq!((kernel.carried, kernel.counts), (own.carried, own.counts));
        Ok(false)
    }
}

#[test]
fn kernel_and_userspace_read_and_decide_alike_for_every_kind_of_frame_at_every_length() {
    let mut kernel = Kernel::new();
    let (mut control, mut data) = (0, 0);
    for frame in corpus() {
        for length in SHORTEST..=frame.len() {
            if kernel.agrees_on(&frame[..length]).unwrap() { control += 1 } else { data += 1 }
        }
    }
    assert!(control > 100 && data > 3_000, "{control} control packets and {data} others are no corpus");
}

#[test]
fn kernel_and_userspace_read_and_decide_alike_for_damaged_frames() {
    let kernel = std::cell::RefCell::new(Kernel::new());
    let config = Config { cases: 5_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let damaged = (
        prop::sample::select(corpus()),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        any::<prop::sample::Index>(),
    );
    runner
        .run(&damaged, |(mut frame, damages, length)| {
            for (place, byte) in damages {
                let place = place.index(frame.len());
                frame[place] = byte;
            }
            let length = SHORTEST + length.index(frame.len() - SHORTEST + 1);
            kernel.borrow_mut().agrees_on(&frame[..length]).map(drop)
        })
        .unwrap();
}
