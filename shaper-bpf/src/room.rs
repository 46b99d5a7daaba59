//! How large the maps of an object are, and where in them what belongs to a channel lies.

use std::collections::BTreeMap;

use shaper_channel::{ChannelSpec, Trace};
use shaper_common::layout::{DIRECTIONS, features};

/// What channels need of an object: fixed when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The effects that the programs know, [`features`].
    pub features: u32,
    /// Channels: those of all directions, and one for each rule.
    pub channels: u32,
    /// Outage schedules.
    pub schedules: u32,
    /// Bottlenecks whose packets are counted.
    pub backlogs: u32,
    /// Buckets of flows.
    pub buckets: u32,
    /// Tables of quantiles.
    pub quantiles: u32,
    /// Timelines.
    pub timelines: u32,
    /// Their changes.
    pub changes: u32,
    /// Entries in the table of rules.
    pub rules: u32,
    /// Traces over time.
    pub steps: u32,
    /// Traces by packet.
    pub packets: u32,
}

impl Room {
    /// The changes that a channel may have later on, see [`with_later`](Self::with_later).
    pub const LATER_CHANGES: u32 = 1024;
    /// The tables of quantiles that these may need, each some 18 KiB.
    pub const LATER_TABLES: u32 = 128;

    /// For the directions alone, with settings that need nothing else.
    pub const PLAIN: Self = Self {
        features: 0,
        channels: DIRECTIONS,
        schedules: 1,
        backlogs: 1,
        buckets: 1,
        quantiles: 1,
        timelines: 1,
        changes: 0,
        rules: 1,
        steps: 1,
        packets: 1,
    };

    /// Room for these channels.
    #[must_use]
    pub fn of<'a>(specs: impl IntoIterator<Item = &'a ChannelSpec>) -> Self {
        let mut room = Self { channels: 0, ..Self::PLAIN };
        for spec in specs {
            room.features |= spec.features();
            room.channels += 1;
            room.schedules += u32::from(spec.schedule.is_some());
            room.backlogs += u32::from(spec.has_backlog());
            room.quantiles += spec.all().map(|(_, tables)| tables.count()).sum::<u32>();
            if let Some(changes) = &spec.changes {
                room.timelines += 1;
                room.changes += changes.settings.len() as u32;
            }
            match spec.trace {
                None => {}
                Some(Trace::Steps(_)) => room.steps += 1,
                Some(Trace::Packets(_)) => room.packets += 1,
            }
            room.buckets += if spec.has_flows() { spec.buckets() } else { 0 };
        }
        Self { channels: room.channels.max(DIRECTIONS), ..room }
    }

    /// The same with room for settings that so many channels are to change to later on: with all effects but those that
    /// take much memory, and that none of the channels has.
    #[must_use]
    pub const fn with_later(self, channels: u32) -> Self {
        const LARGE: u32 = features::RULES | features::FLOWS | features::STEPS | features::CAPACITY | features::PACKETS;
        Self {
            features: self.features | (features::ALL & !LARGE),
            backlogs: self.backlogs + channels,
            quantiles: self.quantiles + channels * Self::LATER_TABLES,
            timelines: self.timelines + channels,
            changes: self.changes + channels * Self::LATER_CHANGES,
            ..self
        }
    }

    /// The same with room for so many rules of a direction, whose channels are among the others.
    #[must_use]
    pub const fn with_rules(self, entries: u32) -> Self {
        Self { features: self.features | features::RULES, rules: self.rules + entries, ..self }
    }
}

/// Places of one map, given to channels as they ask. The first one is nobody's: what has none points there.
#[derive(Debug)]
pub(crate) struct Places {
    map: &'static str,
    room: u32,
    next: u32,
    given: BTreeMap<u32, (u32, u32)>,
}

/// No place is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full {
    pub(crate) map: &'static str,
    pub(crate) room: u32,
}

impl Places {
    pub(crate) const fn new(map: &'static str, room: u32) -> Self {
        Self { map, room, next: 1, given: BTreeMap::new() }
    }

    /// The first place of a channel; that which is nobody's where it has none.
    pub(crate) fn first(&self, channel: u32) -> u32 {
        self.given.get(&channel).map_or(0, |(first, _)| *first)
    }

    /// The first of so many places for a channel: those that it had, where they suffice or can be added to.
    pub(crate) fn give(&mut self, channel: u32, count: u32) -> Result<u32, Full> {
        let had = self.given.get(&channel).copied();
        if let Some((first, had)) = had
            && had >= count
        {
            return Ok(first);
        }
        let first = had.map(|(first, had)| (first, first + had)).filter(|(_, end)| *end == self.next);
        let first = first.map_or(self.next, |(first, _)| first);
        let end = first.saturating_add(count);
        if end > self.room {
            return Err(Full { map: self.map, room: self.room });
        }
        self.next = end;
        self.given.insert(channel, (first, count));
        Ok(first)
    }
}

/// The features that an object was not loaded for.
pub(crate) const fn missing(room: &Room, spec_features: u32) -> u32 {
    spec_features & !room.features
}
