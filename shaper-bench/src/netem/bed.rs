//! Two hosts with a plain veth cable; what leaves the first is impaired.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{Link, Rtnl, VethEnd};

use crate::Session;

/// The interface at each host.
pub(crate) const DEVICE: &str = "eth0";
pub(crate) const FROM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Where probes go, and what the frames of a flood carry.
pub(crate) const TO: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Nothing but what is measured is to be on the cable.
const QUIET: [(&str, &str); 2] = [("net/ipv6/conf/all/disable_ipv6", "1"), ("net/ipv6/conf/default/disable_ipv6", "1")];

pub(crate) struct Bed {
    pub(crate) near: NetNs,
    pub(super) far: NetNs,
    /// The device at the near host.
    pub(crate) device: u32,
    far_rtnl: Rtnl,
    pub(super) far_device: u32,
}

impl Bed {
    pub(crate) fn up(session: &Session) -> Result<Self> {
        let host = |name: &str| {
            // Where the kernel has no IPv6 there is nothing to switch off.
            let quiet = if std::fs::exists("/proc/sys/net/ipv6").unwrap_or(false) { &QUIET[..] } else { &[] };
            NetNs::create_with(&session.journal, &format!("shaper-bench-{}-{name}", session.journal.id()), quiet)
        };
        let (near, far) = (host("near")?, host("far")?);
        let (near_rtnl, far_rtnl) = (near.rtnl()?, far.rtnl()?);
        near_rtnl.create_veth(&VethEnd::new(Some(&near), DEVICE), &VethEnd::new(Some(&far), DEVICE))?;
        let near_link = ready(&near_rtnl, FROM)?;
        let far_link = ready(&far_rtnl, TO)?;
        for (rtnl, here, address, there) in
            [(&near_rtnl, &near_link, TO, &far_link), (&far_rtnl, &far_link, FROM, &near_link)]
        {
            // No ARP: netem would hold it, too.
            rtnl.add_neighbour(here.index, IpAddr::V4(address), there.mac.context("a veth has an address")?)?;
        }
        Ok(Self { near, far, device: near_link.index, far_rtnl, far_device: far_link.index })
    }

    /// Packets that have arrived at the far host.
    pub(super) fn arrived(&self) -> Result<u64> {
        Ok(self.far_rtnl.stats(self.far_device)?.rx_packets)
    }

    pub(crate) fn down(self) -> Result<()> {
        self.near.rtnl()?.delete(self.device)?;
        Ok(())
    }
}

fn ready(rtnl: &Rtnl, address: Ipv4Addr) -> Result<Link> {
    let link = rtnl.link(DEVICE)?;
    rtnl.set_up(link.index, true)?;
    rtnl.add_address(link.index, IpAddr::V4(address), 24)?;
    Ok(link)
}
