//! What decides in a channel, before anything came.

use std::sync::Arc;

use shaper_common::layout::{Params, features};
use shaper_common::outage::Schedule;
use shaper_common::pipeline::Settings;
use shaper_common::quantile::Quantiles;
use shaper_common::rules::{RuleKey, Shapes};
use shaper_common::timeline::{MOST_CHANGES, Timeline};
use shaper_common::units::Nanos;

use crate::trace::Trace;

/// A link that never goes down.
static ALWAYS_UP: Schedule = Schedule::EMPTY;

/// The settings of a channel with all that belongs to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelSpec {
    /// The settings; the start of the schedule is filled in when the channel begins.
    pub params: Params,
    /// When the link is down; `None` for never.
    pub schedule: Option<Arc<Schedule>>,
    /// What the settings take from tables.
    pub tables: Tables,
    /// How many flows are remembered where each has draws of its own: a power of two, [`shaper_common::flow::WAYS`] at
    /// least.
    pub flows: u32,
    /// How the settings change.
    pub changes: Option<Changes>,
    /// What settings follow, as their flags say.
    pub trace: Option<Trace>,
}

/// Tables of quantiles that belong to settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// Of the delay, where its distribution is a table.
    pub delay: Option<Arc<Quantiles>>,
    /// Of the time between slots, where that is by one.
    pub slot: Option<Arc<Quantiles>>,
}

impl Tables {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::from(self.delay.is_some()) + u32::from(self.slot.is_some())
    }
}

/// Settings that change at set times.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// When, since the start.
    pub timeline: Arc<Timeline>,
    /// To what: one for each time.
    pub settings: Arc<[(Params, Tables)]>,
}

/// More changes than a timeline holds, or times that do not rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Changes {
    /// Changes in the order of their times; they begin anew after `repeat` where that is not zero.
    ///
    /// # Errors
    /// More than [`MOST_CHANGES`], and times that do not rise.
    pub fn new(all: impl IntoIterator<Item = (Nanos, Params, Tables)>, repeat: Nanos) -> Result<Self, TooMany> {
        let mut timeline = Box::new(Timeline { repeat, ..Timeline::EMPTY });
        let mut settings = Vec::new();
        let mut last = None;
        for (at, params, tables) in all {
            let place = timeline.at.get_mut(settings.len()).filter(|_| settings.len() < MOST_CHANGES);
            let (Some(place), true) = (place, last.is_none_or(|last| last < at)) else { return Err(TooMany) };
            *place = at;
            last = Some(at);
            settings.push((params, tables));
        }
        Ok(Self { timeline: timeline.into(), settings: settings.into() })
    }
}

impl ChannelSpec {
    /// Settings that need nothing beside them.
    #[must_use]
    pub fn plain(params: Params) -> Self {
        Self { params, ..Self::default() }
    }

    /// The schedule of outages.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        self.schedule.as_deref().unwrap_or(&ALWAYS_UP)
    }

    /// Sets the time from which outages and changes count.
    pub fn begin(&mut self, start: Nanos) {
        self.params.start = start;
        if let Some(changes) = &mut self.changes {
            for (params, _) in Arc::make_mut(&mut changes.settings) {
                params.start = start;
            }
        }
    }

    /// Makes it the channel of a rule: its number in the direction and one more.
    pub fn number(&mut self, rule: u32) {
        self.params.rule = rule;
        if let Some(changes) = &mut self.changes {
            for (params, _) in Arc::make_mut(&mut changes.settings) {
                params.rule = rule;
            }
        }
    }

    /// What decides for a packet that arrives `now`, the traces aside.
    #[must_use]
    pub fn settings(&self, now: Nanos) -> Settings<'_> {
        let changed = self.changes.as_ref().filter(|_| now >= self.params.start).and_then(|changes| {
            let passed = changes.timeline.passed(now.saturating_sub(self.params.start));
            changes.settings.get((passed as usize).checked_sub(1)?)
        });
        let (params, tables) = match changed {
            Some((params, tables)) => (params, tables),
            None => (&self.params, &self.tables),
        };
        Settings {
            quantiles: tables.delay.as_deref(),
            slot_table: tables.slot.as_deref(),
            ..Settings::plain(params, self.schedule())
        }
    }

    /// All settings that it ever has.
    pub fn all(&self) -> impl Iterator<Item = (&Params, &Tables)> {
        let changed = self.changes.iter().flat_map(|changes| changes.settings.iter());
        std::iter::once((&self.params, &self.tables)).chain(changed.map(|(params, tables)| (params, tables)))
    }

    /// The [`features`] that it needs.
    #[must_use]
    pub fn features(&self) -> u32 {
        let changes = if self.changes.is_some() { features::CHANGES } else { 0 };
        self.all().fold(changes, |needed, (params, _)| needed | params.features())
    }

    /// Whether a packet of this channel is ever held, or sent more than once.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.all().any(|(params, _)| params.holds())
    }

    /// Whether its settings change over time, or follow a trace: shares and delays are of no one setting then.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.changes.is_some() || self.trace.is_some()
    }

    /// How many changes are new, where this has all the settings of another one, and others that come after those.
    #[must_use]
    pub fn extends(&self, other: &Self) -> Option<usize> {
        let settings = |spec: &Self| spec.changes.as_ref().map_or(0, |changes| changes.settings.len());
        let (own, others) = (settings(self), settings(other));
        let same = |at: usize| {
            let of = |spec: &Self| {
                let changes = spec.changes.as_ref()?;
                let (params, tables) = changes.settings.get(at)?;
                Some((*changes.timeline.at.get(at)?, *params, tables.clone()))
            };
            of(self) == of(other)
        };
        let repeats = |spec: &Self| spec.changes.as_ref().is_some_and(|changes| changes.timeline.repeat != Nanos::ZERO);
        let begins_alike = Self { changes: None, ..self.clone() } == Self { changes: None, ..other.clone() };
        let goes_on = own >= others && (0..others).all(same) && !repeats(self) && !repeats(other);
        (begins_alike && goes_on).then(|| own - others)
    }

    /// Whether it remembers flows.
    #[must_use]
    pub fn has_flows(&self) -> bool {
        self.features() & features::FLOWS != 0
    }

    /// Buckets of flows: a power of two, one at least.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        (self.flows / shaper_common::flow::WAYS as u32).max(1).next_power_of_two()
    }

    /// Whether it remembers the packets in its bottleneck.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.features() & features::BACKLOG != 0
    }
}

/// The rules of a direction: each has a channel of its own, and packets that none matches go by the direction's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The masks of their matches.
    pub shapes: Shapes,
    /// Masked keys and the number of the rule, from 0; the keys' direction is filled in when they are loaded.
    pub entries: Vec<(RuleKey, u32)>,
    /// By number.
    pub channels: Vec<ChannelSpec>,
}
