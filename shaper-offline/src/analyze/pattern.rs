//! Flows named in words: as they are printed, or a part of that.

use std::{net::IpAddr, net::SocketAddr, str::FromStr};

use thiserror::Error;

use super::flow::FlowKey;

/// Names of IP protocols, as flows are printed.
const PROTOCOLS: [(&str, u8); 5] = [("ICMP", 1), ("IGMP", 2), ("TCP", 6), ("UDP", 17), ("ICMPv6", 58)];
const ARP: u16 = 0x0806;

/// Which flows are meant: `UDP 10.0.0.1:5000 > 10.0.0.2:6000`, or a part of it such as
/// `10.0.0.1:5000`, `TCP`, `> 10.0.0.2` or `:6000`. An end without `>` may be either one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowPattern {
    /// The tunnel that it is in, as it is printed.
    tunnel: Option<String>,
    protocol: Option<u8>,
    ethertype: Option<u16>,
    source: Option<End>,
    destination: Option<End>,
    either: Option<End>,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    address: Option<IpAddr>,
    port: Option<u16>,
}

/// A text that names no flow.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} names no flow: write it as it is printed, such as 'UDP 10.0.0.1:5000 > 10.0.0.2:6000', or a part of that: \
     a protocol, an address, address:port or :port, with > in front of a destination or behind a source"
)]
pub struct NoFlow(String);

impl End {
    fn parse(text: &str) -> Option<Self> {
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Some(Self { address: None, port: Some(port) });
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Some(Self { address: Some(socket.ip()), port: Some(socket.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        Some(Self { address: Some(bare.parse().ok()?), port: None })
    }

    fn is(self, address: IpAddr, port: u16) -> bool {
        self.address.is_none_or(|own| own == address) && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for FlowPattern {
    type Err = NoFlow;

    fn from_str(text: &str) -> Result<Self, NoFlow> {
        Self::parse(text).ok_or_else(|| NoFlow(text.to_owned()))
    }
}

impl FlowPattern {
    fn parse(text: &str) -> Option<Self> {
        let (text, tunnel) = match text.split_once(" in ") {
            Some((text, tunnel)) => (text, Some(tunnel.trim().to_owned())),
            None => (text, None),
        };
        let mut words = text.split_whitespace().peekable();
        let mut pattern =
            Self { tunnel, protocol: None, ethertype: None, source: None, destination: None, either: None };
        let first = *words.peek()?;
        let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(first));
        if let Some((_, protocol)) = named {
            pattern.protocol = Some(*protocol);
            words.next();
        } else if first.eq_ignore_ascii_case("ARP") {
            pattern.ethertype = Some(ARP);
            words.next();
        } else if first.eq_ignore_ascii_case("EtherType") {
            words.next();
            pattern.ethertype = Some(u16::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?);
        } else if first.eq_ignore_ascii_case("IP") {
            words.next();
            words.next().filter(|word| word.eq_ignore_ascii_case("protocol"))?;
            pattern.protocol = Some(words.next()?.parse().ok()?);
        }
        let ends: Vec<&str> = words.collect();
        match ends[..] {
            [] => {}
            [end] => pattern.either = Some(End::parse(end)?),
            [source, ">"] => pattern.source = Some(End::parse(source)?),
            [">", destination] => pattern.destination = Some(End::parse(destination)?),
            [source, ">", destination] => {
                pattern.source = Some(End::parse(source)?);
                pattern.destination = Some(End::parse(destination)?);
            }
            _ => return None,
        }
        Some(pattern)
    }

    /// Whether a flow is one of those.
    #[must_use]
    pub fn matches(&self, flow: &FlowKey) -> bool {
        let is_in = |tunnel: &String| flow.tunnel.is_some_and(|own| own.to_string() == *tunnel);
        if !self.tunnel.as_ref().is_none_or(is_in) {
            return false;
        }
        if self.ethertype.is_some_and(|ethertype| ethertype != flow.ethertype || flow.addresses.is_some()) {
            return false;
        }
        if self.protocol.is_some_and(|protocol| protocol != flow.protocol || flow.addresses.is_none()) {
            return false;
        }
        let Some((source, destination)) = flow.addresses else {
            return self.source.or(self.destination).or(self.either).is_none();
        };
        let from = |end: End| end.is(source, flow.source_port);
        let to = |end: End| end.is(destination, flow.destination_port);
        self.source.is_none_or(from)
            && self.destination.is_none_or(to)
            && self.either.is_none_or(|end| from(end) || to(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet;

    fn flow(source: &str, destination: &str, protocol: u8) -> FlowKey {
        let [source, destination]: [SocketAddr; 2] = [source, destination].map(|end| end.parse().unwrap());
        FlowKey {
            tunnel: None,
            addresses: Some((source.ip(), destination.ip())),
            protocol,
            ethertype: if source.is_ipv4() { 0x0800 } else { 0x86dd },
            source_port: source.port(),
            destination_port: destination.port(),
        }
    }

    #[test]
    fn a_flow_is_meant_as_it_is_printed_and_by_its_parts() {
        let udp = flow("10.0.0.1:5000", "10.0.0.2:6000", 17);
        let six = flow("[fe80::1]:5000", "[fe80::2]:6000", 6);
        for flow in [udp, six] {
            let printed: FlowPattern = flow.to_string().parse().unwrap();
            assert!(printed.matches(&flow));
            assert!(!printed.matches(if flow == udp { &six } else { &udp }));
        }
        let meant = |text: &str, flow: &FlowKey| text.parse::<FlowPattern>().unwrap().matches(flow);
        for text in ["10.0.0.1:5000", "10.0.0.2", ":6000", "udp", "10.0.0.1 >", "> 10.0.0.2:6000", "UDP 10.0.0.1"] {
            assert!(meant(text, &udp), "{text}");
            assert!(!meant(text, &flow("10.0.0.11:50001", "10.0.0.22:60001", 6)), "{text}");
        }
        assert!(!meant("> 10.0.0.1", &udp) && !meant("10.0.0.1:6000", &udp));
        let tunnel = packet::Tunnel::new(packet::TunnelKind::Vxlan, Some(42), 7);
        let inside = FlowKey { tunnel, ..udp };
        assert!(meant(&inside.to_string(), &inside) && !meant(&inside.to_string(), &udp), "{inside}");
        assert!(meant("10.0.0.1:5000", &inside));
        assert!(meant("fe80::1", &six) && meant("[fe80::2]:6000", &six) && !meant("fe80::", &six));
    }

    #[test]
    fn what_is_not_ip_is_meant_by_its_ethertype() {
        let arp = FlowKey {
            tunnel: None,
            addresses: None,
            protocol: 0,
            ethertype: 0x0806,
            source_port: 0,
            destination_port: 0,
        };
        let lldp = FlowKey { ethertype: 0x88cc, ..arp };
        let meant = |text: &str, flow: &FlowKey| text.parse::<FlowPattern>().unwrap().matches(flow);
        assert!(meant("ARP", &arp) && !meant("ARP", &lldp) && meant("EtherType 0x88cc", &lldp));
        assert!(!meant("10.0.0.1", &arp) && !meant("udp", &arp));
        let sctp = flow("10.0.0.1:0", "10.0.0.2:0", 132);
        assert!(meant(&sctp.to_string(), &sctp));
    }

    #[test]
    fn a_text_that_names_no_flow_says_what_would() {
        for text in ["", "ten", "10.0.0.1 10.0.0.2", "UDP > ", "10.0.0.1:70000", "IP protocol", "a > b"] {
            let error = text.parse::<FlowPattern>().unwrap_err().to_string();
            assert!(error.contains("names no flow") && error.contains("UDP 10.0.0.1:5000"), "{error}");
        }
    }
}
