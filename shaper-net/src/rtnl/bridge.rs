//! Bridges that forward at once and snoop multicast.

use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute,
    LinkInfo, LinkMessage,
};

use super::MacAddr;
use super::link::{check_ifname, of};
use super::socket::{Rtnl, What};
use crate::{Error, Result};

/// A bridge to be made: no spanning tree, no forwarding delay, multicast snooping as said.
#[derive(Debug, Clone)]
pub struct BridgeSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address; `None` lets the kernel choose.
    pub mac: Option<MacAddr>,
    /// Largest frame payload, bytes.
    pub mtu: u32,
    /// IGMP and MLD snooping.
    pub snooping: bool,
    /// Longest time a member may take to answer a query. Snooping floods until a querier has run this long.
    pub query_response: Duration,
    /// Time between two general queries.
    pub query_interval: Duration,
}

impl<'a> BridgeSpec<'a> {
    /// Snooping, members answer within 1 s, a general query every 10 s.
    pub fn new(name: &'a str) -> Self {
        Self {
            name,
            mac: None,
            mtu: 1500,
            snooping: true,
            query_response: Duration::from_secs(1),
            query_interval: Duration::from_secs(10),
        }
    }
}

/// Settings of a bridge port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BridgePortSpec {
    /// A leave message ends forwarding at once, without asking for other members behind the port.
    pub fast_leave: bool,
}

/// The kernel takes bridge times in USER_HZ ticks, 100 a second on every architecture (`clock_t_to_jiffies`,
/// net/bridge/br_netlink.c).
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX)
}

impl Rtnl {
    /// Makes a bridge, down, with the querier off, and says its index.
    pub fn create_bridge(&self, spec: &BridgeSpec<'_>) -> Result<u32> {
        check_ifname(spec.name)?;
        let settings = vec![
            InfoBridge::StpState(BridgeStpState::Disabled),
            InfoBridge::ForwardDelay(0),
            InfoBridge::MulticastSnooping(spec.snooping),
            InfoBridge::MulticastQueryResponseInterval(ticks(spec.query_response)),
            InfoBridge::MulticastQueryInterval(ticks(spec.query_interval)),
            InfoBridge::MulticastStartupQueryInterval(ticks(spec.query_response)),
        ];
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(spec.name.into()));
        message.attributes.push(LinkAttribute::Mtu(spec.mtu));
        if let Some(mac) = spec.mac {
            message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        }
        message.attributes.push(LinkAttribute::LinkInfo(bridge(settings)));
        let what = What { tried: "create the bridge", on: spec.name };
        match self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, &what) {
            Ok(_) => Ok(self.link(spec.name)?.index),
            Err(e) if e.errno() == Some(libc::EEXIST) => {
                Err(Error::Exists { what: "network device", name: spec.name.into() })
            }
            Err(e) => Err(e),
        }
    }

    /// Switches the bridge's own querier. Switched on, it asks at once, and snooping holds after the response
    /// interval that stood at that moment (`br_multicast_set_querier`, net/bridge/br_multicast.c): set that first.
    pub fn set_querier(&self, index: u32, on: bool) -> Result<()> {
        let mut message = of(index);
        message.attributes.push(LinkAttribute::LinkInfo(bridge(vec![InfoBridge::MulticastQuerier(on)])));
        self.set_new(message, "switch the multicast querier")
    }

    /// Sets a bridge port's settings.
    pub fn set_bridge_port(&self, index: u32, spec: BridgePortSpec) -> Result<()> {
        let mut message = of(index);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::FastLeave(spec.fast_leave)])),
        ]));
        self.set_new(message, "set the bridge port")
    }

    /// Settings of a kind are changed by the message that creates it (`rtnl_newlink` without NLM_F_CREATE).
    fn set_new(&self, message: LinkMessage, tried: &str) -> Result<()> {
        let on = super::link::on(message.header.index);
        self.request(RouteNetlinkMessage::NewLink(message), 0, &What { tried, on: &on }).map(drop)
    }
}

fn bridge(settings: Vec<InfoBridge>) -> Vec<LinkInfo> {
    vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(settings))]
}
