//! Flows: what has the same addresses, ports and protocol, in one direction.

use std::{fmt, net::IpAddr};

use serde::{Serialize, Serializer};

use super::hash;
use crate::packet::{Layers, Tunnel};

/// A flow in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source and destination address; `None` for frames without IP.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// IP protocol, 0 for frames without IP.
    pub protocol: u8,
    /// EtherType.
    pub ethertype: u16,
    /// Source port, 0 without ports.
    pub source_port: u16,
    /// Destination port, 0 without ports.
    pub destination_port: u16,
    /// The outermost tunnel that it was seen in.
    pub tunnel: Option<Tunnel>,
}

impl FlowKey {
    /// The flow of a packet.
    #[inline]
    #[must_use]
    pub fn of(layers: &Layers<'_>) -> Self {
        let (source_port, destination_port) = layers.ports();
        Self {
            addresses: layers.ip.map(|ip| (ip.source, ip.destination)),
            protocol: layers.ip.map_or(0, |ip| ip.protocol),
            ethertype: layers.ethertype,
            source_port,
            destination_port,
            tunnel: layers.tunnel,
        }
    }

    /// The other direction.
    #[must_use]
    pub fn turned(&self) -> Self {
        Self {
            addresses: self.addresses.map(|(source, destination)| (destination, source)),
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..*self
        }
    }

    /// The flow, wherever it is seen.
    pub(super) fn bare(self) -> Self {
        Self { tunnel: None, ..self }
    }

    /// Hash of the whole flow.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash_in_tunnel(self.bare_hash())
    }

    /// The same, from what [`bare_hash`](Self::bare_hash) gave.
    #[inline]
    pub(super) fn hash_in_tunnel(&self, bare: u64) -> u64 {
        self.tunnel.map_or(bare, |tunnel| hash::mix(bare, tunnel.bits()))
    }

    /// Hash of the flow without its tunnel.
    #[inline]
    pub(super) fn bare_hash(&self) -> u64 {
        let ports = u64::from(self.source_port) << 48
            | u64::from(self.destination_port) << 32
            | u64::from(self.ethertype) << 8
            | u64::from(self.protocol);
        hash::mix(self.path(), ports)
    }

    /// Hash of source and destination address: what shares a path.
    #[inline]
    pub(super) fn path(&self) -> u64 {
        match self.addresses {
            Some((source, destination)) => hash::mix(address(source), address(destination)),
            None => hash::mix(u64::from(self.ethertype), 1),
        }
    }

    /// Hash of the path back.
    pub(super) fn path_back(&self) -> u64 {
        Self { addresses: self.addresses.map(|(source, destination)| (destination, source)), ..*self }.path()
    }
}

#[inline]
fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            hash::mix(bits as u64, (bits >> 64) as u64)
        }
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)?;
        self.tunnel.map_or(Ok(()), |tunnel| write!(f, " in {tunnel}"))
    }
}

impl FlowKey {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((source, destination)) = self.addresses else {
            return match self.ethertype {
                0 => f.write_str("no known EtherType"),
                0x0806 => f.write_str("ARP"),
                other => write!(f, "EtherType {other:#06x}"),
            };
        };
        match self.protocol {
            1 => f.write_str("ICMP ")?,
            2 => f.write_str("IGMP ")?,
            6 => f.write_str("TCP ")?,
            17 => f.write_str("UDP ")?,
            58 => f.write_str("ICMPv6 ")?,
            other => write!(f, "IP protocol {other} ")?,
        }
        if self.source_port == 0 && self.destination_port == 0 {
            return write!(f, "{source} > {destination}");
        }
        let end = |f: &mut fmt::Formatter<'_>, address: IpAddr, port: u16| match address {
            IpAddr::V4(v4) => write!(f, "{v4}:{port}"),
            IpAddr::V6(v6) => write!(f, "[{v6}]:{port}"),
        };
        end(f, source, self.source_port)?;
        f.write_str(" > ")?;
        end(f, destination, self.destination_port)
    }
}

impl Serialize for FlowKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
