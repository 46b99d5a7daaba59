//! Rules as the kernel goes by them against rules as they are written: filters of the whole dialect, each with settings
//! of its own, and frames of every kind through the programs that read and decide. Which rule, which fate and what
//! becomes of the frame, bit for bit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

#[path = "../../shaper-profile/tests/dialect/mod.rs"]
mod dialect;
mod frames;
mod random;
#[path = "../../shaper-profile/tests/traffic/mod.rs"]
mod traffic;

use std::collections::BTreeSet;

use nix::time::{ClockId, clock_gettime};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shaper_bpf::{Exclusion, Object, Program, Records, Room};
use shaper_channel::{Channel, ChannelSpec, Oracle, Rules};
use shaper_common::fate::Cause;
use shaper_common::layout::{DIRECTIONS, Port, Record};
use shaper_common::parse::{Kind, Summary};
use shaper_common::rewrite;
use shaper_common::rules::{Key, flags, summary_and_key};
use shaper_common::units::Nanos;
use shaper_profile::filter::{Filter, RuleSet};
use traffic::Kinds;

/// Where frames of test runs come in, in every namespace.
const LOOPBACK: u32 = 1;
/// Frames that each direction gets, and how many of them in a row.
const FRAMES: usize = 1_350;
const ROW: usize = 50;
/// How many times one of them is run, each time as the time before left it.
const REPEATED: u32 = 24;
/// What one direction's table may grow to.
const MOST_ENTRIES: usize = 2_000;
/// Room for the records of a frame that is run more than once.
const RECORD_RING: u32 = 1 << 16;
/// Conditions of the dialect that no frame here is about.
const ABSENT: [&str; 2] = ["esp", "rarp"];
/// XDP actions (linux/bpf.h).
const XDP_DROP: u32 = 1;
const XDP_TX: u32 = 3;

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// CLOCK_MONOTONIC, by which the programs decide.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Filters as they were written.
fn told(filters: &[Filter]) -> Vec<&str> {
    filters.iter().map(Filter::text).collect()
}

fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Frames whole and damaged, about the values that filters are about, some of them long.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let whole = || {
        let about = traffic::frame(Kinds { tags: true, extensions: true });
        let padded = (about, prop_oneof![Just(0), 0..1_300usize]).prop_map(|(mut frame, more)| {
            frame.resize(frame.len() + more, 0x5a);
            frame
        });
        prop_oneof![7 => padded, 1 => prop::sample::select(frames::corpus())]
    };
    prop_oneof![4 => whole(), 1 => frames::damaged(whole())]
}

/// A frame and what is read from it.
struct Read {
    bytes: Vec<u8>,
    summary: Summary,
    key: Option<Key>,
}

impl Read {
    fn new(bytes: Vec<u8>) -> Self {
        let (summary, key) = summary_and_key(bytes.as_slice());
        Self { bytes, summary, key }
    }

    fn is_control(&self) -> bool {
        self.summary.kind == Kind::Control
    }
}

/// A channel as userspace decides in it, and as it replays what the kernel recorded.
struct Replayed {
    number: u32,
    channel: Channel,
    oracle: Oracle,
}

/// A direction of a link with rules.
struct Direction {
    number: u32,
    filters: Vec<Filter>,
    rules: RuleSet,
    /// Its own, and then those of its rules.
    channels: Vec<Replayed>,
    expected: Expected,
}

/// What is counted beside the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    unread: u64,
    bypassed: u64,
    redirect: u64,
    control_dropped: u64,
}

impl Direction {
    /// The first rule is about this condition, those behind it are random. Rules have channels from `first` on.
    fn new(number: u32, first: u32, condition: &str, runner: &mut TestRunner) -> Self {
        let random = prop_oneof![3 => dialect::filter(), 1 => traffic::common_filter().prop_map(|text| parsed(&text))];
        let mut filters = vec![parsed(condition)];
        let mut rules = RuleSet::compile(&filters).unwrap();
        for filter in sample(runner, &prop::collection::vec(random, 2..8)) {
            filters.push(filter);
            // Such as never match, and masks that are too many with those before, are left out.
            match RuleSet::compile(&filters) {
                Ok(compiled) if compiled.entries.len() <= MOST_ENTRIES => rules = compiled,
                _ => _ = filters.pop(),
            }
        }
        // Where outages and changes stand when the first frame comes in.
        let since = now();
        let channels = (0..=filters.len() as u32).map(|place| {
            let (mut spec, age) = sample(runner, &(random::spec(false), 0..1_000_000_000u64));
            spec.number(place);
            spec.begin(Nanos(since - age));
            let number = if place == 0 { number } else { first + place - 1 };
            Replayed { number, channel: Channel::new(spec.clone()), oracle: Oracle::new(spec) }
        });
        Self { number, channels: channels.collect(), filters, rules, expected: Expected::default() }
    }

    fn specs(&self) -> impl Iterator<Item = &ChannelSpec> {
        self.channels.iter().map(|replayed| replayed.channel.spec())
    }
}

/// What came up.
#[derive(Default)]
struct Seen {
    fates: u64,
    by_rule: u64,
    by_default: u64,
    /// Packets that no rule is asked about.
    unread: u64,
    control_by_rule: u64,
    /// Frames that were changed before they were read.
    changed: u64,
    causes: BTreeSet<Cause>,
    rules: usize,
    /// Those of them that no packet went by.
    idle: usize,
    /// And of those the first ones of their directions, which are about one condition alone.
    unmet: Vec<String>,
}

struct Kernel {
    object: Object,
    records: Records,
}

impl Kernel {
    fn load(exclusion: Exclusion, directions: &[Direction]) -> Self {
        let entries = directions.iter().map(|direction| direction.rules.entries.len() as u32).sum();
        let room = Room::of(directions.iter().flat_map(Direction::specs)).with_rules(entries);
        // Directions that have none have a channel all the same.
        let room = Room { channels: room.channels + DIRECTIONS, ..room };
        let mut object = Object::load(RECORD_RING, exclusion, &room).unwrap();
        let records = object.take_records().unwrap();
        for direction in directions {
            for Replayed { number, channel, .. } in &direction.channels {
                object.set_channel(*number, channel.spec()).unwrap();
            }
            let RuleSet { shapes, entries } = &direction.rules;
            let entries = entries.iter().map(|entry| (entry.key(0), entry.rule)).collect();
            let rules = Rules { shapes: *shapes, entries, channels: Vec::new() };
            object.set_rules(direction.number, &rules, direction.channels[1].number).unwrap();
        }
        Self { object, records }
    }

    /// Lets a frame in so many times, each time as the time before left it, and compares.
    fn agrees_on(&mut self, direction: &mut Direction, program: Program, frame: &Read, times: u32, seen: &mut Seen) {
        let answer = self.object.time(program, &frame.bytes, times).unwrap();
        let mut action = XDP_DROP;
        let mut changed = None;
        for _ in 0..times {
            let frame = changed.as_ref().unwrap_or(frame);
            let (next, held) = self.agrees_once(direction, frame, seen);
            // Without a socket `link` has nowhere to go with what is to be held.
            match program {
                Program::Link if held && next.is_none() => direction.expected.control_dropped += 1,
                Program::Link => direction.expected.redirect += u64::from(held),
                _ => action = if held { XDP_TX } else { XDP_DROP },
            }
            if let Some(next) = next.filter(|next| *next != frame.bytes) {
                changed = Some(Read::new(next));
                seen.changed += 1;
            }
        }
        assert_eq!(answer.action, action, "{program:?}: {:02x?}", frame.bytes);
        assert!(self.records.next().is_none(), "one record a decision: {:02x?}", frame.bytes);
    }

    /// Compares one run. The frame as it leaves, unless it is a control packet by no rule; and whether it is held.
    fn agrees_once(&mut self, direction: &mut Direction, frame: &Read, seen: &mut Seen) -> (Option<Vec<u8>>, bool) {
        let Direction { number, filters, channels, expected, .. } = direction;
        let bytes = &frame.bytes;
        let rule = frame.key.and_then(|key| filters.iter().position(|filter| filter.matches(&key)));
        expected.unread += u64::from(frame.key.is_none());
        if rule.is_none() && frame.is_control() {
            expected.bypassed += 1;
            return (None, true);
        }
        let record = self.records.next().unwrap_or_else(|| panic!("{:?} by {rule:?}: {bytes:02x?}", told(filters)));
        let place = rule.map_or(0, |rule| rule + 1);
        let Replayed { number: own, channel, oracle } = &mut channels[place];
        let packet = frame.summary.packet(record.arrival(), bytes.len() as u32);
        let sequence = channel.state().next_sequence;
        let cause = channel.decide(&packet).cause;
        let fate = channel.state().work.fate;
        let decided = Record {
            sequence,
            packet,
            fate,
            before: *channel.met(),
            rule: place as u32,
            direction: *number as u16,
            l4_checksum: frame.summary.l4_checksum,
            channel: *own,
            ..Record::default()
        };
        assert_eq!(record, decided, "{:?}: {bytes:02x?}", told(filters));
        oracle.check(&record);
        seen.fates += 1;
        seen.by_rule += u64::from(rule.is_some());
        seen.by_default += u64::from(rule.is_none());
        seen.unread += u64::from(frame.key.is_none());
        seen.control_by_rule += u64::from(frame.is_control());
        seen.causes.insert(cause);
        let mut leaves = bytes.clone();
        if cause == Cause::None {
            let (frame_bytes, parts) = (leaves.as_mut_slice(), &frame.summary.parts);
            if fate.marked != 0 {
                let _ = rewrite::mark(frame_bytes, parts);
            }
            if !fate.damage.is_none() {
                let _ = rewrite::damage(frame_bytes, packet.len, parts, &fate.damage);
            }
        }
        (Some(leaves), cause == Cause::None)
    }

    /// What is left when nothing comes any more.
    fn agrees_at_the_end(&self, direction: &Direction, seen: &mut Seen) {
        let edge = self.object.edge_counts(direction.number).unwrap();
        let counted = Expected {
            unread: edge.unread,
            bypassed: edge.bypassed,
            redirect: edge.redirect,
            control_dropped: edge.control_dropped,
        };
        assert_eq!(
            (counted, edge.records_lost, edge.metadata),
            (direction.expected, 0, 0),
            "{:?}",
            told(&direction.filters)
        );
        for (place, Replayed { number, channel, oracle }) in direction.channels.iter().enumerate() {
            let (kernel, own, verdict) = (self.object.state(*number).unwrap(), channel.state(), oracle.verdict());
            assert_eq!((kernel.next_sequence, kernel.carried), (own.next_sequence, own.carried), "channel {number}");
            assert_eq!(kernel.counts, own.counts, "channel {number}");
            assert_eq!((verdict.checked, verdict.mismatches), (own.next_sequence, 0), "{:?}", verdict.first);
            if let Some(filter) = place.checked_sub(1).map(|rule| &direction.filters[rule]) {
                seen.rules += 1;
                if own.next_sequence == 0 {
                    seen.idle += 1;
                    seen.unmet.extend((place == 1).then(|| filter.to_string()));
                }
            }
        }
    }
}

/// Frames of every kind that filters tell apart.
fn assert_varied(frames: &[Read]) {
    for kind in [
        flags::CONTROL,
        flags::MULTICAST,
        flags::BROADCAST,
        flags::TAGGED,
        flags::TAGGED_TWICE,
        flags::IPV4 | flags::FRAGMENT,
        flags::IPV4 | flags::LATER_FRAGMENT,
        flags::IPV6 | flags::FRAGMENT,
        flags::IPV6 | flags::LATER_FRAGMENT,
        flags::IPV4 | flags::PORTS,
        flags::IPV6 | flags::PORTS,
        flags::IPV4 | flags::ICMP,
        flags::IPV6 | flags::ICMP,
    ] {
        let count = frames.iter().filter(|frame| frame.key.is_some_and(|key| key.has(kind))).count();
        assert!(count > 10, "only {count} frames of kind {kind:#x}");
    }
    let unread = frames.iter().filter(|frame| frame.key.is_none()).count();
    assert!(unread > 50 && unread < FRAMES / 4, "{unread} frames cannot be read");
}

fn compare(exclusion: Exclusion) {
    let mut runner = traffic::runner(1);
    if exclusion == Exclusion::Lock {
        // Other filters, settings and frames than without it.
        runner = TestRunner::new_with_rng(runner.config().clone(), runner.new_rng());
    }
    let frames = sample(&mut runner, &prop::collection::vec(frame(), FRAMES));
    let frames: Vec<Read> = frames.into_iter().map(Read::new).collect();
    assert_varied(&frames);
    let mut first = DIRECTIONS;
    let mut directions = Vec::new();
    for (number, condition) in (0..).zip(dialect::conditions()) {
        let direction = Direction::new(number, first, condition, &mut runner);
        first += direction.filters.len() as u32;
        directions.push(direction);
    }
    assert!(directions.len() > 80 && directions.len() <= DIRECTIONS as usize);

    let mut kernel = Kernel::load(exclusion, &directions);
    let mut seen = Seen::default();
    // In turns, so that the time which outages, queues and changes go by passes in all of them.
    for (turn, row) in frames.chunks(ROW).enumerate() {
        for direction in &mut directions {
            let port = Port { direction: direction.number, records: 1, ..Port::default() };
            kernel.object.set_port(LOOPBACK, port).unwrap();
            let turn = turn + direction.number as usize;
            for (place, frame) in row.iter().enumerate() {
                // Runs that are repeated are few, since for each the kernel waits until all processors have seen the
                // program; and `link` would pile up metadata in front of its frame.
                let (program, times) = match place {
                    0 if turn.is_multiple_of(FRAMES / ROW) => (Program::Decision, REPEATED),
                    _ if place % 8 == 1 => (Program::Link, 1),
                    _ => (Program::Decision, 1),
                };
                kernel.agrees_on(direction, program, frame, times, &mut seen);
            }
        }
    }
    directions.iter().for_each(|direction| kernel.agrees_at_the_end(direction, &mut seen));

    let Seen { fates, by_rule, by_default, unread, control_by_rule, changed, causes, rules, idle, unmet } = seen;
    println!("{exclusion:?}: {fates} fates, {by_rule} by {rules} rules, {by_default} by none, {unread} unread");
    println!("{control_by_rule} control packets by a rule, {changed} frames changed and read again, {idle} rules idle");
    assert!(fates >= 100_000, "only {fates} fates compared");
    assert!(by_rule > fates / 4 && by_default > fates / 10, "{by_rule} by a rule and {by_default} by none");
    assert!(unread > 1_000 && control_by_rule > 500 && changed > 500, "{unread}, {control_by_rule}, {changed}");
    let decided = [Cause::None, Cause::Outage, Cause::Loss, Cause::Queue, Cause::Aqm, Cause::Policer, Cause::InFlight];
    assert!(causes.iter().eq(&decided), "the settings led to {causes:?} alone");
    assert!(unmet.iter().eq(&ABSENT), "no packet went by {unmet:?}");
    assert!(rules > 300 && idle < rules / 2, "{idle} of {rules} rules had no packet");
}

#[test]
fn kernel_and_userspace_go_by_the_same_rules_behind_the_lock() {
    random::on_a_deep_stack(|| compare(Exclusion::Lock));
}

#[test]
fn kernel_and_userspace_go_by_the_same_rules_without_a_lock() {
    random::on_a_deep_stack(|| compare(Exclusion::Device));
}
