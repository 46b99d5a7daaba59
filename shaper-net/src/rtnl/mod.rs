//! Typed, blocking rtnetlink: links, bridges, addresses, routes and qdiscs of one network namespace.

mod addr;
mod attribute;
mod bridge;
mod fq;
mod link;
mod neighbour;
mod qdisc;
mod socket;
mod tc;
mod veth;

pub use addr::Route;
pub use attribute::encoded;
pub use bridge::{BridgePortSpec, BridgeSpec};
pub use fq::{FqCounts, FqSettings};
pub use link::{Link, LinkStats, check_ifname};
pub use qdisc::Qdisc;
pub use socket::Rtnl;
pub use tc::{FilterSpec, QdiscSpec, ROOT};
pub use veth::VethEnd;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

impl std::fmt::Display for MacAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl std::str::FromStr for MacAddr {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        let bad = || crate::Error::BadName {
            name: text.into(),
            what: "an Ethernet address",
            why: "it is written as six hexadecimal bytes, aa:bb:cc:dd:ee:ff",
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = crate::Error;

    fn try_from(text: String) -> crate::Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::MacAddr;

    #[test]
    fn ethernet_addresses_are_read_as_they_are_written() {
        let mac = MacAddr([2, 0x73, 0x68, 0, 0xff, 1]);
        assert_eq!(mac.to_string(), "02:73:68:00:ff:01");
        assert_eq!(mac.to_string().parse::<MacAddr>().unwrap(), mac);
        for bad in ["", "02:73:68:00:ff", "02:73:68:00:ff:01:02", "2:73:68:00:ff:1", "02:73:68:00:ff:zz"] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }
}
