//! A link that packets are put through, with nothing remembered beside its state.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_common::fate::Fate;
use shaper_common::layout::{Counts, Params, State, features};
use shaper_common::outage::{Schedule, Window};
use shaper_common::pipeline::{self, Packet, Settings};
use shaper_common::rate::Bottleneck;
use shaper_common::units::{Nanos, Probability};

pub(crate) const MILLION: usize = 1_000_000;
pub(crate) const MICRO: u64 = 1_000;
pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A link with its state.
pub(crate) struct Link {
    params: Params,
    schedule: Box<Schedule>,
    state: State,
    has: u32,
}

impl Link {
    pub(crate) fn new(params: Params) -> Self {
        Self { params, schedule: Box::new(Schedule::EMPTY), state: State::default(), has: features::ALL }
    }

    /// The same, down from each first time until just before the second, counted from the start in the settings.
    pub(crate) fn with_outages(params: Params, outages: &[(u64, u64)]) -> Self {
        let mut link = Self::new(Params { has_outages: 1, ..params });
        assert!(outages.len() <= link.schedule.windows.len());
        for (window, (start, end)) in link.schedule.windows.iter_mut().zip(outages) {
            *window = Window { start: Nanos(*start), end: Nanos(*end) };
        }
        link
    }

    /// The same, by a program that has these effects alone.
    pub(crate) fn with_features(mut self, has: u32) -> Self {
        self.has = has;
        self
    }

    pub(crate) fn decide(&mut self, packet: &Packet) -> Fate {
        let settings = Settings::plain(&self.params, &self.schedule);
        pipeline::decide(self.has, &settings, &mut self.state, packet);
        self.state.work.fate.into()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.state.counts
    }

    pub(crate) fn bottleneck(&self) -> Bottleneck {
        self.state.carried.bottleneck
    }
}

/// A UDP packet over IPv4 behind a plain Ethernet header.
pub(crate) fn packet(now: u64, len: u32) -> Packet {
    Packet { now: Nanos(now), len, network: 14, transport: 34, payload: 42, ..Packet::default() }
}

/// Packets of 200 bytes, one each `interval`.
pub(crate) fn steady(interval: u64, count: usize) -> impl Iterator<Item = Packet> {
    (0..count as u64).map(move |index| packet(SECOND + index * interval, 200))
}

/// Packets that come at random times, `interval` apart in the mean, and of random lengths from 60 to 1514 bytes.
pub(crate) fn irregular(seed: u64, interval: u64, count: usize) -> impl Iterator<Item = Packet> {
    let mut random = Random(seed);
    let mut now = SECOND;
    (0..count).map(move |_| {
        now += random.below(2 * interval + 1);
        packet(now, 60 + random.below(1_455) as u32)
    })
}

pub(crate) fn probability(of: f64) -> Probability {
    Probability((of * 2f64.powi(32)).round() as u64)
}

/// Random numbers for what is put in: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, range: u64) -> u64 {
        self.next() % range
    }
}

/// Cases of fixed seeds.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
