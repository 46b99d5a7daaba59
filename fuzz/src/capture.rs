//! Capture files.

use std::io::Cursor;

use shaper_offline::packet;
use shaper_offline::pcapfile::{Error, Packet, Reader};
use shaper_offline::writer::{Comment, NewInterface, NewPacket, Section, Writer};

/// What is held on to of a packet.
#[derive(Debug, PartialEq)]
struct Kept {
    offset: u64,
    interface: u32,
    linktype: u16,
    ts_ns: Option<i64>,
    origlen: u32,
    data: Vec<u8>,
}

/// Reads the bytes as a capture, once from memory and once as a stream: both find the same, and what is found is written
/// as a capture that holds the same packets.
pub fn read(bytes: &[u8]) {
    let whole = all(Reader::from_bytes("fuzz.pcap", bytes.to_vec()));
    let streamed = all(Reader::from_stream("fuzz.pcap", Cursor::new(bytes.to_vec())));
    assert_eq!(whole, streamed);
    written(&whole.0);
}

/// The packets of a capture, and how it ended.
fn all(reader: Result<Reader, Error>) -> (Vec<Kept>, String) {
    let mut packets = Vec::new();
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return (packets, error.to_string()),
    };
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => packets.push(taken(&packet)),
            Ok(None) => return (packets, format!("{:?} {:?}", reader.tail(), reader.interfaces())),
            Err(error) => return (packets, error.to_string()),
        }
    }
}

fn taken(packet: &Packet<'_>) -> Kept {
    let _ = (packet.packetid(), packet.direction(), packet.verdicts().count());
    for text in packet.comments() {
        if let Ok(Some(comment)) = Comment::parse(text) {
            let again = Comment::parse(&comment.to_string());
            assert!(again.is_ok_and(|again| again.is_some()), "{comment:?}");
        }
    }
    let _ = packet::parse(packet.linktype, packet.data, packet.origlen);
    let Packet { offset, interface, linktype, ts_ns, origlen, data, .. } = *packet;
    Kept { offset, interface, linktype, ts_ns, origlen, data: data.to_vec() }
}

/// Packets with a time come back from a capture of our own, whose lengths on the wire are no less than what was captured.
fn written(packets: &[Kept]) {
    let mut file = Vec::new();
    let Ok(mut writer) = Writer::new(&mut file, &Section::default()) else { return };
    let mut expected = Vec::new();
    for packet in packets {
        let Some(ts_ns) = packet.ts_ns else { continue };
        let linktype = packet.linktype;
        let interface = NewInterface { name: "eth0", description: None, filter: None, linktype, snaplen: 0 };
        let Ok(interface) = writer.add_interface(&interface) else { continue };
        let new = NewPacket { ts_ns, origlen: packet.origlen, data: &packet.data, ..NewPacket::default() };
        if writer.packet(interface, &new).is_ok() {
            expected.push((linktype, ts_ns, packet.origlen.max(packet.data.len() as u32), packet.data.clone()));
        }
    }
    let (again, end) = all(Reader::from_bytes("again.pcapng", file));
    let again: Vec<_> = again
        .into_iter()
        .filter_map(|Kept { linktype, ts_ns, origlen, data, .. }| Some((linktype, ts_ns?, origlen, data)))
        .collect();
    assert_eq!(again, expected, "{end}");
}
