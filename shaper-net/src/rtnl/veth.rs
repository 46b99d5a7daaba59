//! Veth pairs, each end made in its namespace from the start.

use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::MacAddr;
use super::link::check_ifname;
use super::socket::{Rtnl, What};
use crate::netns::NetNs;
use crate::{Error, Result};

/// One end of a veth pair to be made, with one queue each way: the kernel's own number is one a CPU, of which all but
/// one stand unused.
#[derive(Debug, Clone)]
pub struct VethEnd<'a> {
    /// The namespace it is made in; `None` is that of the handle.
    pub netns: Option<&'a NetNs>,
    /// Its name.
    pub name: &'a str,
    /// Its address; `None` lets the kernel draw one.
    pub mac: Option<MacAddr>,
    /// Largest frame payload, bytes.
    pub mtu: u32,
    /// Transmit queue length, packets; `None` is the kernel's default.
    pub txqueuelen: Option<u32>,
    /// Transmit queues, and as many receive queues.
    pub queues: u32,
    /// Whether it is switched up at once.
    pub up: bool,
}

impl<'a> VethEnd<'a> {
    /// An end with an MTU of 1500 and one queue, down.
    pub fn new(netns: Option<&'a NetNs>, name: &'a str) -> Self {
        Self { netns, name, mac: None, mtu: 1500, txqueuelen: None, queues: 1, up: false }
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(self.name.into()));
        attributes.push(LinkAttribute::Mtu(self.mtu));
        attributes.push(LinkAttribute::NumTxQueues(self.queues));
        attributes.push(LinkAttribute::NumRxQueues(self.queues));
        if let Some(mac) = self.mac {
            attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        }
        if let Some(packets) = self.txqueuelen {
            attributes.push(LinkAttribute::TxQueueLen(packets));
        }
        if let Some(netns) = self.netns {
            attributes.push(LinkAttribute::NetNsFd(netns.fd().as_raw_fd()));
        }
        message
    }
}

impl Rtnl {
    /// Makes a veth pair.
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the names is taken in its namespace; nothing is made then.
    pub fn create_veth(&self, one: &VethEnd<'_>, other: &VethEnd<'_>) -> Result<()> {
        check_ifname(one.name)?;
        check_ifname(other.name)?;
        let mut message = one.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other.message()))),
        ]));
        let name = format!("{} and {}", one.name, other.name);
        let what = What { tried: "create the veth pair", on: &name };
        match self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, &what) {
            Ok(_) => Ok(()),
            Err(e) if e.errno() == Some(libc::EEXIST) => Err(Error::Exists { what: "network device", name }),
            Err(e) => Err(e),
        }
    }
}
