//! Capture files.

use std::io::Cursor;

use shaper_offline::packet;
use shaper_offline::pcapfile::{Direction, Error, Packet, Reader, Verdict};
use shaper_offline::writer::{Comment, NewInterface, NewPacket, Section, Writer};

/// What is held on to of a packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    offset: u64,
    interface: u32,
    linktype: u16,
    ts_ns: Option<i64>,
    origlen: u32,
    data: Vec<u8>,
    direction: Option<Direction>,
    packetid: Option<u64>,
    dropcount: Option<u64>,
    verdict: Option<Verdict>,
    comments: Vec<String>,
}

/// Reads the bytes as a capture, once from memory and once as a stream: both find the same, and what is found is written
/// as a capture that holds the same packets. Damage ends a capture where it otherwise is an error.
pub fn read(bytes: &[u8]) {
    let whole = all(Reader::from_bytes("fuzz.pcap", bytes.to_vec()));
    let streamed = all(Reader::from_stream("fuzz.pcap", Cursor::new(bytes.to_vec())));
    assert_eq!(whole, streamed);
    if let Ok(mut reader) = Reader::from_bytes("fuzz.pcap", bytes.to_vec()).map(Reader::ending_at_damage) {
        let mut packets = Vec::new();
        while let Ok(Some(packet)) = reader.next_packet() {
            packets.push(taken(&packet));
        }
        assert_eq!(packets, whole.0);
        if let Some((offset, fault)) = reader.damage() {
            assert!(
                whole.1.contains(&format!("at byte {offset}")) && whole.1.ends_with(&fault.to_string()),
                "{}",
                whole.1
            );
        }
    }
    written(&whole.0);
}

/// The packets of a capture, as far as it can be read.
pub(crate) fn packets(bytes: &[u8]) -> Vec<Kept> {
    all(Reader::from_bytes("fuzz.pcap", bytes.to_vec())).0
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
    for text in packet.comments() {
        if let Ok(Some(comment)) = Comment::parse(text) {
            let again = Comment::parse(&comment.to_string());
            assert!(again.is_ok_and(|again| again.is_some()), "{comment:?}");
        }
    }
    let _ = packet::parse(packet.linktype, packet.data, packet.origlen);
    let Packet { offset, interface, linktype, ts_ns, origlen, data, dropcount, .. } = *packet;
    let (direction, packetid, verdict) = (packet.direction(), packet.packetid(), packet.verdicts().next());
    let comments = packet.comments().map(str::to_owned).collect();
    let data = data.to_vec();
    Kept { offset, interface, linktype, ts_ns, origlen, data, direction, packetid, dropcount, verdict, comments }
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
        let Kept { origlen, ref data, direction, packetid, dropcount, verdict, ref comments, .. } = *packet;
        let new = NewPacket { ts_ns, origlen, data, direction, packetid, dropcount, verdict, comments };
        if writer.packet(interface, &new).is_ok() {
            expected.push(Kept { origlen: origlen.max(data.len() as u32), ..packet.clone() });
        }
    }
    let (again, end) = all(Reader::from_bytes("again.pcapng", file));
    // Where they lie in the file is another matter.
    let placeless = |packet: Kept| Kept { offset: 0, interface: 0, ..packet };
    let [again, expected] = [again, expected].map(|all| all.into_iter().map(placeless).collect::<Vec<_>>());
    assert_eq!(again, expected, "{end}");
}
