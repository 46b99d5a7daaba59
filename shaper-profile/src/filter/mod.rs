//! The filters of rules: which packets a rule is about.
//!
//! [`Filter::parse`] reads what people write, in the words of `pcap-filter(7)`, and [`RuleSet::compile`] makes of any
//! number of filters the table that `shaper_common::rules::classify` looks packets up in. Frames are read by
//! `shaper_common::rules::key`.
//!
//! | condition | packets |
//! | --- | --- |
//! | `ip`, `ip6`, `arp`, `rarp` | of this ethertype |
//! | `ether proto N` | of this ethertype, from 0x600 on: a number, or `ip`, `ip6`, `arp`, `rarp`, `lldp`, `ptp`, `loopback` |
//! | `tcp`, `udp`, `sctp`, `ah`, `esp`, `pim` | of this protocol, over IPv4 or IPv6 |
//! | `icmp`, `igmp`; `icmp6` | of this protocol over IPv4; over IPv6 |
//! | `[ip\|ip6] proto N` | of this protocol: a number, or a name such as `udp` or `gre` |
//! | `[ip\|ip6] [SIDE] host A` | from or to this address; `host` may be left away behind a side |
//! | `[ip\|ip6] [SIDE] net A/LEN`, `net A mask M`, `net 192.168` | from or to this network |
//! | `[tcp\|udp\|sctp] [SIDE] port N` | from or to this port, by number or by the name of a service |
//! | `[tcp\|udp\|sctp] [SIDE] portrange A-B` | from or to a port between these, both included |
//! | `ether [SIDE] host MAC` | from or to this MAC address |
//! | `multicast`, `broadcast` | whose destination MAC address has the group bit; is all ones |
//! | `ip multicast`, `ip6 multicast` | to an address from 224.0.0.0 on; to one in ff00::/8 |
//! | `vlan [N]` | with a tag; with a tag of this identifier |
//! | `icmp type N`, `icmp[icmptype] = N`, also `code`, `icmp6`, `!=` | with this ICMP type or code |
//! | `tcp[tcpflags] & FLAGS = FLAGS`, also `!=`, and without `& FLAGS` | with these TCP flags |
//! | `dscp N`, `ecn N` | IP with this code point: `ef`, `af11` … `af43`, `cs0` … `cs7`, `be`; `not-ect`, `ect0`, `ect1`, `ce` |
//! | `fragment` | pieces of a fragmented IP packet |
//! | `control` | ARP, neighbour discovery, IGMP and MLD |
//!
//! SIDE is `src`, `dst`, `src or dst` (also when left away) or `src and dst`. Conditions are joined by `and` (`&&`),
//! `or` (`||`), `not` (`!`) and parentheses. As in pcap-filter `and` and `or` bind alike, from left to right: `a or b
//! and c` is `(a or b) and c`. A value takes the words of the one before it, `port 80 or 443`, or of those before a
//! parenthesis, `host (10.0.0.1 or 10.0.0.2)`.
//!
//! What is otherwise than in pcap-filter:
//!
//! - **Control packets match by name alone.** What `shaper` lets through as control packets matches only where a
//!   condition asks for it: `arp`, `igmp`, `control`, or a type of neighbour discovery or MLD by `icmp6 type`. `icmp6`,
//!   `multicast` or `not udp` never match one.
//! - **Tags are looked through**, up to two. `ip` matches in a VLAN as well, and `vlan` shifts nothing. `vlan N` is about
//!   any tag; where two `vlan` must hold together the first is the outer tag and the second the inner one.
//! - **IPv6 extension headers are followed**, up to four of them: `tcp` and `port` mean the last header of the chain. So
//!   does `ip6 proto`. Ports, ICMP types and TCP flags are those of first fragments and whole packets, as in
//!   pcap-filter; TCP flags are read in IPv6 as well.
//! - `host` and `net` are about IP addresses, not about those within ARP. Names of hosts and networks are not looked up,
//!   and names of services only in a table of our own, where a name is a number whatever the protocol.
//! - A frame that is cut short within its headers matches no filter.
//!
//! Refused, each with its reason: lengths, arithmetic and any other byte, `ip broadcast` (it needs a netmask), `mark` and
//! `cgroup` (the XDP hook sees none), tunnels, and other link layers.

mod ast;
mod bytes;
mod error;
mod holds;
mod lex;
mod lower;
mod names;
mod parse;
mod ruleset;
mod shapes;
mod terms;
mod values;

use shaper_common::rules::{Key, Match};

pub use error::{Brings, FilterError, LowerError, RuleSetError};
pub use lower::MATCHES;
pub use ruleset::{ENTRIES, Entry, MASKS, Matcher, RULES, RuleSet};

/// Which packets a rule is about, as it was written and as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: String,
    expression: ast::Expression,
}

impl Filter {
    /// Reads a filter, see the [module](self).
    ///
    /// # Errors
    ///
    /// With the place of what is not understood or cannot be had, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), expression: parse::expression(text)? })
    }

    /// The text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a packet matches, by the meaning of the words: what the table must agree with.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        holds::matches(&self.expression, key)
    }

    /// The masked matches, any of which makes a packet match; in a fixed order.
    ///
    /// # Errors
    ///
    /// When there would be none, or more than [`MATCHES`].
    pub fn matches_of_rule(&self) -> Result<Vec<Match>, LowerError> {
        lower::matches(&self.expression)
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}
