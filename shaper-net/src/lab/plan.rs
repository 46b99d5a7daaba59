//! What a lab shall look like: names and addresses, all settled before anything is made.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rtnl::MacAddr;
use crate::{Error, Result};

/// How the hosts are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Two hosts and one link.
    Pair,
    /// Hosts round a switch, each by a link of its own.
    Star,
}

/// A lab to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSpec {
    /// How the hosts are joined.
    pub shape: Shape,
    /// Names of the hosts.
    pub hosts: Vec<String>,
    /// Largest frame payload of all devices, bytes.
    pub mtu: u32,
    /// Star: longest time a multicast member may take to answer, and so the time until the switch snoops.
    pub query_response: Duration,
    /// Star: time between general queries.
    pub query_interval: Duration,
    /// Star: a leave message ends forwarding at once.
    pub fast_leave: bool,
}

/// Most hosts of a lab: the ports of one bridge (`BR_MAX_PORTS`, net/bridge/br_private.h; port 0 is not used).
const MOST: usize = 1023;

/// A host's name must leave room for `-to-br` in a device name of 15 bytes.
const NAME: usize = 9;

impl LabSpec {
    /// Hosts `a` and `b`, and one link.
    pub fn pair() -> Self {
        Self::new(Shape::Pair, vec!["a".into(), "b".into()])
    }

    /// `n` hosts round a switch: `a`, `b`, `c` … for up to 26, `h1`, `h2` … for more.
    pub fn star(n: usize) -> Self {
        let letters = "abcdefghijklmnopqrstuvwxyz";
        let hosts = if n <= letters.len() {
            letters.chars().take(n).map(String::from).collect()
        } else {
            (1..=n).map(|i| format!("h{i}")).collect()
        };
        Self::new(Shape::Star, hosts)
    }

    /// Hosts of these names, with an MTU of 1500 and a switch that snoops after a second.
    pub fn new(shape: Shape, hosts: Vec<String>) -> Self {
        Self {
            shape,
            hosts,
            mtu: 1500,
            query_response: Duration::from_secs(1),
            query_interval: Duration::from_secs(10),
            fast_leave: true,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let n = self.hosts.len();
        let bad = |why| Err(Error::OutOfRange { what: "the number of hosts", got: n.to_string(), why });
        match self.shape {
            Shape::Pair if n != 2 => return bad("a pair has two"),
            Shape::Star if n == 0 || n > MOST => return bad("a star has 1 to 1023"),
            _ => {}
        }
        for (at, name) in self.hosts.iter().enumerate() {
            let bad = |why| Err(Error::BadName { name: name.clone(), what: "a host", why });
            if name.is_empty() || name.len() > NAME {
                return bad("it must have 1 to 9 bytes");
            }
            if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
                return bad("it is made of a to z and 0 to 9");
            }
            if matches!(name.as_str(), "link" | "switch" | "lo" | "br0") {
                return bad("it is the name of something else in a lab");
            }
            if self.hosts.iter().take(at).any(|other| other == name) {
                return bad("another host has it");
            }
        }
        Ok(())
    }
}

/// Whose address it is: the fourth byte of a lab's Ethernet addresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Host = 0,
    PortHost = 1,
    PortFar = 2,
    SwitchPort = 3,
    Switch = 4,
}

/// A locally administered address: 02, "sh", the part, and the host's index.
pub(super) fn mac(part: Part, index: usize) -> MacAddr {
    let [.., high, low] = index.to_be_bytes();
    MacAddr([0x02, b's', b'h', part as u8, high, low])
}

/// 10.77.0.1 on: 250 addresses a step of the third byte, so that none ends in 0 or 255.
pub(super) fn ipv4(index: usize) -> Ipv4Addr {
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 77, byte(index / 250), byte(index % 250 + 1))
}

/// Prefix length of [`ipv4`].
pub(super) const IPV4_PREFIX: u8 = 16;

/// fd73:6861:7065:7200::1 on: "shaper" as a unique local prefix (RFC 4193).
pub(super) fn ipv6(index: usize) -> Ipv6Addr {
    let low = u16::try_from(index + 1).unwrap_or(u16::MAX);
    Ipv6Addr::new(0xfd73, 0x6861, 0x7065, 0x7200, 0, 0, 0, low)
}

/// Prefix length of [`ipv6`].
pub(super) const IPV6_PREFIX: u8 = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_host_of_the_largest_lab_has_addresses_of_its_own() {
        let mut macs = HashSet::new();
        let mut v4 = HashSet::new();
        let mut v6 = HashSet::new();
        for index in 0..MOST {
            for part in [Part::Host, Part::PortHost, Part::PortFar, Part::SwitchPort] {
                assert!(macs.insert(mac(part, index)), "{index}");
            }
            let ip = ipv4(index);
            assert!(v4.insert(ip), "{index}");
            assert!(v6.insert(ipv6(index)), "{index}");
            assert!(ip.octets()[..2] == [10, 77] && !matches!(ip.octets()[3], 0 | 255), "{ip}");
        }
        assert_eq!(ipv4(0).to_string(), "10.77.0.1");
        assert_eq!(ipv6(0).to_string(), "fd73:6861:7065:7200::1");
    }

    #[test]
    fn hosts_are_letters_as_far_as_they_go() {
        assert_eq!(LabSpec::star(3).hosts, ["a", "b", "c"]);
        assert_eq!(LabSpec::star(26).hosts[25], "z");
        assert_eq!(LabSpec::star(27).hosts[26], "h27");
    }

    #[test]
    fn what_cannot_be_built_is_refused_before_anything_is_made() {
        let hosts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for good in [LabSpec::pair(), LabSpec::star(1), LabSpec::star(MOST)] {
            assert!(good.check().is_ok(), "{good:?}");
        }
        for bad in [
            LabSpec::star(0),
            LabSpec::star(MOST + 1),
            LabSpec::new(Shape::Pair, hosts(&["a"])),
            LabSpec::new(Shape::Star, hosts(&["a", "a"])),
            LabSpec::new(Shape::Star, hosts(&["link"])),
            LabSpec::new(Shape::Star, hosts(&["a/b"])),
            LabSpec::new(Shape::Star, hosts(&["tenletters"])),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
