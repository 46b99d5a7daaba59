//! What filters say is what libpcap makes of the same words, wherever both have them.

mod traffic;

use std::cell::RefCell;

use pcap::{Capture, Linktype};
use proptest::prelude::*;
use shaper_common::rules::{flags, key};
use shaper_profile::filter::Filter;
use traffic::{Kinds, common_filter, frame, runner};

#[test]
fn filters_agree_with_libpcap() {
    let capture = Capture::dead(Linktype::ETHERNET).unwrap();
    let frames = prop::collection::vec(frame(Kinds { tags: false, extensions: false }), 30);
    let seen = RefCell::new([0; 2]);
    runner(5_000)
        .run(&(common_filter(), frames), |(text, frames)| {
            let filter = Filter::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            // Unoptimised: the optimiser refuses what can never match.
            let program = capture.compile(&text, false);
            let program = program.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            for frame in &frames {
                let key = key(frame.as_slice()).unwrap();
                if key.has(flags::CONTROL) {
                    continue;
                }
                let says = filter.matches(&key);
                prop_assert_eq!(says, program.filter(frame), "{}: {:02x?}", text, frame);
                seen.borrow_mut()[usize::from(says)] += 1;
            }
            Ok(())
        })
        .unwrap();
    let [no, yes] = seen.into_inner();
    assert!(yes > 20_000 && no > 20_000, "{yes} packets match and {no} do not");
}

#[test]
fn words_that_both_have_mean_the_same() {
    let capture = Capture::dead(Linktype::ETHERNET).unwrap();
    let mut frames = RefCell::new(Vec::new());
    runner(300)
        .run(&prop::collection::vec(frame(Kinds { tags: false, extensions: false }), 20), |some| {
            frames.borrow_mut().extend(some);
            Ok(())
        })
        .unwrap();
    for text in [
        "tcp or udp and port 53",
        "udp or ip6 and not tcp or icmp",
        "port 80 and not 443",
        "port 53 or 80 and tcp",
        "not port 53 or 80",
        "! tcp && ! udp",
        "host (10.0.0.1 or 10.0.0.2) and port (53 or 80)",
        "src host 10.0.0.1 or 10.0.0.2 and dst port 53 or 80",
        "net 10.0.0.0/8 or 192.168.0.0/16",
        "ip proto \\tcp or \\udp",
        "ether proto \\arp or ether proto \\ip",
        "proto (6 or 17)",
        "tcp port http or https",
        "portrange 53-80 or 5000-5010",
        "src or dst port 80",
        "dst and src host 10.0.0.1",
        "src || dst net 10.0.0.0/8",
        "ether src or dst 02:00:00:00:00:01",
        "icmp[0] = 8 or icmp[0] == 0",
        "icmp6[icmp6code] != 0",
        "ip and tcp[13] & 2 != 0",
        "ip and tcp[tcpflags] == tcp-syn",
        "ip and tcp[tcpflags] & (tcp-syn | tcp-fin) = (tcp-syn)",
        "ip and tcp[tcpflags] & 0x12 = 0x10",
        "net 0.0.0.0/0",
        "net ::/0",
        "ip net 10",
        "ip6 net 2001:db8::/48",
        "broadcast or ether broadcast",
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let program = capture.compile(text, false).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut found = 0;
        for frame in frames.get_mut() {
            let key = key(frame.as_slice()).unwrap();
            if key.has(flags::CONTROL) {
                continue;
            }
            assert_eq!(filter.matches(&key), program.filter(frame), "{text}: {frame:02x?}");
            found += usize::from(filter.matches(&key));
        }
        assert!(found > 10, "{text} matches {found}");
    }
}
