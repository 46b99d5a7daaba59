//! Other settings for a running attachment.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use shaper_channel::ChannelSpec;
use shaper_common::layout::Recording;
use shaper_common::units::Nanos;
use shaper_net::journal::Journal;

use super::Engine;
use crate::clock::monotonic;
use crate::error::Error;
use crate::evidence::{Extended, Told};
use crate::spec::EngineKind;

impl Engine {
    /// Whether a direction can change to other settings, see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn can_change(&self, direction: u32, channel: &ChannelSpec) -> Result<(), Error> {
        self.additions(direction, channel.clone()).map(drop)
    }

    /// The settings as the engine has them, and how many changes of them are there already.
    fn additions(&self, direction: u32, mut channel: ChannelSpec) -> Result<(ChannelSpec, usize), Error> {
        /// How long it takes at least until the programs know, in nanoseconds.
        const AHEAD: u64 = 50_000_000;
        channel.begin(Nanos(self.start.load(Ordering::Acquire)));
        let spec = self.directions.get(direction as usize).ok_or(Error::NoDirection { direction })?;
        let wrong = |problem: &str| Error::Change { direction: spec.name.clone(), problem: problem.to_owned() };
        let Some(new) = channel.extends(&spec.channel) else {
            return Err(wrong("the settings do not go on from those that hold"));
        };
        let there = channel.changes.as_ref().map_or(0, |changes| changes.settings.len()) - new;
        self.object.has_room_for(direction, &channel)?;
        let first = channel.changes.as_ref().and_then(|changes| changes.timeline.at.get(there));
        let comes = first.is_none_or(|at| channel.params.start.saturating_add(*at).0 > monotonic() + AHEAD);
        if comes { Ok((channel, there)) } else { Err(wrong("the time for it has passed")) }
    }

    /// Lets a direction change to other settings, at times that are still to come: `channel` has all the settings that the
    /// direction has had so far, and others after those. State, indices and what is held stay as they are. Needs
    /// [`Options::changeable`].
    ///
    /// # Errors
    ///
    /// Settings that do not go on from those that hold, effects that the programs were loaded without, and no room.
    pub fn change(&mut self, direction: u32, channel: ChannelSpec) -> Result<(), Error> {
        /// The evidence thread comes round every millisecond; where it cannot, something is wrong.
        const PATIENCE: Duration = Duration::from_secs(5);
        let (channel, there) = self.additions(direction, channel)?;
        // First the oracle, then the programs: no record is to be replayed by settings that it was not decided by.
        let (known, is_known) = mpsc::channel();
        let extended = Box::new(Extended { direction, channel: channel.clone(), known });
        if self.to_evidence.send(Told::Extended(extended)).is_err() || is_known.recv_timeout(PATIENCE).is_err() {
            return Err(Error::Thread { thread: "evidence", what: "does not answer".into() });
        }
        if let Some(spec) = self.directions.get_mut(direction as usize) {
            spec.channel = channel.clone();
            if let Some((ifindex, port)) = self.ports.get_mut(direction as usize)
                && self.options.engine == EngineKind::Edt
                && spec.may_overtake()
            {
                port.scatter = 1;
                self.object.set_port(*ifindex, *port)?;
            }
        }
        Ok(self.object.add_changes(direction, &channel, there)?)
    }

    /// Leads the packets of a direction to the delay line, which were left alone so far.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn lead(&mut self, journal: &Journal, direction: u32) -> Result<(), Error> {
        match &mut self.diverted {
            Some(diverted) if !diverted.leads(direction) => {
                diverted.divert(journal, &mut self.object, direction, self.options.recording != Recording::Off)
            }
            _ => Ok(()),
        }
    }
}
