//! What is read of headers and of old formats is what Wireshark's tools read.

use std::{fs, net::IpAddr};

use etherparse::{IpNumber, PacketBuilder};
use shaper_offline::{
    packet,
    pcapfile::{Error, Fault, Reader, linktype},
    writer::{NewInterface, NewPacket, Section, Writer},
};

use super::{START, frame, run, written};

fn outside() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 4]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 60)
}

fn in_udp(port: u16, head: &[u8], inside: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    outside().udp(49_152, port).write(&mut bytes, &[head, inside].concat()).unwrap();
    bytes
}

fn in_ip(protocol: u8, head: &[u8], inside: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    outside().write(&mut bytes, IpNumber(protocol), &[head, inside].concat()).unwrap();
    bytes
}

/// One datagram behind each link layer and in each tunnel.
fn frames() -> Vec<(u16, Vec<u8>)> {
    let bridged = frame(7);
    let ip = &bridged[14..];
    let mut ip6 = Vec::new();
    PacketBuilder::ipv6([0x20; 16], [0x21; 16], 9).udp(50_001, 50_002).write(&mut ip6, &[7; 8]).unwrap();
    let length = ip.len() as u8;
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat();
    let wireless = |control: [u8; 2], more: &[u8]| {
        let address = [2, 0, 0, 0, 0, 1];
        [&control[..], &[0, 0], &address, &address, &address, &[0x10, 0], more, &snap].concat()
    };
    let quality = wireless([0x88, 0x01], &[5, 0]);
    let behind = |head: &[u8], frame: &[u8]| [head, frame].concat();
    vec![
        (linktype::ETHERNET, bridged.clone()),
        (linktype::ETHERNET, in_udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &bridged)),
        (linktype::ETHERNET, in_udp(6081, &[2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 1, 5, 5, 5, 5], &bridged)),
        (linktype::ETHERNET, in_udp(2152, &[0x30, 255, 0, length, 0, 0, 1, 2], ip)),
        (linktype::ETHERNET, in_udp(2152, &[0x34, 255, 0, length + 8, 0, 0, 1, 2, 0, 0, 0, 0x85, 1, 0x10, 1, 0], ip)),
        (linktype::ETHERNET, in_ip(47, &[0x30, 0, 8, 0, 0, 0, 0, 7, 0, 0, 0, 1], ip)),
        (linktype::ETHERNET, in_ip(47, &[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &bridged)),
        (linktype::ETHERNET, in_ip(47, &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0], &bridged)),
        (linktype::ETHERNET, in_ip(4, &[], ip)),
        (linktype::ETHERNET, in_ip(41, &[], &ip6)),
        (linktype::ETHERNET, [&bridged[..12], &[0, snap.len() as u8], &snap].concat()),
        (linktype::IEEE802_11, wireless([0x08, 0x02], &[])),
        (linktype::IEEE802_11, wireless([0x08, 0x03], &[2, 0, 0, 0, 0, 9])),
        (linktype::IEEE802_11, wireless([0x88, 0x81], &[5, 0, 0, 0, 0, 0])),
        (linktype::RADIOTAP, [&[0, 0, 9, 0, 2, 0, 0, 0, 0x10], &quality[..], &[1, 2, 3, 4]].concat()),
        (linktype::RADIOTAP, [&[0, 0, 9, 0, 2, 0, 0, 0, 0x20], &quality[..26], &[0, 0], &quality[26..]].concat()),
        (
            linktype::PPI,
            [&[0, 0, 32, 0, 105, 0, 0, 0, 2, 0, 20, 0][..], &[0; 8], &[1, 0], &[0; 10], &quality, &[1, 2, 3, 4]]
                .concat(),
        ),
        (linktype::PPP, behind(&[0xff, 3, 0, 0x21], ip)),
        (linktype::PPP_HDLC, behind(&[0xff, 3, 0, 0x21], ip)),
        (linktype::PPP_WITH_DIRECTION, behind(&[1, 0xff, 3, 0, 0x21], ip)),
        (linktype::C_HDLC, behind(&[0x0f, 0, 8, 0], ip)),
    ]
}

#[test]
fn tshark_finds_the_same_datagram_behind_every_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("headers.pcapng");
    let mut writer = Writer::new(fs::File::create(&path).unwrap(), &Section::default()).unwrap();
    let frames = frames();
    for (linktype, data) in &frames {
        let interface =
            NewInterface { name: "point", description: None, filter: None, linktype: *linktype, snaplen: 0 };
        let interface = writer.add_interface(&interface).unwrap();
        let packet = NewPacket { ts_ns: START, origlen: data.len() as u32, data, ..NewPacket::default() };
        writer.packet(interface, &packet).unwrap();
    }
    writer.finish().unwrap();
    let fields = ["ip.src", "ipv6.src", "udp.srcport", "udp.dstport", "udp.length"];
    let mut arguments = vec!["-r", path.to_str().unwrap(), "-T", "fields", "-E", "occurrence=l"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let table = run("tshark", &arguments);
    assert_eq!(table.lines().count(), frames.len());
    for (line, (linktype, data)) in table.lines().zip(&frames) {
        let layers = packet::parse(*linktype, data, data.len() as u32).unwrap();
        let (source, destination) = layers.ports();
        let [v4, v6] = match layers.ip.unwrap().source {
            IpAddr::V4(address) => [address.to_string(), String::new()],
            // The last of each version, so the outer one stands there too.
            IpAddr::V6(address) => ["192.0.2.1".to_owned(), address.to_string()],
        };
        let found = format!("{v4}\t{v6}\t{source}\t{destination}\t{}", layers.payload_length + 8);
        assert_eq!(found, line, "link type {linktype}: {data:x?}");
        assert_eq!((source, destination), (50_001, 50_002));
    }
}

#[test]
fn old_formats_that_editcap_writes_are_read_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let converted = |format: &str| {
        let copy = folder.path().join(format);
        run("editcap", &["-F", format, path.to_str().unwrap(), copy.to_str().unwrap()]);
        copy
    };
    let stamps = |path: &std::path::Path| {
        let mut reader = Reader::open(path).unwrap();
        let mut found = Vec::new();
        while let Some(packet) = reader.next_packet().unwrap() {
            found.push((packet.ts_ns.unwrap() / 1_000, packet.data.to_vec()));
        }
        found
    };
    assert_eq!(stamps(&converted("modpcap")), stamps(&path));
    for (format, name) in [("nokiapcap", "Nokia"), ("rh6_1pcap", "Red Hat 6.1"), ("suse6_3pcap", "SuSE 6.3")] {
        let error = Reader::open(converted(format)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Damaged { fault: Fault::Variant(_), .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn tshark_reads_the_same_stamps_of_ixias_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = frame(7);
    for magic in [0x1c00_01ac_u32, 0x1c00_01ab] {
        let words = [magic, 0x0004_0002, 0, 0, 65_535, 1, 16 + data.len() as u32];
        let record = [1_700_000_000, 123_456, data.len() as u32, data.len() as u32];
        let mut bytes: Vec<u8> = words.iter().chain(&record).flat_map(|word: &u32| word.to_le_bytes()).collect();
        bytes.extend(&data);
        let path = folder.path().join("ixia.lcap");
        fs::write(&path, bytes).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let ts_ns = reader.next_packet().unwrap().unwrap().ts_ns.unwrap();
        let told = run("tshark", &["-r", path.to_str().unwrap(), "-T", "fields", "-e", "frame.time_epoch"]);
        let (seconds, fraction) = told.trim().split_once('.').unwrap();
        let fraction: i64 = format!("{fraction:0<9}").parse().unwrap();
        assert_eq!(ts_ns, seconds.parse::<i64>().unwrap() * 1_000_000_000 + fraction, "{magic:x}: {told}");
    }
}
