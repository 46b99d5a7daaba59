use shaper_offline::pcapfile::{Reader, linktype};
use shaper_offline::writer::{NewInterface, NewPacket, Section, Statistics, Writer};

use super::world::{World, ssrc_in};
use crate::path::{Point, analyse, ssrcs_of};

/// An Ethernet frame with an IPv4 packet with a UDP datagram.
fn frame(payload: &[u8]) -> Vec<u8> {
    let udp = 8 + payload.len() as u16;
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((20 + udp).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x13, 0x88, 0x13, 0x89]);
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([7; 40]);
    packet
}

/// A point as a capture file.
fn file(point: &Point) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    let interface =
        NewInterface { name: "eth0", description: None, filter: None, linktype: linktype::ETHERNET, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    let mut write = |time: i64, payload: &[u8]| {
        let data = frame(payload);
        let packet = NewPacket { ts_ns: time, data: &data, origlen: data.len() as u32, ..NewPacket::default() };
        writer.packet(id, &packet).unwrap();
    };
    let (first, last) = point.range.unwrap();
    write(first, b"something else");
    // RTCP has the SSRC of a stream elsewhere.
    write(first, &[0x81, 200, 0, 6, 0, 0, 3, 232, 0, 0, 3, 232, 0, 0, 3, 232]);
    for (ssrc, seen) in &point.streams {
        for (time, sequence) in seen {
            write(*time, &rtp(*ssrc, *sequence));
        }
    }
    write(last, &rtp(0xdead_beef, 1));
    let told = Statistics { dropped: Some(point.dropped), ..Statistics::default() };
    writer.statistics(id, &told).unwrap();
    writer.finish().unwrap()
}

#[test]
fn captures_are_read_to_the_same_as_was_written() {
    let mut world = World::new(2, 60);
    world.up.loses = Box::new(|ssrc, index| ssrc == ssrc_in(1, true) && index == 7);
    let (mut inputs, _) = world.run();
    inputs.server.as_mut().unwrap().dropped = 5;
    let wanted = analyse(&inputs, None).unwrap();
    let ssrcs = ssrcs_of(inputs.map.as_ref(), inputs.packets.as_ref());
    let read = |point: &Point| {
        let reader = Reader::from_bytes("a capture", file(point)).unwrap();
        let read = Point::read(&point.name, reader, &ssrcs).unwrap();
        assert_eq!((read.range, read.dropped, &read.damage), (point.range, point.dropped, &None));
        assert_eq!(read.streams, point.streams);
        read
    };
    inputs.server = Some(read(inputs.server.as_ref().unwrap()));
    inputs.clients = inputs.clients.iter().map(read).collect();
    assert_eq!(analyse(&inputs, None).unwrap(), wanted);
}

#[test]
fn a_damaged_capture_is_read_up_to_there_and_says_so() {
    let (inputs, _) = World::new(2, 60).run();
    let mut bytes = file(&inputs.clients[0]);
    let at = bytes.len() / 2 / 4 * 4;
    bytes[at..at + 64].fill(0xff);
    let ssrcs = ssrcs_of(inputs.map.as_ref(), inputs.packets.as_ref());
    let read = Point::read("c1", Reader::from_bytes("a capture", bytes).unwrap(), &ssrcs).unwrap();
    assert!(read.damage.is_some());
    assert!(read.streams.values().map(Vec::len).sum::<usize>() > 0);
}
