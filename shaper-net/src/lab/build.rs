//! Building a lab.

use std::net::IpAddr;

use super::plan::{self, LabSpec, Part, Shape};
use super::state::{Host, LabState, LinkEnds, Port, Switch};
use super::{Lab, switch_on};
use crate::journal::Journal;
use crate::netns::{self, NetNs};
use crate::offload::{Ethtool, Offload};
use crate::process::ProcessId;
use crate::rtnl::{BridgePortSpec, BridgeSpec, MacAddr, Route, Rtnl, VethEnd};
use crate::{Error, Result, sys};

/// Hosts: addresses usable at once, and no packets that nobody asked for.
const HOST: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv6/conf/all/router_solicitations", "0"),
];

/// Ports take no part in IP: whatever they sent would be traffic that no host sent.
const PORTS: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
];

const ETH0: &str = "eth0";
const BRIDGE: &str = "br0";

/// A namespace with handles on its devices.
struct Site {
    netns: NetNs,
    rtnl: Rtnl,
    ethtool: Ethtool,
}

impl Site {
    fn new(journal: &Journal, name: &str, sysctls: &[(&str, &str)]) -> Result<Self> {
        let netns = NetNs::create_with(journal, name, sysctls)?;
        let (rtnl, ethtool) = netns.run(|| (Rtnl::open(), Ethtool::open()))?;
        Ok(Self { netns, rtnl: rtnl?, ethtool: ethtool? })
    }

    /// XDP on veth wants these off; and one frame shall be one packet.
    fn plain(&self, ifname: &str) -> Result<()> {
        self.ethtool.switch_off(ifname, &Offload::ALL).map(drop)
    }
}

pub(super) fn build(journal: &Journal, spec: &LabSpec) -> Result<Lab> {
    spec.check()?;
    let (id, middle) = claim(journal)?;
    let prefix = format!("shaper-{id}");
    let site = |name: &str| Site::new(journal, &format!("{prefix}-{name}"), HOST);
    let star = match spec.shape {
        Shape::Pair => None,
        Shape::Star => {
            let switch = Site::new(journal, &format!("{prefix}-switch"), PORTS)?;
            let bridge = make_bridge(&switch, spec)?;
            Some((switch, bridge))
        }
    };
    let mut netns = Vec::with_capacity(spec.hosts.len());
    let mut hosts = Vec::with_capacity(spec.hosts.len());
    let mut links = Vec::with_capacity(spec.hosts.len());
    let mut pair = Vec::new();
    // Host by host, so that no more descriptors are open at a time than one for each namespace.
    for (index, name) in spec.hosts.iter().enumerate() {
        let host = site(name)?;
        let near = format!("to-{name}");
        let near_part = if star.is_none() && index == 1 { Part::PortFar } else { Part::PortHost };
        let near = join(
            End { site: &middle, ifname: &near, mac: plan::mac(near_part, index) },
            End { site: &host, ifname: ETH0, mac: plan::mac(Part::Host, index) },
            spec.mtu,
        )?;
        match &star {
            Some((switch, bridge)) => {
                let far = format!("{name}-to-br");
                let far = join(
                    End { site: &middle, ifname: &far, mac: plan::mac(Part::PortFar, index) },
                    End { site: switch, ifname: name, mac: plan::mac(Part::SwitchPort, index) },
                    spec.mtu,
                )?;
                let port = switch.rtnl.link(name)?.index;
                switch.rtnl.set_master(port, Some(*bridge))?;
                switch.rtnl.set_bridge_port(port, BridgePortSpec { fast_leave: spec.fast_leave })?;
                links.push(LinkEnds {
                    name: name.clone(),
                    netns: middle.netns.name().into(),
                    port_host: near,
                    port_far: far,
                    forward: format!("{name}_up"),
                    backward: format!("{name}_down"),
                });
            }
            None => pair.push((name, near)),
        }
        hosts.push(address(&host, name, index)?);
        netns.push(host.netns);
    }
    if let [(a, to_a), (b, to_b)] = pair.as_slice() {
        links.push(LinkEnds {
            name: format!("{a}-{b}"),
            netns: middle.netns.name().into(),
            port_host: to_a.clone(),
            port_far: to_b.clone(),
            forward: format!("{a}_to_{b}"),
            backward: format!("{b}_to_{a}"),
        });
    }
    introduce(&hosts, &netns)?;
    let snooping_from = match &star {
        Some((switch, bridge)) => Some(switch_on(&switch.rtnl, *bridge, spec.query_response)?),
        None => None,
    };
    let state = LabState {
        id,
        prefix,
        owner: ProcessId::current()?,
        journal: journal.path().to_owned(),
        shape: spec.shape,
        hosts,
        links,
        switch: star.as_ref().map(|(site, bridge)| Switch {
            netns: site.netns.name().into(),
            ifname: BRIDGE.into(),
            ifindex: *bridge,
        }),
        failed: None,
    };
    Ok(Lab {
        state,
        snooping_from,
        query_response: spec.query_response,
        file: None,
        hosts: netns,
        middle: middle.netns,
        switch: star.map(|(site, _)| site.netns),
    })
}

/// Most hosts of a lab that know each other from the start; the work grows with the square.
const INTRODUCED: usize = 64;

/// Makes the hosts' Ethernet addresses known to each other: while a host asks for one, packets wait, and those that
/// waited leave at once and overrun the device's ring before any link has seen them.
fn introduce(hosts: &[Host], netns: &[NetNs]) -> Result<()> {
    if hosts.len() > INTRODUCED {
        return Ok(());
    }
    for (host, netns) in hosts.iter().zip(netns) {
        let rtnl = netns.rtnl()?;
        for other in hosts.iter().filter(|other| other.name != host.name) {
            rtnl.add_neighbour(host.ifindex, IpAddr::V4(other.ipv4), other.mac)?;
            rtnl.add_neighbour(host.ifindex, IpAddr::V6(other.ipv6), other.mac)?;
        }
    }
    Ok(())
}

/// Draws an identifier that no lab has; the namespace of the links makes it ours.
fn claim(journal: &Journal) -> Result<(String, Site)> {
    loop {
        let [a, b, c] = sys::random_bytes::<3>().map_err(|e| Error::os("draw a name", "lab", e))?;
        let id = format!("{a:02x}{b:02x}{c:02x}");
        let prefix = format!("shaper-{id}-");
        if netns::list()?.iter().any(|name| name.starts_with(&prefix)) {
            continue;
        }
        match Site::new(journal, &format!("{prefix}link"), PORTS) {
            Ok(site) => return Ok((id, site)),
            Err(Error::Exists { .. }) => {}
            Err(e) => return Err(e),
        }
    }
}

fn make_bridge(site: &Site, spec: &LabSpec) -> Result<u32> {
    let bridge = site.rtnl.create_bridge(&BridgeSpec {
        mac: Some(plan::mac(Part::Switch, 0)),
        mtu: spec.mtu,
        query_response: spec.query_response,
        query_interval: spec.query_interval,
        ..BridgeSpec::new(BRIDGE)
    })?;
    // MLD queries need an IPv6 source: the bridge itself takes part in IPv6, its ports do not.
    site.netns.run(|| crate::sysctl::write_unjournalled("net/ipv6/conf/br0/disable_ipv6", "0"))??;
    site.rtnl.set_up(bridge, true)?;
    Ok(bridge)
}

/// A device to be made.
struct End<'a> {
    site: &'a Site,
    ifname: &'a str,
    mac: MacAddr,
}

impl<'a> End<'a> {
    fn veth(&self, mtu: u32) -> VethEnd<'a> {
        VethEnd { mac: Some(self.mac), mtu, ..VethEnd::new(Some(&self.site.netns), self.ifname) }
    }
}

/// Joins a port in the middle with a device at another site, both up and plain; says what the port is.
fn join(port: End<'_>, far: End<'_>, mtu: u32) -> Result<Port> {
    port.site.rtnl.create_veth(&port.veth(mtu), &far.veth(mtu))?;
    let mut ifindex = 0;
    for end in [&far, &port] {
        end.site.plain(end.ifname)?;
        ifindex = end.site.rtnl.link(end.ifname)?.index;
        end.site.rtnl.set_up(ifindex, true)?;
    }
    Ok(Port { ifname: port.ifname.into(), ifindex, mac: port.mac })
}

fn address(site: &Site, name: &str, index: usize) -> Result<Host> {
    let device = site.rtnl.link(ETH0)?;
    let host = Host {
        name: name.into(),
        netns: site.netns.name().into(),
        ifname: ETH0.into(),
        ifindex: device.index,
        mac: plan::mac(Part::Host, index),
        ipv4: plan::ipv4(index),
        ipv6: plan::ipv6(index),
    };
    site.rtnl.add_address(device.index, IpAddr::V4(host.ipv4), plan::IPV4_PREFIX)?;
    site.rtnl.add_address(device.index, IpAddr::V6(host.ipv6), plan::IPV6_PREFIX)?;
    site.rtnl.add_route(&Route::ipv4_multicast(device.index))?;
    Ok(host)
}
