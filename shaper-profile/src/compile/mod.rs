//! From a profile's link to the integers that decide.

mod direction;
mod followed;
mod rules;

use shaper_channel::{Changes, ChannelSpec, Rules, TooMany};
use shaper_common::layout::DIRECTIONS;
use shaper_common::outage::Window;
use shaper_common::timeline::MOST_CHANGES;
use shaper_common::units::Nanos;

use self::direction::Settings;
use self::followed::Followed;
use crate::error::CompileError;
use crate::expected::{Expected, Foretold};
use crate::outages::{schedule, windows};
use crate::profile::{Change, Direction, Link};
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
    /// Its changes and rules, a line each.
    pub told: Vec<String>,
}

/// A direction, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledDirection {
    /// What decides for packets that no rule matches; the schedule's start is zero until the direction is attached.
    pub channel: ChannelSpec,
    /// The rules.
    pub rules: Rules,
    /// Their names.
    pub rule_names: Vec<String>,
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
    /// Settings that cannot be, a run of no length, a link number too high, more outages than a schedule holds, tables
    /// and traces that cannot be read, and rules that cannot be held.
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
        let channels = Channels { link: self, seed: run.seed, windows: &windows };
        let [forward, backward] =
            [Way::Forward, Way::Backward].map(|way| channels.settings(way, 2 * run.link + way as u32));
        let (forward, backward) = (forward?, backward?);
        let round_trip = Nanos(forward.delay.mean().0.saturating_add(backward.delay.mean().0));
        let compiled = |way: Way, settings: Settings| -> Result<CompiledDirection, CompileError> {
            let expected = Expected::new(Foretold {
                direction: &settings.direction,
                longest: settings.longest,
                channel: &settings.channel,
                delay: settings.delay,
                outages: &self.outages,
                windows: &windows,
                horizon: run.horizon,
                round_trip,
            });
            let rules = rules::compile(&self.rules, way, run)?;
            let rule_names = self.rules.iter().map(|rule| rule.name.clone()).collect();
            Ok(CompiledDirection { channel: settings.channel, rules, rule_names, expected })
        };
        let (a_to_b, b_to_a) = (compiled(Way::Forward, forward)?, compiled(Way::Backward, backward)?);
        let told = self.told();
        Ok(CompiledLink { a_to_b, b_to_a, windows, told })
    }
}

/// One of a link's two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Forward = 0,
    Backward = 1,
}

impl Way {
    const fn of(self, link: &Link) -> &Direction {
        match self {
            Self::Forward => &link.a_to_b,
            Self::Backward => &link.b_to_a,
        }
    }

    const fn of_change(self, change: &Change) -> &Direction {
        match self {
            Self::Forward => &change.a_to_b,
            Self::Backward => &change.b_to_a,
        }
    }
}

/// What the channels of a link, or of one of its rules, have in common.
struct Channels<'a> {
    link: &'a Link,
    seed: u64,
    windows: &'a [Window],
}

impl Channels<'_> {
    /// The settings of one direction, with outages, changes and trace.
    fn settings(&self, way: Way, stream: u32) -> Result<Settings, CompileError> {
        let Self { link, seed, windows } = *self;
        let base = way.of(link);
        let trace = base.trace.as_ref().map(|reference| Followed::read(reference, base.scope)).transpose()?;
        let finished = |direction: &Direction| -> Result<Settings, CompileError> {
            let mut settings = match &trace {
                None => Settings::of(direction, seed, stream, link.outages.held)?,
                Some(trace) => trace.settings(direction, seed, stream, link.outages.held)?,
            };
            settings.channel.params.has_outages = u32::from(!windows.is_empty());
            settings.channel.params = settings.channel.params.sparing();
            Ok(settings)
        };
        let mut settings = finished(base)?;
        settings.channel.schedule = (!windows.is_empty()).then(|| schedule(windows).into());
        settings.channel.trace = trace.as_ref().map(Followed::trace);
        let mut changes = Vec::new();
        for change in &link.changes {
            let own = way.of_change(change);
            if let Some(trace) = &trace {
                trace.check_change(base, own)?;
            }
            let changed = finished(own)?;
            changes.push((change.at.0, changed.channel.params, changed.channel.tables));
        }
        let repeat = link.repeat.map_or(Nanos::ZERO, |after| after.0);
        if !changes.is_empty() {
            let count = changes.len();
            let changes = Changes::new(changes, repeat)
                .map_err(|TooMany| CompileError::TooManyChanges { count, limit: MOST_CHANGES })?;
            settings.channel.changes = Some(changes);
        }
        Ok(settings)
    }
}
