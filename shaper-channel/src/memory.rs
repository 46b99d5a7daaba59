//! What a channel remembers beside its state.

use shaper_common::backlog::Backlog;
use shaper_common::flow::Bucket;
use shaper_common::pipeline::Memory;

use crate::spec::ChannelSpec;

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

    /// Makes room for what settings ask for that are to come; what is remembered stays.
    pub(crate) fn extend(&mut self, spec: &ChannelSpec) {
        if self.backlog.is_none() {
            self.backlog = Self::new(spec).backlog;
        }
    }

    /// What a packet of this flow meets.
    pub(crate) fn of(&mut self, flow_hash: u32) -> Memory<'_> {
        let mask = u32::try_from(self.buckets.len()).unwrap_or(0).wrapping_sub(1);
        let bucket = self.buckets.get_mut(Bucket::of(flow_hash, mask) as usize);
        Memory { bucket, backlog: self.backlog.as_deref_mut() }
    }
}
