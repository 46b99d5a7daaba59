//! Frames through the program as it runs on a port: what it reads from them and what it decides is what userspace
//! reads and decides, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod frames;

use frames::{SHORTEST, corpus, damaged};
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
    runner
        .run(&damaged(prop::sample::select(corpus())), |frame| kernel.borrow_mut().agrees_on(&frame).map(drop))
        .unwrap();
}
