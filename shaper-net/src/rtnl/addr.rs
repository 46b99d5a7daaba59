//! Addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::on;
use super::socket::{Rtnl, What};
use crate::{Error, Result};

/// A route in the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Destination network.
    pub destination: IpAddr,
    /// Its prefix length, bits.
    pub prefix: u8,
    /// Index of the device it leads to.
    pub device: u32,
    /// The next router; `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// All IPv4 multicast, 224.0.0.0/4, on a device: senders that name no interface need it.
    pub fn ipv4_multicast(device: u32) -> Self {
        Self { destination: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), prefix: 4, device, gateway: None }
    }
}

impl Rtnl {
    /// Adds an address to a device; an IPv6 one is usable at once (no duplicate address detection).
    pub fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<()> {
        check_prefix(address, prefix)?;
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.header.family = family(address);
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        match address {
            IpAddr::V4(v4) if prefix < 31 => {
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from_bits(v4.to_bits() | host)));
            }
            IpAddr::V4(_) => {}
            IpAddr::V6(_) => {
                message.header.flags = AddressHeaderFlags::Nodad;
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
        }
        let tried = format!("add the address {address}/{prefix}");
        let what = What { tried: &tried, on: &on(index) };
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, &what).map(drop)
    }

    /// The addresses of a device, with their prefix lengths.
    pub fn addresses(&self, index: u32) -> Result<Vec<(IpAddr, u8)>> {
        let what = What { tried: "list the addresses", on: &on(index) };
        let answers = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), &what)?;
        let mut found = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
            if message.header.index != index {
                continue;
            }
            // On a point-to-point device `Address` is the peer's; `Local`, where present, is always ours.
            let local = message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Local(ip) => Some(*ip),
                _ => None,
            });
            let address = local.or_else(|| {
                message.attributes.iter().find_map(|a| match a {
                    AddressAttribute::Address(ip) => Some(*ip),
                    _ => None,
                })
            });
            found.extend(address.map(|ip| (ip, message.header.prefix_len)));
        }
        Ok(found)
    }

    /// The devices that default routes lead to, of both families and all tables.
    pub fn default_route_devices(&self) -> Result<Vec<u32>> {
        let what = What { tried: "list the routes", on: "rtnetlink" };
        let mut devices = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            for answer in self.dump(RouteNetlinkMessage::GetRoute(message), &what)? {
                let RouteNetlinkMessage::NewRoute(route) = answer else { continue };
                if route.header.destination_prefix_length != 0 || route.header.kind != RouteType::Unicast {
                    continue;
                }
                for attribute in route.attributes {
                    match attribute {
                        RouteAttribute::Oif(device) => devices.push(device),
                        RouteAttribute::MultiPath(hops) => devices.extend(hops.iter().map(|hop| hop.interface_index)),
                        _ => {}
                    }
                }
            }
        }
        devices.sort_unstable();
        devices.dedup();
        Ok(devices)
    }

    /// Adds a route to the main table.
    pub fn add_route(&self, route: &Route) -> Result<()> {
        check_prefix(route.destination, route.prefix)?;
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.destination);
        message.header.destination_prefix_length = route.prefix;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Destination(route.destination.into()));
        message.attributes.push(RouteAttribute::Oif(route.device));
        if let Some(gateway) = route.gateway {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        let tried = format!("add the route {}/{}", route.destination, route.prefix);
        let what = What { tried: &tried, on: &on(route.device) };
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL, &what).map(drop)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn check_prefix(address: IpAddr, prefix: u8) -> Result<()> {
    let (bits, why) = match address {
        IpAddr::V4(_) => (Ipv4Addr::BITS, "an IPv4 prefix has at most 32 bits"),
        IpAddr::V6(_) => (Ipv6Addr::BITS, "an IPv6 prefix has at most 128 bits"),
    };
    if u32::from(prefix) > bits {
        return Err(Error::OutOfRange { what: "the prefix length", got: prefix.to_string(), why });
    }
    Ok(())
}
