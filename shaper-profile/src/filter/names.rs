//! Names that stand for numbers in filters, and words of pcap-filter that are refused.

/// The number that a name stands for.
pub(super) fn number<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The names of a table, for errors.
pub(super) fn known<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

/// Well-known ports (IANA, Service Name and Transport Protocol Port Number Registry).
pub(super) const SERVICES: [(&str, u16); 36] = [
    ("bgp", 179),
    ("bootpc", 68),
    ("bootps", 67),
    ("coap", 5683),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("domain", 53),
    ("ftp", 21),
    ("ftp-data", 20),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("iperf", 5001),
    ("iscsi", 3260),
    ("kerberos", 88),
    ("ldap", 389),
    ("mdns", 5353),
    ("mqtt", 1883),
    ("mysql", 3306),
    ("nfs", 2049),
    ("ntp", 123),
    ("postgresql", 5432),
    ("ptp-event", 319),
    ("ptp-general", 320),
    ("rtsp", 554),
    ("sip", 5060),
    ("smtp", 25),
    ("snmp", 161),
    ("ssh", 22),
    ("stun", 3478),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
    ("ws-discovery", 3702),
];

/// Protocols of IP (IANA, Assigned Internet Protocol Numbers).
pub(super) const PROTOCOLS: [(&str, u8); 13] = [
    ("ah", 51),
    ("dccp", 33),
    ("esp", 50),
    ("gre", 47),
    ("icmp", 1),
    ("icmp6", 58),
    ("igmp", 2),
    ("ospf", 89),
    ("pim", 103),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("vrrp", 112),
];

/// Ethertypes (IANA, IEEE 802 Numbers).
pub(super) const ETHERTYPES: [(&str, u16); 7] = [
    ("arp", 0x0806),
    ("ip", 0x0800),
    ("ip6", 0x86dd),
    ("lldp", 0x88cc),
    ("loopback", 0x9000),
    ("ptp", 0x88f7),
    ("rarp", 0x8035),
];

/// Differentiated services code points (RFC 2474, 2597, 3246, 5865, 8622).
pub(super) const DSCPS: [(&str, u8); 24] = [
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("be", 0),
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("ef", 46),
    ("le", 1),
    ("va", 44),
];

/// Code points of explicit congestion notification (RFC 3168).
pub(super) const ECNS: [(&str, u8); 4] = [("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)];

/// Types of ICMP, by pcap-filter's names (RFC 792, 950, 1256).
pub(super) const ICMP_TYPES: [(&str, u8); 15] = [
    ("icmp-echoreply", 0),
    ("icmp-unreach", 3),
    ("icmp-sourcequench", 4),
    ("icmp-redirect", 5),
    ("icmp-echo", 8),
    ("icmp-routeradvert", 9),
    ("icmp-routersolicit", 10),
    ("icmp-timxceed", 11),
    ("icmp-paramprob", 12),
    ("icmp-tstamp", 13),
    ("icmp-tstampreply", 14),
    ("icmp-ireq", 15),
    ("icmp-ireqreply", 16),
    ("icmp-maskreq", 17),
    ("icmp-maskreply", 18),
];

/// Types of ICMPv6, by pcap-filter's names (IANA, ICMPv6 Parameters).
pub(super) const ICMP6_TYPES: [(&str, u8); 28] = [
    ("icmp6-destinationunreach", 1),
    ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3),
    ("icmp6-parameterproblem", 4),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-multicastlistenerquery", 130),
    ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerdone", 132),
    ("icmp6-routersolicit", 133),
    ("icmp6-routeradvert", 134),
    ("icmp6-neighborsolicit", 135),
    ("icmp6-neighboradvert", 136),
    ("icmp6-redirect", 137),
    ("icmp6-routerrenum", 138),
    ("icmp6-nodeinformationquery", 139),
    ("icmp6-nodeinformationresponse", 140),
    ("icmp6-ineighbordiscoverysolicit", 141),
    ("icmp6-ineighbordiscoveryadvert", 142),
    ("icmp6-multicastlistenerreportv2", 143),
    ("icmp6-homeagentdiscoveryrequest", 144),
    ("icmp6-homeagentdiscoveryreply", 145),
    ("icmp6-mobileprefixsolicit", 146),
    ("icmp6-mobileprefixadvert", 147),
    ("icmp6-certpathsolicit", 148),
    ("icmp6-certpathadvert", 149),
    ("icmp6-multicastrouteradvert", 151),
    ("icmp6-multicastroutersolicit", 152),
];

/// Flags of TCP, by pcap-filter's names (RFC 9293).
pub(super) const TCP_FLAGS: [(&str, u8); 8] = [
    ("tcp-fin", 0x01),
    ("tcp-syn", 0x02),
    ("tcp-rst", 0x04),
    ("tcp-push", 0x08),
    ("tcp-ack", 0x10),
    ("tcp-urg", 0x20),
    ("tcp-ece", 0x40),
    ("tcp-cwr", 0x80),
];

/// Words that a condition can begin with.
pub(super) const KEYWORDS: [&str; 28] = [
    "ah",
    "arp",
    "broadcast",
    "control",
    "dscp",
    "dst",
    "ecn",
    "esp",
    "ether",
    "fragment",
    "host",
    "icmp",
    "icmp6",
    "igmp",
    "ip",
    "ip6",
    "multicast",
    "net",
    "pim",
    "port",
    "portrange",
    "proto",
    "rarp",
    "sctp",
    "src",
    "tcp",
    "udp",
    "vlan",
];

const HOOK: &str = "rules are asked where packets come in at the link's port, before any socket";
const TUNNEL: &str = "headers inside of others are not read; match the outer ones, such as `udp port 4789`";
const OTHER_LINK: &str = "links carry Ethernet frames; match by `ether proto`, such as `ether proto 0x88cc`";

/// Words that are known and refused: what is wrong with them, and what to do.
pub(super) const REFUSED: [(&str, &str, &str); 33] = [
    ("mark", "the XDP hook sees no mark", HOOK),
    ("cgroup", "the XDP hook sees no cgroup", HOOK),
    ("greater", "rules do not look at lengths", "match by what the long packets are, such as their port"),
    ("less", "rules do not look at lengths", "match by what the short packets are, such as `tcp[tcpflags] = tcp-ack`"),
    ("len", "rules do not look at lengths", "match by what the packets are, such as their port"),
    ("gateway", "a gateway is known by name resolution, which rules do without", "write its MAC: `ether host 02:…`"),
    ("inbound", "a rule belongs to one direction already", "put it into the direction's own table"),
    ("outbound", "a rule belongs to one direction already", "put it into the direction's own table"),
    ("ifname", "a rule belongs to one link already", "put it into that link's table"),
    ("on", "a rule belongs to one link already", "put it into that link's table"),
    ("protochain", "chains of headers are followed anyway", "write `proto`, such as `ip6 proto 17`"),
    ("pppoed", "it has no word of its own here", "PPPoE discovery is `ether proto 0x8863`"),
    ("pppoes", "it has no word of its own here", "PPPoE sessions are `ether proto 0x8864`"),
    ("mpls", "labels are not read", "all of MPLS is `ether proto 0x8847`"),
    ("geneve", "headers inside of others are not read", TUNNEL),
    ("vxlan", "headers inside of others are not read", TUNNEL),
    ("link", "`link` has a word of its own here", "write `ether`"),
    ("fddi", "it belongs to another link layer", OTHER_LINK),
    ("tr", "it belongs to another link layer", OTHER_LINK),
    ("wlan", "it belongs to another link layer", OTHER_LINK),
    ("type", "it belongs to another link layer", OTHER_LINK),
    ("subtype", "it belongs to another link layer", OTHER_LINK),
    ("llc", "IEEE 802.2 headers are not read", OTHER_LINK),
    ("iso", "IEEE 802.2 headers are not read", OTHER_LINK),
    ("stp", "IEEE 802.2 headers are not read", "write `ether dst host 01:80:c2:00:00:00`"),
    ("ipx", "IEEE 802.2 headers are not read", OTHER_LINK),
    ("netbeui", "IEEE 802.2 headers are not read", OTHER_LINK),
    ("decnet", "DECnet addresses are not read", "all of DECnet is `ether proto 0x6003`"),
    ("atalk", "AppleTalk addresses are not read", "all of AppleTalk is `ether proto 0x809b`"),
    ("aarp", "it has no word of its own here", "write `ether proto 0x80f3`"),
    ("lat", "it has no word of its own here", "write `ether proto 0x6004`"),
    ("moprc", "it has no word of its own here", "write `ether proto 0x6002`"),
    ("mopdl", "it has no word of its own here", "write `ether proto 0x6001`"),
];
