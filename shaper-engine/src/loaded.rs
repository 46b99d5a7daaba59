//! What is in the kernel before packets come: programs and maps, with the settings of all directions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use shaper_bpf::{Exclusion, Feeder, Object, Room};
use shaper_common::layout::DIRECTIONS;
use shaper_common::units::Nanos;
use shaper_net::rtnl::Rtnl;

use crate::clock::monotonic;
use crate::error::Error;
use crate::spec::{DirectionSpec, Options};

/// What the kernel has of an attachment before packets come: the programs with their settings.
pub(crate) struct Loaded {
    pub(crate) object: Object,
    pub(crate) directions: Vec<DirectionSpec>,
    pub(crate) rule_channels: Vec<u32>,
    pub(crate) exclusion: Exclusion,
}

/// Until [`Engine::begin`](crate::Engine::begin) every arrival is before the start, which is a time when no outage has begun.
pub(crate) const BEFORE_START: Nanos = Nanos::MAX;

impl Loaded {
    /// Loads an object with room for `directions`, and writes their settings.
    pub(crate) fn new(
        mut directions: Vec<DirectionSpec>,
        options: Options,
        exclusion: Exclusion,
        load: impl FnOnce(&Room) -> Result<Object, shaper_bpf::Error>,
    ) -> Result<Self, Error> {
        if directions.len() > DIRECTIONS as usize {
            return Err(Error::TooManyDirections { wanted: directions.len(), most: DIRECTIONS });
        }
        let mut room = Room::of(directions.iter().flat_map(DirectionSpec::channels));
        room.channels += DIRECTIONS;
        if options.changeable {
            room = room.with_later(directions.len() as u32);
        }
        for spec in directions.iter().filter(|spec| !spec.rules.channels.is_empty()) {
            room = room.with_rules(spec.rules.entries.len() as u32);
        }
        let mut object = load(&room)?;
        // Behind the directions' own channels stand those of their rules.
        let mut first = DIRECTIONS;
        let mut rule_channels = Vec::with_capacity(directions.len());
        for (direction, spec) in (0..).zip(&mut directions) {
            spec.channel.begin(BEFORE_START);
            if options.changeable {
                object.open_channel(direction)?;
            }
            object.set_channel(direction, &spec.channel)?;
            for (channel, rule) in (first..).zip(&mut spec.rules.channels) {
                rule.begin(BEFORE_START);
                object.set_channel(channel, rule)?;
            }
            if !spec.rules.channels.is_empty() {
                object.set_rules(direction, &spec.rules, first)?;
            }
            rule_channels.push(first);
            first += spec.rules.channels.len() as u32;
        }
        Ok(Self { object, directions, rule_channels, exclusion })
    }
}

/// Brings on traces that do not fit their rings, of which three quarters, 0.65 s at least, are ahead, until it is `done`.
pub(crate) fn feed(mut feeder: Feeder, start: &AtomicU64, done: &AtomicBool) -> Result<(), shaper_bpf::Error> {
    /// A small part of what the rings hold: of traces by packet, of a million packets a second.
    const ROUND: Duration = Duration::from_millis(10);
    while !done.load(Ordering::Acquire) {
        feeder.feed(Nanos(monotonic().saturating_sub(start.load(Ordering::Acquire))))?;
        thread::sleep(ROUND);
    }
    Ok(())
}

/// What keeps the decisions of one direction apart, where each of these devices is the only one of its direction.
pub(crate) fn exclusion(ports: &[u32]) -> Result<Exclusion, Error> {
    let rtnl = Rtnl::open()?;
    for ifindex in ports {
        // A device that is not there is an error of binding to it, which says more. Of other drivers it is not known
        // that they run programs in the poll of a queue alone: a tun runs them in whoever writes.
        if rtnl.find_index(*ifindex)?.is_some_and(|link| link.kind != "veth" || link.queues.1 != 1) {
            return Ok(Exclusion::Lock);
        }
    }
    Ok(Exclusion::Device)
}
