//! Each effect alone, by programs that were loaded for it and nothing else: those that users get, from which the verifier
//! has left out all the rest. The decision as the kernel runs it against userspace, which has all effects.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use shaper_bpf::{Exclusion, Object, Room};
use shaper_channel::{Channel, ChannelSpec, PacketTrace, Row, StepTrace, Trace};
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Params, Probe, flags, packet_id};
use shaper_common::pipeline::Packet;
use shaper_common::trace::Entry;
use shaper_common::units::{BitsPerSec, Nanos, Probability};
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, presets};

const PACKETS: u64 = 100_000;
const RECORD_RING: u32 = 1 << 12;
/// Where the channel stands in its maps.
const CHANNEL: u32 = 3;
const START: u64 = 1_000_000_000;
/// From packet to packet in the mean: with 800 bytes each, 12.8 Mbit/s.
const GAP: u64 = 500_000;
/// Flows, more than the table of flows has room for.
const FLOWS: u64 = 48;

/// Whether a packet met the effect: its fate, and when it came.
type Met = fn(&Fate, Nanos) -> bool;

fn dropped<const CAUSE: u8>(fate: &Fate, _: Nanos) -> bool {
    fate.cause as u8 == CAUSE
}

const LOSS: Met = dropped::<{ Cause::Loss as u8 }>;
const OUTAGE: Met = dropped::<{ Cause::Outage as u8 }>;
const IN_FLIGHT: Met = dropped::<{ Cause::InFlight as u8 }>;
const POLICER: Met = dropped::<{ Cause::Policer as u8 }>;
const QUEUE: Met = dropped::<{ Cause::Queue as u8 }>;
const AQM: Met = dropped::<{ Cause::Aqm as u8 }>;

fn marked(fate: &Fate, _: Nanos) -> bool {
    fate.marked
}

fn copied(fate: &Fate, _: Nanos) -> bool {
    fate.copies > 0
}

fn changed(fate: &Fate, _: Nanos) -> bool {
    !fate.damage.is_none()
}

fn held(fate: &Fate, now: Nanos) -> bool {
    fate.release > now
}

fn at_once(fate: &Fate, now: Nanos) -> bool {
    fate.release == now
}

/// An effect: a profile that has nothing else, and what it does to packets.
fn effects() -> Vec<(&'static str, Met)> {
    vec![
        ("loss = \"5%\"", LOSS),
        ("loss = \"5% burst 3\"", LOSS),
        ("loss = \"5% burst 3 max 4\"", LOSS),
        ("loss = \"5% correlation 25%\"", LOSS),
        ("loss = \"gemodel 1% 10% 70% 0.1%\"", LOSS),
        ("loss = \"state 1% 10% 70% 20% 0.1%\"", LOSS),
        ("loss = \"every 10\"", LOSS),
        ("loss = \"5%\"\necn = true", marked),
        ("loss = \"5%\"\nloss_position = \"after\"\nrate = \"20mbit\"", LOSS),
        ("loss = \"5%\"\nscope = \"flow 8\"", LOSS),
        ("[outages]\nscheduled = [{ at = \"1s\", length = \"200ms\", every = \"2s\" }]", OUTAGE),
        (
            "delay = \"50ms\"\n[outages]\nheld = \"lost\"\nscheduled = [{ at = \"1s\", length = \"200ms\", every = \"2s\" }]",
            IN_FLIGHT,
        ),
        ("duplicate = \"5%\"", copied),
        ("duplicate = \"5% correlation 30% copies 3 delay 1ms\"", copied),
        ("corrupt = \"5%\"", changed),
        ("corrupt = \"5% in payload bytes 2 repaired\"", changed),
        ("policer = \"8mbit burst 32kB\"", POLICER),
        ("rate = \"10mbit\"", QUEUE),
        ("rate = \"10mbit\"\nqueue = \"40p\"", QUEUE),
        ("rate = \"10mbit\"\ncell = \"48B 5B\"", QUEUE),
        ("rate = \"10mbit\"\nqueue = \"1s\"\naqm = \"codel\"", AQM),
        ("rate = \"10mbit\"\nqueue = \"1s\"\naqm = \"pie\"", AQM),
        ("rate = \"10mbit\"\nqueue = \"1s\"\naqm = \"pi2\"", AQM),
        ("rate = \"10mbit\"\nqueue = \"1s\"\naqm = \"codel\"\necn = true", marked),
        ("rate = \"10mbit\"\naqm = \"step 1ms\"", marked),
        ("delay = \"20ms\"", held),
        ("delay = \"20ms\"\njitter = \"5ms\"", held),
        ("delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"normal\"", held),
        ("delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"pareto\"", held),
        ("delay = \"20ms\"\njitter = \"5ms\"\ncorrelation_time = \"50ms\"", held),
        ("delay = \"20ms\"\njitter = \"5ms\"\norder = \"keep\"", held),
        ("delay = \"20ms\"\nreorder = \"25% correlation 50% gap 5\"", at_once),
        ("slot = \"5ms to 10ms\"", held),
        ("slot = \"10ms +-2ms pareto packets 16\"", held),
        ("[[change]]\nat = \"2s\"\nloss = \"10%\"\n[[change]]\nat = \"4s\"\ndelay = \"10ms\"", LOSS),
    ]
}

fn compiled(text: &str) -> ChannelSpec {
    let run = Compile { seed: 7, link: 0, horizon: Duration::from_millis(60_000) };
    let mut channel = presets::parse(text, "alone", text).unwrap().link.compile(&run).unwrap().a_to_b.channel;
    channel.begin(Nanos(START));
    channel
}

/// What follows a trace, each part of it alone.
fn followed() -> Vec<(&'static str, ChannelSpec, Met)> {
    let row = |number: u64| Row {
        at: Nanos(number * 1_000_000),
        rate: (number % 3) as f64 * 8e6,
        delay: Nanos(number * 1_000),
        loss: Probability(1 << 28),
    };
    let rows: Vec<Row> = (0..5_000).map(row).collect();
    let steps = Trace::Steps(Arc::new(StepTrace::new(&rows, Nanos(5_000_000_000)).unwrap()));
    let entries = (0..1_000).map(|number| Entry::new(Nanos(number * 1_000), number % 20 == 3)).collect();
    let packets = Trace::Packets(Arc::new(PacketTrace::new(entries, true, true).unwrap()));
    let of = |flags: u32, trace: &Trace| {
        let rate = BitsPerSec(if flags & self::flags::RATE_STEPS != 0 { 8_000_000 } else { 0 });
        let params = Params {
            start: Nanos(START),
            seed: 7,
            rate,
            queue: Nanos(100_000_000),
            queue_work: u64::MAX,
            flags,
            ..Params::default()
        };
        ChannelSpec { trace: Some(trace.clone()), ..ChannelSpec::plain(params.sparing()) }
    };
    vec![
        ("rate over time", of(flags::RATE_STEPS, &steps), QUEUE),
        ("delay over time", of(flags::DELAY_STEPS, &steps), held),
        ("loss over time", of(flags::LOSS_STEPS, &steps), LOSS),
        ("delay by packet", of(flags::DELAY_PACKETS, &packets), held),
        ("loss by packet", of(flags::LOSS_PACKETS, &packets), LOSS),
    ]
}

/// Packets that come at random times, of all lengths, parts, flows and code points.
fn packets() -> impl Iterator<Item = Packet> {
    // splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
    let mut state = 1u64;
    let mut below = move |range: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % range
    };
    let mut now = START;
    (0..PACKETS).map(move |_| {
        now += below(2 * GAP);
        let [network, transport, payload] = [[14, 34, 42], [18, 58, 66], [14, 54, 74]][below(3) as usize];
        let flow_hash = (below(FLOWS) as u32).wrapping_mul(0x9e37_79b9);
        let (len, ecn) = (80 + below(1_435) as u32, below(4) as u16);
        Packet { now: Nanos(now), len, flow_hash, network, transport, payload, ecn }
    })
}

fn judge(what: &str, spec: &ChannelSpec, met: Met, exclusion: Exclusion) {
    let room = Room::of([spec]);
    assert_eq!(room.features, spec.features());
    let mut object = Object::load(RECORD_RING, exclusion, &room).unwrap();
    object.set_channel(CHANNEL, spec).unwrap();
    let mut channel = Channel::new(spec.clone());
    let mut meets = 0u64;
    for (number, packet) in (0..).zip(packets()) {
        let fate = channel.decide(&packet);
        let got = object.probe(&Probe { packet, channel: CHANNEL, ..Probe::default() }).unwrap();
        assert_eq!((got.answered, got.id), (1, packet_id(CHANNEL, number)), "{what}, packet {number}");
        assert_eq!(got.fate, channel.state().work.fate, "{what}, {exclusion:?}, packet {number}: {packet:?}");
        meets += u64::from(met(&fate, packet.now));
    }
    let (kernel, own) = (object.state(CHANNEL).unwrap(), channel.state());
    assert_eq!((kernel.next_sequence, kernel.carried), (PACKETS, own.carried), "{what}, {exclusion:?}");
    assert_eq!(kernel.counts, own.counts, "{what}, {exclusion:?}");
    assert!(meets > PACKETS / 1_000, "{what}: {meets} of {PACKETS} packets met it");
}

#[test]
fn each_effect_by_itself_is_decided_as_userspace_does() {
    for (number, (text, met)) in effects().into_iter().enumerate() {
        let exclusion = if number % 2 == 0 { Exclusion::Device } else { Exclusion::Lock };
        judge(text, &compiled(text), met, exclusion);
    }
}

#[test]
fn what_follows_a_trace_by_itself_is_decided_as_userspace_does() {
    for (number, (what, spec, met)) in followed().into_iter().enumerate() {
        let exclusion = if number % 2 == 0 { Exclusion::Lock } else { Exclusion::Device };
        judge(what, &spec, met, exclusion);
    }
}
