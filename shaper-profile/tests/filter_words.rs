//! What filters mean, word by word, and where what is refused is wrong.
#![expect(clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_common::rules::{Key, Match, flags, words};
use shaper_profile::filter::Filter;

fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matches(text: &str) -> Vec<Match> {
    parsed(text).matches_of_rule().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A UDP packet from 10.0.0.1:1000 to 10.0.0.2:2000.
fn udp() -> Key {
    let mut key = Key::ZERO;
    key.set(words::TYPES, 0x0800_1100);
    key.set(words::FLAGS, flags::IPV4 | flags::UDP | flags::PORTS);
    key.set(words::LAYER4, 1000 << 16 | 2000);
    key.set(words::SOURCE, 0x0a00_0001);
    key.set(words::DESTINATION, 0x0a00_0002);
    key
}

#[test]
fn the_same_said_otherwise_is_the_same() {
    for (text, same) in [
        ("udp && ! port 53", "udp and not port 53"),
        ("port 80 or 443", "port 80 or port 443"),
        ("port (80 or 443)", "port 80 or port 443"),
        ("tcp dst port 80 or 443", "tcp dst port 80 or tcp dst port 443"),
        ("host 10.0.0.1 or 10.0.0.2 and udp", "(host 10.0.0.1 or host 10.0.0.2) and udp"),
        ("udp or tcp and port 80", "(udp or tcp) and port 80"),
        ("port 80 and not 443", "port 80 and not port 443"),
        ("src 10.0.0.1", "ip src host 10.0.0.1"),
        ("host 10.0.0.1", "src or dst host 10.0.0.1"),
        ("net 192.168", "net 192.168.0.0/16"),
        ("net 10/8", "net 10.0.0.0 mask 255.0.0.0"),
        ("net 10.0.0.1", "host 10.0.0.1"),
        ("net 0.0.0.0/0", "ip"),
        ("net ::/0", "ip6"),
        ("port https", "port 443"),
        ("portrange 80", "port 80"),
        ("portrange 80-80", "port 80"),
        ("port 0x50", "port 80"),
        ("ip proto \\udp", "ip and udp"),
        ("ip proto 17", "ip and udp"),
        ("proto icmp6", "proto 58"),
        ("icmp6", "ip6 proto 58"),
        ("ether proto ip6", "ip6"),
        ("ether proto arp", "arp"),
        ("ether broadcast", "broadcast"),
        ("ether dst 02-00-00-00-00-01", "ether dst host 2:0:0:0:0:1"),
        ("icmp type 8", "icmp[icmptype] == icmp-echo"),
        ("icmp[0:1] = 8", "icmp type icmp-echo"),
        ("icmp6 type 135", "icmp6[icmp6type] = icmp6-neighborsolicit"),
        ("tcp[13] & 0x12 = 2", "tcp[tcpflags]&(tcp-syn|tcp-ack)=tcp-syn"),
        ("tcp[tcpflags] & tcp-syn != 0", "tcp[tcpflags] & tcp-syn = tcp-syn"),
        ("dscp ef", "dscp 46"),
        ("dscp cs0", "dscp be"),
        ("ecn ce", "ecn 3"),
        ("vlan", "vlan or vlan"),
    ] {
        assert_eq!(matches(text), matches(same), "{text} is {same}");
    }
}

#[test]
fn the_first_of_two_tags_is_the_outer_one() {
    let tagged = |outer: u32, inner: Option<u32>| {
        let mut key = udp();
        key.set(words::FLAGS, flags::TAGGED | if inner.is_some() { flags::TAGGED_TWICE } else { 0 });
        key.set(words::VLANS, outer << 16 | inner.unwrap_or(0));
        key
    };
    let (one, two, turned, zero) = (tagged(5, None), tagged(5, Some(7)), tagged(7, Some(5)), tagged(0, None));
    for (text, expected) in [
        ("vlan", [true, true, true, true]),
        ("vlan 5", [true, true, true, false]),
        ("vlan 7", [false, true, true, false]),
        ("vlan 0", [false, false, false, true]),
        ("vlan 5 and vlan 7", [false, true, false, false]),
        ("vlan 5 and udp and (vlan 7 and ip)", [false, true, false, false]),
        ("vlan and vlan", [false, true, true, false]),
        ("vlan 5 and not vlan 7", [true, false, false, false]),
        ("not vlan 5 and not vlan 7", [false, false, false, true]),
        ("vlan 5 or vlan 7", [true, true, true, false]),
        ("vlan and udp port 2000 and ip", [true, true, true, true]),
    ] {
        let filter = parsed(text);
        assert_eq!([one, two, turned, zero].map(|key| filter.matches(&key)), expected, "{text}");
        assert_eq!(filter.matches(&udp()), text.starts_with("not"), "{text}");
    }
}

#[test]
fn control_packets_are_named_by_these_alone() {
    let mut control = Key::ZERO;
    let mut message = |ethertype: u32, protocol: u32, family: u32, kind: u32| {
        control.words = [0; 16];
        control.words[0] = ethertype << 16 | protocol << 8;
        control.words[1] = flags::CONTROL | flags::MULTICAST | family | if protocol == 58 { flags::ICMP } else { 0 };
        control.words[3] = kind << 16;
        control
    };
    let (arp, igmp) = (message(0x0806, 0, 0, 0), message(0x0800, 2, flags::IPV4, 0));
    let (solicit, report) = (message(0x86dd, 58, flags::IPV6, 135), message(0x86dd, 58, flags::IPV6, 143));
    for (text, expected) in [
        ("control", [true, true, true, true]),
        ("arp", [true, false, false, false]),
        ("ether proto 0x806", [true, false, false, false]),
        ("igmp", [false, true, false, false]),
        ("proto 2", [false, true, false, false]),
        ("icmp6 type 135", [false, false, true, false]),
        ("icmp6[icmp6type] = icmp6-multicastlistenerreportv2", [false, false, false, true]),
        ("control and ip6", [false, false, true, true]),
        ("control and not arp", [false, true, true, true]),
        ("not not arp", [true, false, false, false]),
        ("arp or udp", [true, false, false, false]),
        ("not (not arp and not igmp)", [true, true, false, false]),
        ("icmp6", [false; 4]),
        ("icmp6[icmp6type] != 128", [false; 4]),
        ("multicast", [false; 4]),
        ("not udp", [false; 4]),
        ("not arp", [false; 4]),
        ("not control", [false; 4]),
        ("ip or ip6", [false; 4]),
    ] {
        let filter = parsed(text);
        assert_eq!([arp, igmp, solicit, report].map(|key| filter.matches(&key)), expected, "{text}");
        let compiled = matches(text);
        let found = [arp, igmp, solicit, report].map(|key| compiled.iter().any(|one| one.matches(&key)));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_refused_says_where_and_what_to_write() {
    for (text, column, part, problem, hint) in [
        ("", 1, "", "the filter is empty", "not control"),
        ("  ", 1, "  ", "the filter is empty", "udp port 5004"),
        ("udp port", 9, "", "the port is missing before the end", "port 53"),
        ("udp and", 8, "", "a condition is missing before the end", "udp port 5004"),
        ("udp or or tcp", 8, "or", "a condition is missing before `or`", ""),
        ("udp tcp", 5, "tcp", "`tcp` does not belong behind a condition", "`and` or `or`"),
        ("(udp", 5, "", "`)` is missing before the end", "close"),
        ("udp)", 4, ")", "`)` does not belong", "take it away"),
        ("updp port 53", 1, "updp", "no condition begins with \"updp\"", "did you mean udp?"),
        ("UDP", 1, "UDP", "no condition begins with \"UDP\"", "did you mean udp?"),
        ("xyzzyxyzzy", 1, "xyzzyxyzzy", "no condition begins", "one of ah, arp"),
        ("10.0.0.1", 1, "10.0.0.1", "stands alone", "`host 10.0.0.1`"),
        ("udp or 53", 8, "53", "53 stands alone", "`port 53`"),
        ("port 80 or udp or 443", 19, "443", "443 stands alone", ""),
        ("port 65536", 6, "65536", "65536 is too large", "65535"),
        ("port 99999999999", 6, "99999999999", "too large", ""),
        ("port 010", 6, "010", "octal", ""),
        ("port -1", 6, "-", "the port is missing before `-`", ""),
        ("port htps", 6, "htps", "\"htps\" is no port", "did you mean https?"),
        ("port 80-90", 6, "80-90", "is a range", "`portrange 80-90`"),
        ("portrange 90-80", 11, "90-80", "runs backwards", "80-90"),
        ("portrange 80-99999", 14, "99999", "too large", ""),
        ("host 10.0.0", 6, "10.0.0", "no complete IPv4 address", "net"),
        ("host 10.0.0.256", 6, "10.0.0.256", "no complete IPv4 address", ""),
        ("host example.com", 6, "example.com", "no IP address", "not looked up"),
        ("host 02:00:00:00:00:01", 6, "02:00:00:00:00:01", "is a MAC address", "`ether host 02:00:00:00:00:01`"),
        ("host 10.0.0.0/8", 14, "/", "no prefix length", "`net 10.0.0.0/…`"),
        ("ip host 2001:db8::1", 9, "2001:db8::1", "is an IPv6 address", "`ip6`"),
        ("ip6 net 10.0.0.0/8", 9, "10.0.0.0", "is an IPv4 address", "`ip`"),
        ("net 10.0.0.1/8", 5, "10.0.0.1", "bits set behind its prefix", "write 10.0.0.0/8"),
        ("net 2001:db8::1/32", 5, "2001:db8::1", "bits set behind its prefix", "2001:db8::/32"),
        ("net 10.0.0.0/33", 14, "33", "33 is too large", ""),
        ("net 10.0.0.0 mask x", 19, "x", "no IPv4 mask", ""),
        ("net ::/0 or 2001:: mask 255.0.0.0", 25, "255.0.0.0", "an IPv6 network has no mask", ""),
        ("tcp host 10.0.0.1", 1, "tcp host", "`tcp` does not go together with `host`", "`tcp and …`"),
        ("arp host 10.0.0.1", 1, "arp host", "does not go together", "not read"),
        ("ip port 80", 1, "ip port", "does not go together with `port`", "`ip and …`"),
        ("src proto 6", 1, "src proto", "no source or destination", ""),
        ("src or host 10.0.0.1", 5, "or", "is missing before `or`", "src host"),
        ("ether", 1, "ether", "says nothing alone", "ether host"),
        ("ether host 02:00", 12, "02:00", "no MAC address", ""),
        ("ether proto 5", 13, "5", "a length of IEEE 802.3", "0x600"),
        ("ether proto 0x8100", 13, "0x8100", "looked through", "`vlan`"),
        ("proto 256", 7, "256", "too large", ""),
        ("vlan 4096", 6, "4096", "4096 is too large", ""),
        ("vlan 1 and vlan 2 and vlan 3", 23, "vlan", "a third VLAN tag", "outer"),
        ("dscp af14", 6, "af14", "no code point", "did you mean af1"),
        ("dscp 64", 6, "64", "too large", ""),
        ("ecn yes", 5, "yes", "no code point", "ect0"),
        ("icmp type ping", 11, "ping", "no type of ICMP", ""),
        ("icmp6[icmp6type] = icmp-echo", 20, "icmp-echo", "no type of ICMPv6", "did you mean icmp6-echo?"),
        ("icmp[icmptype] > 3", 16, ">", "`>` is not supported", "`=` or `!=`"),
        ("icmp[icmptype]", 15, "", "is missing before the end", ""),
        ("ip[8] = 1", 1, "ip[8", "this byte of `ip`", "icmp[icmptype]"),
        ("tcp[0:2] = 80", 1, "tcp[0:2", "this byte of `tcp`", "tcp[tcpflags]"),
        ("ether[0] & 1 = 1", 1, "ether[0", "this byte of `ether`", ""),
        ("tcp[tcpflags] & tcp-syn", 24, "", "is missing before the end", "tcp-syn"),
        ("tcp[tcpflags] & tcp-syn|tcp-ack != 0", 24, "|", "binds less", "parentheses"),
        ("tcp[tcpflags] & tcp-syn = tcp-ack", 27, "tcp-ack", "never so", ""),
        ("tcp[tcpflags] & 0 = 0", 15, "&", "no flag is looked at", ""),
        ("tcp[tcpflags] + 1 = 0", 15, "+", "no arithmetic", ""),
        ("ip broadcast", 1, "ip broadcast", "netmask", "dst host 255.255.255.255"),
        ("udp and greater 100", 9, "greater", "do not look at lengths", ""),
        ("mark 7", 1, "mark", "the XDP hook sees no mark", "before any socket"),
        ("udp and cgroup /user.slice", 9, "cgroup", "the XDP hook sees no cgroup", "before any socket"),
        ("ip protochain 6", 4, "protochain", "followed anyway", "`proto`"),
        ("wlan host 02:00:00:00:00:01", 1, "wlan", "another link layer", "Ethernet"),
        ("ürgel and udp", 1, "ü", "\"ü\" has no meaning", ""),
        ("udp and ürgel", 9, "ü", "\"ü\" has no meaning", ""),
        ("host 10.0.0.1 and \"x\"", 19, "\"", "has no meaning", ""),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert_eq!(
            text.get(error.at.clone()),
            Some(part).filter(|part| !part.is_empty() || error.at.is_empty()),
            "{text}"
        );
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert!(error.hint.contains(hint), "{text}: {error}");
        assert!(!error.hint.is_empty());
        assert_eq!(error.to_string(), format!("column {column}: {}; {}", error.problem, error.hint));
    }
}

#[test]
fn the_place_behind_wide_characters_is_counted_in_characters() {
    // An ideographic space is three bytes of blank.
    let error = Filter::parse("\u{3000}udq").unwrap_err();
    assert_eq!((error.column, error.at), (2, 3..6));
}

#[test]
fn text_of_any_kind_and_depth_is_read_or_refused() {
    let pieces = [
        "udp",
        "tcp",
        "host",
        "10.0.0.1",
        "::1",
        "net",
        "10/8",
        "port",
        "80",
        "80-90",
        "src",
        "dst",
        "or",
        "and",
        "not",
        "(",
        ")",
        "[",
        "]",
        "&",
        "|",
        "=",
        "!=",
        "/",
        "vlan",
        "7",
        "ether",
        "proto",
        "02:00:00:00:00:01",
        "tcpflags",
        "tcp-syn",
        "icmp",
        "type",
        "mask",
        "\\",
        "-",
        "0x",
        "\u{e9}",
        "ip",
        "multicast",
        "dscp",
        "ef",
        "control",
        "mark",
    ];
    let soup =
        prop::collection::vec((prop::sample::select(pieces.to_vec()), prop::sample::select(vec!["", " "])), 0..12);
    let config = Config { cases: 30_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = std::cell::RefCell::new([0; 2]);
    runner
        .run(&soup, |pieces| {
            let text: String = pieces.iter().flat_map(|(piece, space)| [*piece, *space]).collect();
            let result = Filter::parse(&text);
            if let Err(error) = &result {
                prop_assert!(text.get(error.at.clone()).is_some(), "{}: {:?}", text, error);
            }
            counts.borrow_mut()[usize::from(result.is_ok())] += 1;
            Ok(())
        })
        .unwrap();
    let [refused, read] = counts.into_inner();
    assert!(read > 300 && refused > 20_000, "{read} {refused}");

    let deep = format!("{}udp{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Filter::parse(&deep).unwrap_err().problem.contains("more than 500 parentheses"));
    let alternating = "udp or tcp and ".repeat(100_000) + "ip";
    assert!(Filter::parse(&alternating).unwrap_err().problem.contains("more than 500 parentheses"));
    let nested = format!("{}udp{}", "not (".repeat(400), ")".repeat(400));
    assert_eq!(matches(&nested), matches("udp"));
    let negated = format!("{}udp", "not ".repeat(100_001));
    assert_eq!(matches(&negated), matches("not udp"));
    let long = "udp or ".repeat(100_000) + "udp";
    assert!(parsed(&long).matches(&udp()));
}

#[test]
fn a_filter_shows_as_it_was_written() {
    let text = "udp  and port 53 or 80";
    assert_eq!(parsed(text).to_string(), text);
    assert_eq!(text.parse::<Filter>().unwrap().text(), text);
}
