//! Building a lab.

use std::net::IpAddr;

use super::plan::{self, LabSpec, Part, Shape};
use super::state::{Host, LabState, LinkEnds, Port, Switch};
use super::{Lab, switch_on};
use crate::journal::Journal;
use crate::netns::{self, NetNs};
use crate::offload::{Ethtool, Offload};
use crate::process::ProcessId;
use crate::rtnl::{BridgePortSpec, BridgeSpec, Route, Rtnl, VethEnd};
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
    let switch = match spec.shape {
        Shape::Pair => None,
        Shape::Star => Some(Site::new(journal, &format!("{prefix}-switch"), PORTS)?),
    };
    let bridge = switch.as_ref().map(|site| make_bridge(site, spec)).transpose()?;
    let mut sites = Vec::with_capacity(spec.hosts.len());
    for name in &spec.hosts {
        sites.push(Site::new(journal, &format!("{prefix}-{name}"), HOST)?);
    }
    let mut links = Vec::new();
    match (&switch, bridge) {
        (Some(switch), Some(bridge)) => {
            for (index, (name, site)) in spec.hosts.iter().zip(&sites).enumerate() {
                let near = format!("to-{name}");
                let far = format!("{name}-to-br");
                let names = (name.clone(), format!("{name}_up"), format!("{name}_down"));
                let port_host = join(&middle, &near, Part::PortHost, site, ETH0, Part::Host, index, spec.mtu)?;
                let port_far = join(&middle, &far, Part::PortFar, switch, name, Part::SwitchPort, index, spec.mtu)?;
                let port = switch.rtnl.link(name)?.index;
                switch.rtnl.set_master(port, Some(bridge))?;
                switch.rtnl.set_bridge_port(port, BridgePortSpec { fast_leave: spec.fast_leave })?;
                links.push(link(names, &middle, port_host, port_far));
            }
        }
        _ => {
            if let ([a, b], [at_a, at_b]) = (spec.hosts.as_slice(), sites.as_slice()) {
                let names = (format!("{a}-{b}"), format!("{a}_to_{b}"), format!("{b}_to_{a}"));
                let (to_a, to_b) = (format!("to-{a}"), format!("to-{b}"));
                let port_host = join(&middle, &to_a, Part::PortHost, at_a, ETH0, Part::Host, 0, spec.mtu)?;
                let port_far = join(&middle, &to_b, Part::PortFar, at_b, ETH0, Part::Host, 1, spec.mtu)?;
                links.push(link(names, &middle, port_host, port_far));
            }
        }
    }
    let mut hosts = Vec::with_capacity(sites.len());
    for (index, (name, site)) in spec.hosts.iter().zip(&sites).enumerate() {
        hosts.push(address(site, name, index)?);
    }
    let snooping_from = match (&switch, bridge) {
        (Some(switch), Some(bridge)) => Some(switch_on(&switch.rtnl, bridge, spec.query_response)?),
        _ => None,
    };
    let state = LabState {
        id,
        prefix,
        owner: ProcessId::current()?,
        journal: journal.path().to_owned(),
        shape: spec.shape,
        hosts,
        links,
        switch: switch.as_ref().zip(bridge).map(|(site, ifindex)| Switch {
            netns: site.netns.name().into(),
            ifname: BRIDGE.into(),
            ifindex,
        }),
    };
    Ok(Lab {
        state,
        snooping_from,
        query_response: spec.query_response,
        file: None,
        hosts: sites.into_iter().map(|site| site.netns).collect(),
        middle: middle.netns,
        switch: switch.map(|site| site.netns),
    })
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

/// Joins a port in the middle with a device at another site, both up and plain.
#[expect(clippy::too_many_arguments, reason = "two ends of three words each, and what they share")]
fn join(
    middle: &Site,
    port: &str,
    port_part: Part,
    site: &Site,
    ifname: &str,
    part: Part,
    index: usize,
    mtu: u32,
) -> Result<Port> {
    let mac = plan::mac(port_part, index);
    let mut here = VethEnd::new(Some(&middle.netns), port);
    here.mac = Some(mac);
    here.mtu = mtu;
    let mut there = VethEnd::new(Some(&site.netns), ifname);
    there.mac = Some(plan::mac(part, index));
    there.mtu = mtu;
    middle.rtnl.create_veth(&here, &there)?;
    middle.plain(port)?;
    site.plain(ifname)?;
    let ifindex = middle.rtnl.link(port)?.index;
    middle.rtnl.set_up(ifindex, true)?;
    site.rtnl.set_up(site.rtnl.link(ifname)?.index, true)?;
    Ok(Port { ifname: port.into(), ifindex, mac })
}

fn link(names: (String, String, String), middle: &Site, port_host: Port, port_far: Port) -> LinkEnds {
    let (name, forward, backward) = names;
    LinkEnds { name, netns: middle.netns.name().into(), port_host, port_far, forward, backward }
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
