//! The channels of a direction, and what became of the packets that were put through them.

use std::collections::HashMap;

use shaper_channel::{Channel, ChannelSpec};
use shaper_common::fate::{Cause, Fate};
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;
use shaper_profile::CompiledDirection;

/// What became of one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// Its arrival since the first one's, in nanoseconds.
    pub(crate) at_ns: u64,
    /// What was decided.
    pub(crate) fate: Fate,
    /// From its arrival to its release, in nanoseconds; none for one that was dropped.
    pub(crate) delay_ns: Option<u64>,
    /// From its arrival until it was through the bottleneck, in nanoseconds; none where there is no bottleneck, or it
    /// was dropped before.
    pub(crate) queueing_ns: Option<u64>,
}

/// What became of many, and of the tables that their flows stand in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Through {
    /// The packets in the order of arrival.
    pub(crate) came: Vec<Came>,
    /// Flows put out of full tables for others.
    pub(crate) flows_evicted: u64,
}

/// A direction's channels, each from its first packet on.
pub(super) struct Channels<'d> {
    direction: &'d CompiledDirection,
    start: Nanos,
    by_rule: HashMap<Option<u32>, Channel>,
}

impl<'d> Channels<'d> {
    /// Those of a direction whose outages and changes count from `start`.
    pub(super) fn new(direction: &'d CompiledDirection, start: Nanos) -> Self {
        Self { direction, start, by_rule: HashMap::new() }
    }

    /// Decides the next packet of a rule's channel, or of the direction's own; none where there is no such rule. Its
    /// time is told since `epoch`.
    pub(super) fn decide(&mut self, rule: Option<u32>, packet: &Packet, epoch: Nanos) -> Option<Came> {
        let spec = spec_of(self.direction, rule)?;
        let channel = self.by_rule.entry(rule).or_insert_with(|| {
            let mut spec = spec.clone();
            spec.begin(self.start);
            Channel::new(spec)
        });
        let fate = channel.decide(packet);
        let since = |time: Nanos| time.saturating_sub(packet.now).0;
        Some(Came {
            at_ns: packet.now.saturating_sub(epoch).0,
            fate,
            delay_ns: (fate.cause == Cause::None).then(|| since(fate.release)),
            queueing_ns: (fate.served > 0).then(|| since(channel.state().work.service.after.free_at)),
        })
    }

    /// Flows put out of full tables for others, by now; of one rule alone where one is asked for.
    pub(super) fn flows_evicted(&self, asked: Option<u32>) -> u64 {
        let of = self.by_rule.iter().filter(|(rule, _)| asked.is_none() || **rule == asked);
        of.map(|(_, channel)| channel.state().counts.flows_evicted).sum()
    }
}

/// The settings of a rule's channel, or the direction's own.
pub(super) fn spec_of(direction: &CompiledDirection, rule: Option<u32>) -> Option<&ChannelSpec> {
    match rule {
        None => Some(&direction.channel),
        Some(rule) => direction.rules.channels.get(rule as usize),
    }
}
