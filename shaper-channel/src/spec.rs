//! What decides in a channel, before anything came.

use std::sync::Arc;

use shaper_common::layout::{Params, features};
use shaper_common::outage::Schedule;
use shaper_common::pipeline::Settings;
use shaper_common::quantile::Quantiles;

/// A link that never goes down.
static ALWAYS_UP: Schedule = Schedule::EMPTY;

/// The settings of a channel with all that belongs to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelSpec {
    /// The settings; the start of the schedule is filled in when the channel begins.
    pub params: Params,
    /// When the link is down; `None` for never.
    pub schedule: Option<Arc<Schedule>>,
    /// The quantiles of the delay, where its distribution is a table.
    pub quantiles: Option<Arc<Quantiles>>,
    /// How many flows are remembered where each has draws of its own: a power of two, [`shaper_common::flow::WAYS`] at
    /// least.
    pub flows: u32,
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

    /// What decides for a packet.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        Settings { params: &self.params, schedule: self.schedule(), quantiles: self.quantiles.as_deref() }
    }

    /// The [`features`] that it needs.
    #[must_use]
    pub fn features(&self) -> u32 {
        self.params.features()
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
