//! What the programs know of channels: settings, tables, changes and rules.

use shaper_channel::{ChannelSpec, Rules, Trace};
use shaper_common::backlog::Backlog;
use shaper_common::flow::Bucket;
use shaper_common::layout::{self, DirectionRules, Setup};
use shaper_common::quantile::Quantiles;
use shaper_common::rules::RuleKey;
use shaper_common::timeline::Timeline;
use shaper_common::units::Nanos;

use super::{
    BACKLOGS, BPF_F_LOCK, DIRECTION_RULES, FLOWS, Object, QUANTILES, RULES, SCHEDULES, SETUPS, STATES, TIMELINES,
    writing,
};
use crate::error::Error;
use crate::pod::{
    BacklogPod, BucketPod, DirectionRulesPod, QuantilesPod, RuleKeyPod, SchedulePod, SetupPod, SharedPod, TimelinePod,
};
use crate::room::{Full, Room, missing};

impl Object {
    /// Sets up a channel: settings and what belongs to them. State and counts begin at zero.
    ///
    /// # Errors
    ///
    /// When the object has no room for it, or was loaded without an effect that it needs.
    pub fn set_channel(&mut self, channel: u32, spec: &ChannelSpec) -> Result<(), Error> {
        let missing = missing(&self.room, spec.features());
        if missing != 0 {
            return Err(Error::NotLoaded { features: missing });
        }
        let full = |Full { map, room }| Error::Full { map, room };
        let mut places = layout::Places::default();
        if let Some(schedule) = &spec.schedule {
            places.schedule = self.schedule_places.give(channel, 1).map_err(full)?;
            self.schedules.set(places.schedule, SchedulePod(**schedule), 0).map_err(writing(SCHEDULES))?;
        }
        let is_open = self.open.contains(&channel);
        if spec.has_backlog() || is_open {
            places.backlog = self.backlog_places.give(channel, 1).map_err(full)?;
            self.backlogs.set(places.backlog, BacklogPod(Backlog::EMPTY), 0).map_err(writing(BACKLOGS))?;
        }
        if spec.has_flows() {
            let buckets = spec.buckets();
            places.flows = self.flow_places.give(channel, buckets).map_err(full)?;
            places.flows_mask = buckets - 1;
            for bucket in places.flows..places.flows + buckets {
                self.flows.set(bucket, BucketPod(Bucket::default()), 0).map_err(writing(FLOWS))?;
            }
        }
        if let Some(trace) = &spec.trace {
            let (own, given) = match trace {
                Trace::Steps(_) => (&mut places.steps, &mut self.step_places),
                Trace::Packets(_) => (&mut places.packets, &mut self.packet_places),
            };
            *own = given.give(channel, 1).map_err(full)?;
            self.feeder.as_mut().ok_or(Error::FeederTaken)?.lay(channel, *own, trace)?;
        }
        // Tables and settings of changes lie one behind another: the channel's own first.
        self.quantile_places.give(channel, tables_of(spec)).map_err(full)?;
        if spec.changes.is_some() || is_open {
            places.timeline = self.timeline_places.give(channel, 1).map_err(full)?;
            self.set_timeline(places.timeline, spec)?;
            let count = spec.changes.as_ref().map_or(0, |changes| changes.settings.len() as u32);
            let first = self.change_places.give(channel, count).map_err(full)?;
            // The first place of all is nobody's.
            places.changes = self.room.channels + first - 1;
        }
        self.set_settings(channel, places, spec, 0)?;
        self.states.set(channel, SharedPod(Default::default()), BPF_F_LOCK).map_err(writing(STATES))
    }

    /// Keeps room for changes that a channel is to have later on, before it is set: the object was loaded for them
    /// ([`Room::with_later`]).
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn open_channel(&mut self, channel: u32) -> Result<(), Error> {
        let full = |Full { map, room }| Error::Full { map, room };
        self.change_places.give(channel, Room::LATER_CHANGES).map_err(full)?;
        self.quantile_places.give(channel, Room::LATER_TABLES).map_err(full)?;
        self.open.insert(channel);
        Ok(())
    }

    /// Whether an open channel can have these changes.
    ///
    /// # Errors
    ///
    /// When there is no room for them, or the object was loaded without an effect that they need.
    pub fn has_room_for(&self, channel: u32, spec: &ChannelSpec) -> Result<(), Error> {
        let missing = missing(&self.room, spec.features());
        if missing != 0 {
            return Err(Error::NotLoaded { features: missing });
        }
        let count = spec.changes.as_ref().map_or(0, |changes| changes.settings.len() as u32);
        for (map, wanted, room) in
            [(SETUPS, count, Room::LATER_CHANGES), (QUANTILES, tables_of(spec), Room::LATER_TABLES)]
        {
            if wanted > room || !self.open.contains(&channel) {
                return Err(Error::Full { map, room });
            }
        }
        Ok(())
    }

    /// Adds to the changes of an open channel, while packets flow: `from` of them are there already, and none of the
    /// others has come to pass.
    ///
    /// # Errors
    ///
    /// As [`has_room_for`](Self::has_room_for).
    pub fn add_changes(&mut self, channel: u32, spec: &ChannelSpec, from: usize) -> Result<(), Error> {
        self.has_room_for(channel, spec)?;
        let SetupPod(Setup { places, .. }) = self.setups.get(&channel, 0).map_err(writing(SETUPS))?;
        // Nobody looks at them before the timeline says so.
        self.set_settings(channel, places, spec, from + 1)?;
        self.set_timeline(places.timeline, spec)
    }

    fn set_timeline(&mut self, place: u32, spec: &ChannelSpec) -> Result<(), Error> {
        let timeline = spec.changes.as_ref().map_or(&Timeline::EMPTY, |changes| &*changes.timeline);
        self.timelines.set(place, TimelinePod(*timeline), 0).map_err(writing(TIMELINES))
    }

    /// Writes the settings of a channel, with their tables: its own are the first ones.
    fn set_settings(
        &mut self,
        channel: u32,
        mut places: layout::Places,
        spec: &ChannelSpec,
        from: usize,
    ) -> Result<(), Error> {
        let mut table = self.quantile_places.first(channel);
        for (number, (params, tables)) in (0u32..).zip(spec.all()) {
            let is_new = number as usize >= from;
            for (place, quantiles) in [(&mut places.quantiles, &tables.delay), (&mut places.slot_table, &tables.slot)] {
                if let Some(quantiles) = quantiles {
                    if is_new {
                        let set = self.quantiles.set(table, QuantilesPod(Quantiles::clone(quantiles)), 0);
                        set.map_err(writing(QUANTILES))?;
                    }
                    *place = table;
                    table += 1;
                }
            }
            let at = if number == 0 { channel } else { places.changes + number - 1 };
            if is_new {
                self.setups.set(at, SetupPod(Setup { params: *params, places }), 0).map_err(writing(SETUPS))?;
            }
        }
        Ok(())
    }

    /// Writes the rules of a direction; their channels, from `first` on, are set like any other.
    ///
    /// # Errors
    ///
    /// When the object has no room for them.
    pub fn set_rules(&mut self, direction: u32, rules: &Rules, first: u32) -> Result<(), Error> {
        for (key, rule) in &rules.entries {
            self.rules.insert(RuleKeyPod(RuleKey { direction, ..*key }), *rule, 0).map_err(writing(RULES))?;
        }
        let all = DirectionRulesPod(DirectionRules { shapes: rules.shapes, first, _reserved: 0 });
        self.direction_rules.set(direction, all, 0).map_err(writing(DIRECTION_RULES))
    }

    /// Sets the time from which a channel's outages and changes count; its state goes on.
    ///
    /// # Errors
    ///
    /// When the channel is out of range.
    pub fn set_start(&mut self, channel: u32, spec: &ChannelSpec, start: Nanos) -> Result<(), Error> {
        let SetupPod(Setup { places, .. }) = self.setups.get(&channel, 0).map_err(writing(SETUPS))?;
        let changes = spec.changes.iter().flat_map(|changes| 0..changes.settings.len() as u32);
        // Changes first: until the channel's own settings say so they are not looked at.
        for at in changes.map(|number| places.changes + number).chain([channel]) {
            let SetupPod(mut setup) = self.setups.get(&at, 0).map_err(writing(SETUPS))?;
            setup.params.start = start;
            self.setups.set(at, SetupPod(setup), 0).map_err(writing(SETUPS))?;
        }
        Ok(())
    }
}

/// Tables that a channel's settings need.
fn tables_of(spec: &ChannelSpec) -> u32 {
    spec.all().map(|(_, tables)| tables.count()).sum()
}
