//! The XDP decision in nanoseconds a packet, by test runs: what it takes beyond an empty program.

use anyhow::{Context as _, Result, ensure};
use shaper_bpf::{Exclusion, Object, Program, Records, Room};
use shaper_channel::{ChannelSpec, PacketTrace, Row, Rules, StepTrace, Trace};
use shaper_common::layout::{DIRECTIONS, Params, Port, Recording, flags};
use shaper_common::trace::Entry;
use shaper_common::units::{BitsPerSec, Nanos, Probability};
use shaper_engine::clock::monotonic;
use shaper_profile::{Compile, Filter, Profile, RuleSet, presets};

use crate::Session;
use crate::frame;
use crate::report::{Aim, Figure};

const SUITE: &str = "decision";
/// Runs of a program without records in one test run.
const RUNS: u32 = 1_000_000;
/// Runs of one with records: so many records fit the ring.
const RECORDED_RUNS: u32 = 100_000;
/// Bytes of the ring of records: it holds those of a run.
const RING: u32 = 1 << 26;
/// Bytes of that of a case without records.
const NO_RECORDS: u32 = 1 << 12;
/// Test runs a repeat, interleaved: they are short.
const ROUNDS: u32 = 5;
/// Where the loopback device, at which frames of test runs come in, stands in every namespace.
const LOOPBACK: u32 = 1;
/// In an hour there are enough outages for the schedule to be looked up.
const HORIZON: Nanos = Nanos(3_600_000_000_000);
/// Direction and place in the map of sockets.
const DIRECTION: u32 = 0;

struct Case {
    name: String,
    channel: ChannelSpec,
    /// Loaded for this channel alone: other effects are left out of its programs.
    object: Object,
    read: Records,
    recording: Recording,
    samples: Vec<f64>,
}

fn compiled(profile: &Profile) -> Result<ChannelSpec> {
    let link = profile.link.compile(&Compile { seed: 7, link: 0, horizon: HORIZON.into() })?;
    // The first outage comes after the run: what is measured is looking for one.
    let mut channel = link.a_to_b.channel;
    channel.params.start = Nanos(monotonic()).saturating_add(HORIZON);
    Ok(channel)
}

/// Each effect by itself: its name, and a profile that has nothing else.
const EFFECTS: [(&str, &str); 19] = [
    ("outages", "[outages]\nrate = \"1%/s\"\nlength = \"500ms\""),
    ("jitter by a table", "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"pareto\""),
    ("correlated jitter", "delay = \"20ms\"\njitter = \"5ms\"\ncorrelation_time = \"50ms\""),
    ("duplicates", "duplicate = \"1%\""),
    ("corruption", "corrupt = \"1% in payload repaired\""),
    ("reordering", "delay = \"20ms\"\nreorder = \"25%\""),
    ("slots", "slot = \"5ms to 10ms\""),
    ("ECN", "loss = \"5%\"\necn = true"),
    ("rate", "rate = \"100gbit\""),
    ("rate, queue in packets", "rate = \"100gbit\"\nqueue = \"1000p\""),
    ("rate, CoDel", "rate = \"100gbit\"\naqm = \"codel\""),
    ("rate, PIE", "rate = \"100gbit\"\naqm = \"pie\""),
    ("rate, PI2", "rate = \"100gbit\"\naqm = \"pi2\""),
    ("rate, immediate marking", "rate = \"100gbit\"\naqm = \"step 1ms\""),
    ("policer", "policer = \"100gbit burst 10MB\""),
    ("flows", "loss = \"5%\"\nscope = \"flow\""),
    ("order kept", "delay = \"20ms\"\njitter = \"5ms\"\norder = \"keep\""),
    ("a change", "[[change]]\nat = \"1s\"\nloss = \"1%\""),
    (
        "all at once",
        "delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"pareto\"\ncorrelation_time = \"50ms\"\n\
         loss = \"1% burst 2\"\necn = true\nduplicate = \"1%\"\ncorrupt = \"1% in payload repaired\"\nreorder = \"1%\"\n\
         slot = \"5ms to 10ms\"\nrate = \"100gbit\"\nqueue = \"1000p\"\naqm = \"codel\"\n\
         policer = \"100gbit burst 10MB\"\nscope = \"flow\"\n[outages]\nrate = \"1%/s\"\nlength = \"500ms\"",
    ),
];

/// A minute of milliseconds with rate, delay and loss, and as many packets with delay and loss: as long as their rings
/// nearly, and begun anew.
fn traces() -> Result<[(&'static str, ChannelSpec); 2]> {
    const ROWS: u64 = 60_000;
    let row = |number: u64| Row {
        at: Nanos(number * 1_000_000),
        rate: 40e9 + (number % 7) as f64 * 4e9,
        delay: Nanos(20_000_000 + number),
        loss: Probability(number << 10),
    };
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    let over_time = StepTrace::new(&rows, Nanos(ROWS * 1_000_000));
    let over_time = over_time.map_err(|unfit| anyhow::anyhow!("the trace over time: {unfit:?}"))?;
    let entries = (0..ROWS).map(|number| Entry::new(Nanos(20_000_000 + number), number % 50 == 0)).collect();
    let by_packet = PacketTrace::new(entries, true, false);
    let by_packet = by_packet.map_err(|unfit| anyhow::anyhow!("the trace by packet: {unfit:?}"))?;
    let params = Params { seed: 7, start: Nanos(monotonic()), queue_work: u64::MAX, ..Params::default() };
    let rate = Params { rate: BitsPerSec(50_000_000_000), queue: Nanos::MAX, flags: flags::STEPS, ..params };
    let of = |params: Params, trace| ChannelSpec { trace: Some(trace), ..ChannelSpec::plain(params.sparing()) };
    Ok([
        ("a trace over time", of(rate, Trace::Steps(over_time.into()))),
        ("a trace by packet", of(Params { flags: flags::PACKETS, ..params }, Trace::Packets(by_packet.into()))),
    ])
}

/// So many rules, none of which matches, so that each of their masks is looked up.
const RULES: [u32; 3] = [1, 1_000, 65_534];

/// Rules with the same masks, however many there are.
fn rules(count: u32) -> Result<Rules> {
    let filters = (0..count).map(|number| {
        let host = std::net::Ipv4Addr::from(0x0b00_0000 + number);
        format!("udp and host {host} and port {}", 1 + number % 60_000).parse()
    });
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>()?;
    let RuleSet { shapes, entries } = RuleSet::compile(&filters)?;
    let entries = entries.iter().map(|entry| (entry.key(DIRECTION), entry.rule)).collect();
    // None of them is ever taken.
    Ok(Rules { shapes, entries, channels: Vec::new() })
}

fn cases() -> Result<Vec<Case>> {
    let clean = compiled(&presets::load("clean")?)?;
    let wifi = compiled(&presets::load("wifi")?)?;
    let bursts = compiled(&presets::parse("bursts", "bursts", "loss = \"5% burst 3\"")?)?;
    let loss = ChannelSpec::plain(Params { loss: wifi.params.loss, ..clean.params });
    let mut cases = Vec::new();
    for (also, exclusion, recording) in [
        ("", Exclusion::Device, Recording::Off),
        (", with its record", Exclusion::Device, Recording::All),
        (", with its record if dropped", Exclusion::Device, Recording::Drops),
        (", one in 100 with its record", Exclusion::Device, "1/100".parse()?),
        (", behind the lock", Exclusion::Lock, Recording::Off),
    ] {
        for (name, channel) in [("clean", &clean), ("loss only", &loss), ("loss in bursts", &bursts), ("wifi", &wifi)] {
            let ring = if recording == Recording::Off { NO_RECORDS } else { RING };
            let mut object = Object::load(ring, exclusion, &Room::of([channel]))?;
            cases.push(Case {
                name: format!("{name}{also}"),
                channel: channel.clone(),
                read: object.take_records()?,
                object,
                recording,
                samples: Vec::new(),
            });
        }
    }
    let mut effects = Vec::from(traces()?);
    for (name, text) in EFFECTS {
        effects.push((name, compiled(&presets::parse(name, name, text)?)?));
    }
    for (name, channel) in effects {
        let mut object = Object::load(NO_RECORDS, Exclusion::Device, &Room::of([&channel]))?;
        cases.push(Case {
            name: name.to_owned(),
            channel,
            read: object.take_records()?,
            object,
            recording: Recording::Off,
            samples: Vec::new(),
        });
    }
    for count in RULES {
        let rules = rules(count)?;
        let room = Room::of([&clean]).with_rules(rules.entries.len() as u32);
        let mut object = Object::load(NO_RECORDS, Exclusion::Device, &room)?;
        object.set_rules(DIRECTION, &rules, DIRECTIONS)?;
        cases.push(Case {
            name: format!("{count} rules in {} masks", rules.shapes.count),
            channel: clean.clone(),
            read: object.take_records()?,
            object,
            recording: Recording::Off,
            samples: Vec::new(),
        });
    }
    Ok(cases)
}

/// Nanoseconds beyond `empty`, for the clock and each case.
pub(crate) fn measure(session: &Session) -> Result<Vec<Figure>> {
    session.tell("the XDP decision");
    let mut device = Object::load(NO_RECORDS, Exclusion::Device, &Room::PLAIN)?;
    let packet = frame::udp(frame::FROM, frame::TO, 64);
    let mut cases = cases()?;
    let (mut empty, mut clock) = (Vec::new(), Vec::new());
    for round in 0..=session.repeats * ROUNDS {
        session.check()?;
        let nothing = nanos(&mut device, Program::Empty, &packet, RUNS)?;
        let reading = nanos(&mut device, Program::Clock, &packet, RUNS)?;
        // The first round warms up.
        if round > 0 {
            empty.push(nothing);
            clock.push(reading - nothing);
        }
        for case in &mut cases {
            let Case { object, read, .. } = case;
            let runs = if case.recording == Recording::Off { RUNS } else { RECORDED_RUNS };
            object.set_channel(DIRECTION, &case.channel)?;
            let port = Port { direction: DIRECTION, records: case.recording.raw(), ..Port::default() };
            object.set_port(LOOPBACK, port)?;
            let lost = object.edge_counts(DIRECTION)?.records_lost;
            let took = nanos(object, Program::Decision, &packet, runs)?;
            let (state, edge) = (object.state(DIRECTION)?, object.edge_counts(DIRECTION)?);
            let written = std::iter::from_fn(|| read.next().map(drop)).count();
            ensure!(
                state.next_sequence == u64::from(runs),
                "{}: {} of {runs} runs came to a decision",
                case.name,
                state.next_sequence
            );
            ensure!(edge.records_lost == lost, "{}: the ring of records overflowed", case.name);
            let dropped = state.counts.dropped().iter().map(|(_, count)| count).sum();
            ensure!(
                written as u64 == case.recording.due(state.next_sequence, dropped),
                "{}: {written} records of {runs} runs",
                case.name
            );
            if round > 0 {
                case.samples.push(took - nothing);
            }
        }
    }
    let mut figures =
        vec![Figure::new(SUITE, "empty", "ns", empty), Figure::new(SUITE, "clock alone", "ns over empty", clock)];
    figures.extend(cases.into_iter().map(|case| {
        let has_rules = case.name.contains("rules");
        let figure = Figure::new(SUITE, case.name, "ns over empty", case.samples).against("clock alone");
        // Rules are held against each other: their number must not matter.
        if has_rules { figure } else { figure.aim(Aim::Below(150.0)) }
    }));
    Ok(figures)
}

fn nanos(object: &mut Object, program: Program, packet: &[u8], runs: u32) -> Result<f64> {
    let run = object.time(program, packet, runs).context("cannot time a program")?;
    Ok(run.mean.as_nanos() as f64)
}
