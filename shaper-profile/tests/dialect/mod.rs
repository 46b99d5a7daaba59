//! The whole dialect of filters: every condition, alone and joined at random.

use proptest::prelude::*;
use shaper_profile::filter::Filter;

use crate::traffic::{COMMON, joined};

/// Conditions of our own, and such as mean something else to libpcap.
const OWN: [&str; 26] = [
    "vlan",
    "vlan 1",
    "vlan 100",
    "vlan 2 and vlan 1",
    "vlan 1 and not vlan 2",
    "icmp type 8",
    "icmp6 type 135",
    "icmp6 type 143",
    "icmp6[icmp6type] != 135",
    "icmp code 4",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[tcpflags] != tcp-ack",
    "dscp ef",
    "dscp be",
    "dscp 10",
    "ecn ce",
    "ecn not-ect",
    "ecn ect0",
    "fragment",
    "control",
    "not control",
    "proto 0",
    "proto igmp",
    "ether proto arp",
    "ip6 proto 2",
    "rarp",
];

pub(crate) fn conditions() -> impl Iterator<Item = &'static str> {
    COMMON.into_iter().chain(OWN)
}

/// A filter of any conditions, unless it asks for a third tag.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    let conditions = prop::sample::select(conditions().collect::<Vec<_>>()).prop_map(str::to_owned);
    joined(conditions).prop_filter_map("third tag", |text| match Filter::parse(&text) {
        Err(error) if error.problem.contains("third VLAN tag") => None,
        result => Some(result.unwrap_or_else(|error| panic!("{text}: {error}"))),
    })
}
