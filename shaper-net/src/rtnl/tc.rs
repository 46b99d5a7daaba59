//! Qdiscs and filters with options of their kind, as bytes. Nothing here is journalled: it is for namespaces of our own,
//! which go with all that is in them.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcMessage};

use super::link::on;
use super::socket::{Rtnl, What};
use crate::Result;

/// `TCA_OPTIONS` of include/uapi/linux/rtnetlink.h.
const TCA_OPTIONS: u16 = 2;

/// A qdisc that is to be.
#[derive(Debug, Clone, Copy)]
pub struct QdiscSpec<'a> {
    /// Its kind: `netem`, `prio` …
    pub kind: &'a str,
    /// What it hangs on; [`ROOT`] for a device.
    pub parent: u32,
    /// Its handle, major in the upper half.
    pub handle: u32,
    /// The value of its `TCA_OPTIONS`.
    pub options: &'a [u8],
}

/// A filter that is to be.
#[derive(Debug, Clone, Copy)]
pub struct FilterSpec<'a> {
    /// Its kind: `u32`, `flower` …
    pub kind: &'a str,
    /// The qdisc that asks it.
    pub parent: u32,
    /// Lower ones are asked first.
    pub priority: u16,
    /// The ethertype that it is about.
    pub protocol: u16,
    /// The value of its `TCA_OPTIONS`.
    pub options: &'a [u8],
}

/// The parent of a device's root qdisc (`TC_H_ROOT`).
pub const ROOT: u32 = 0xffff_ffff;

impl Rtnl {
    /// Adds a qdisc where there is none.
    pub fn add_qdisc(&self, index: u32, spec: &QdiscSpec<'_>) -> Result<()> {
        let mut message = message(index, spec.parent, spec.kind, spec.options);
        message.header.handle = spec.handle.into();
        let tried = format!("add the qdisc {}", spec.kind);
        let what = What { tried: &tried, on: &on(index) };
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewQueueDiscipline(message), flags, &what).map(drop)
    }

    /// Adds a filter behind those of its priority.
    pub fn add_filter(&self, index: u32, spec: &FilterSpec<'_>) -> Result<()> {
        let mut message = message(index, spec.parent, spec.kind, spec.options);
        // Priority above, protocol below in the order of the network.
        message.header.info = u32::from(spec.priority) << 16 | u32::from(spec.protocol.to_be());
        let what = What { tried: &format!("add a filter {}", spec.kind), on: &on(index) };
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewTrafficFilter(message), flags, &what).map(drop)
    }
}

fn message(index: u32, parent: u32, kind: &str, options: &[u8]) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(index).unwrap_or(i32::MAX);
    message.header.parent = parent.into();
    message.attributes.push(TcAttribute::Kind(kind.into()));
    if !options.is_empty() {
        message.attributes.push(TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, options.to_vec())));
    }
    message
}
