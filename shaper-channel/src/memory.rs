//! What a channel has beside its settings and its state.

use shaper_common::backlog::Backlog;
use shaper_common::flow::Bucket;
use shaper_common::pipeline::{Memory, Packet, Settings};

use crate::spec::ChannelSpec;
use crate::trace::{PacketWindow, StepWindow, Trace};

/// The memory of one channel, as large as its settings ask for.
#[derive(Clone, Debug)]
pub(crate) struct Memories {
    buckets: Vec<Bucket>,
    backlog: Option<Box<Backlog>>,
}

impl Memories {
    /// An empty memory.
    pub(crate) fn new(spec: &ChannelSpec) -> Self {
        let buckets = if spec.has_flows() { spec.buckets() as usize } else { 0 };
        Self {
            buckets: vec![Bucket::default(); buckets],
            backlog: spec.has_backlog().then(|| Box::new(Backlog::EMPTY)),
        }
    }

    /// What a packet of this flow meets.
    pub(crate) fn of(&mut self, flow_hash: u32) -> Memory<'_> {
        let mask = u32::try_from(self.buckets.len()).unwrap_or(0).wrapping_sub(1);
        let bucket = self.buckets.get_mut(Bucket::of(flow_hash, mask) as usize);
        Memory { bucket, backlog: self.backlog.as_deref_mut() }
    }
}

/// The trace that a channel follows, as far as the decision looks at it.
#[derive(Clone, Debug)]
pub(crate) enum Window {
    None,
    Steps(StepWindow),
    Packets(PacketWindow),
}

impl Window {
    /// The trace's beginning.
    pub(crate) fn new(spec: &ChannelSpec) -> Self {
        match &spec.trace {
            None => Self::None,
            Some(Trace::Steps(trace)) => Self::Steps(StepWindow::new(trace.clone())),
            Some(Trace::Packets(trace)) => Self::Packets(PacketWindow::new(trace.clone())),
        }
    }

    /// What decides for a packet which is the next of this index, with the part of the trace that it needs.
    pub(crate) fn settings<'a>(&'a mut self, spec: &'a ChannelSpec, packet: &Packet, index: u64) -> Settings<'a> {
        let settings = spec.settings(packet.now);
        match self {
            Self::None => settings,
            Self::Steps(window) => {
                window.advance(packet.now.saturating_sub(spec.params.start));
                Settings { steps: Some(window.steps()), ..settings }
            }
            Self::Packets(window) => {
                window.advance(index);
                Settings { packets: Some(window.packets()), ..settings }
            }
        }
    }
}
