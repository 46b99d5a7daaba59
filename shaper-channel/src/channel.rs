//! A channel that packets are put through.

use shaper_common::fate::Fate;
use shaper_common::layout::{Carried, State, features};
use shaper_common::pipeline::{Packet, decide, recall, remember};

use crate::memory::Memories;
use crate::spec::ChannelSpec;
use crate::window::Followed;

/// A channel with its state. Packets must come in order of time.
#[derive(Clone, Debug)]
pub struct Channel {
    spec: ChannelSpec,
    state: State,
    memories: Memories,
    followed: Followed,
    met: Carried,
}

impl Channel {
    /// A channel that nothing came through yet.
    #[must_use]
    pub fn new(spec: ChannelSpec) -> Self {
        let (memories, followed) = (Memories::new(&spec), Followed::new(&spec));
        Self { spec, state: State::default(), memories, followed, met: Carried::default() }
    }

    /// Decides the fate of the next packet.
    pub fn decide(&mut self, packet: &Packet) -> Fate {
        let settings = self.followed.settings(&self.spec, packet, self.state.carried.flow.next_index);
        let params = settings.params;
        let mut memory = self.memories.of(packet.flow_hash);
        recall(features::ALL, params, &mut memory, &mut self.state, packet);
        self.met = self.state.carried;
        decide(features::ALL, &settings, &mut self.state, packet);
        remember(features::ALL, params, &mut memory, &mut self.state);
        self.state.work.fate.into()
    }

    /// What decides.
    #[must_use]
    pub fn spec(&self) -> &ChannelSpec {
        &self.spec
    }

    /// The state that the last packet left.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the last packet met: what its record would hold.
    #[must_use]
    pub fn met(&self) -> &Carried {
        &self.met
    }
}
