//! From a profile's link to the integers that decide.

use shaper_channel::ChannelSpec;
use shaper_common::layout::{DIRECTIONS, Params};
use shaper_common::outage::Window;
use shaper_common::units::Nanos;

use crate::error::CompileError;
use crate::expected::Expected;
use crate::outages::{schedule, windows};
use crate::profile::{Direction, Link};
use crate::quantity::Duration;
use crate::shift::Stream;

/// What a run adds to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compile {
    /// The seed of all draws.
    pub seed: u64,
    /// The link's number in the run, from 0: keys its outages, and its directions' streams.
    pub link: u32,
    /// How long the run lasts at most: outages begin within it, and behind it the link stays up.
    pub horizon: Duration,
}

/// A link, compiled. Both directions have the same outage windows.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledLink {
    /// The direction of stream `2 link`.
    pub a_to_b: CompiledDirection,
    /// The direction of stream `2 link + 1`.
    pub b_to_a: CompiledDirection,
    /// When the link is down, since its start.
    pub windows: Vec<Window>,
}

/// A direction, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledDirection {
    /// What decides; the schedule's start is zero until the direction is attached, and so is the rule.
    pub channel: ChannelSpec,
    /// What will come out.
    pub expected: Expected,
}

impl CompiledLink {
    /// What the settings of either direction do to themselves, each thing once; with a stream from `a` to `b`, also
    /// what a kept order does to that.
    #[must_use]
    pub fn warnings(&self, stream: Option<Stream>) -> Vec<String> {
        let forward = &self.a_to_b.expected;
        let mut warnings = stream.map_or_else(|| forward.warnings(), |stream| forward.warnings_on(stream));
        for warning in self.b_to_a.expected.warnings() {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }
}

impl Link {
    /// Compiles the link for a run.
    ///
    /// # Errors
    /// Settings that cannot be, a run of no length, a link number too high, and more outages than a
    /// schedule holds.
    pub fn compile(&self, run: &Compile) -> Result<CompiledLink, CompileError> {
        if run.horizon.is_zero() {
            return Err(CompileError::NoHorizon);
        }
        let limit = DIRECTIONS / 2;
        if run.link >= limit {
            return Err(CompileError::TooManyLinks { link: run.link, limit });
        }
        self.check()?;
        let windows = windows(&self.outages, run.seed, run.link, run.horizon.0)?;
        let round_trip = Nanos(mean_delay(&self.a_to_b).0.saturating_add(mean_delay(&self.b_to_a).0));
        let compiled = |direction: &Direction, stream: u32| {
            let params =
                Params { has_outages: u32::from(!windows.is_empty()), ..direction.params(run.seed, stream) }.sparing();
            let expected = Expected::new(direction, &params, &self.outages, &windows, run.horizon, round_trip);
            let schedule = (!windows.is_empty()).then(|| schedule(&windows).into());
            CompiledDirection { channel: ChannelSpec { schedule, ..ChannelSpec::plain(params) }, expected }
        };
        let (a_to_b, b_to_a) = (compiled(&self.a_to_b, 2 * run.link), compiled(&self.b_to_a, 2 * run.link + 1));
        Ok(CompiledLink { a_to_b, b_to_a, windows })
    }
}

impl Direction {
    /// The settings as integers, without outages.
    #[must_use]
    pub fn params(&self, seed: u64, stream: u32) -> Params {
        let chain = self.loss.chain();
        let (period, pattern) = self.loss.pattern();
        Params {
            seed,
            start: Nanos::ZERO,
            loss: self.loss.probability(),
            chain: chain.unwrap_or_default(),
            has_chain: u32::from(chain.is_some()),
            pattern,
            delay: self.delay.0,
            jitter: self.jitter.0,
            rate: self.rate.0,
            queue: self.queue_time(),
            overhead: i32::try_from(self.overhead.bytes()).unwrap_or(i32::MAX),
            jitter_kind: self.distribution.compiled(self.jitter) as u32,
            order: self.order.compiled() as u32,
            stream,
            period,
            ..Params::default()
        }
    }
}

fn mean_delay(direction: &Direction) -> Nanos {
    crate::distribution::DelayDistribution::of(&direction.params(0, 0)).mean()
}
