use super::{
    tests::{expect_udp, udp},
    *,
};
use crate::pcapfile::linktype;

const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

fn at(linktype: u16, bytes: &[u8]) -> Layers<'_> {
    parse(linktype, bytes, bytes.len() as u32).unwrap()
}

/// An IEEE 802.11 frame around LLC and the datagram.
fn wireless(control: [u8; 2], sequence: [u8; 2], more: &[u8]) -> Vec<u8> {
    let head = [&control[..], &[0, 0], &[1; 18], &sequence, more].concat();
    [&head[..], &SNAP, &udp(b"hello")[14..]].concat()
}

#[test]
fn data_frames_of_every_header_lead_to_the_datagram() {
    for (control, more) in [
        ([0x08, 0x01], &[][..]),
        ([0x08, 0x02], &[]),
        ([0x08, 0x03], &[1; 6]),
        ([0x88, 0x01], &[5, 0]),
        ([0x88, 0x03], &[1, 1, 1, 1, 1, 1, 5, 0]),
        ([0x88, 0x81], &[5, 0, 9, 9, 9, 9]),
        // Sent again.
        ([0x88, 0x09], &[5, 0]),
    ] {
        let frame = wireless(control, [0x10, 0], more);
        let layers = at(linktype::IEEE802_11, &frame);
        expect_udp(&layers, b"hello");
        assert_eq!(layers.network_offset as usize, 24 + more.len() + 8);
    }
}

#[test]
fn frames_that_carry_no_one_packet_in_clear_have_no_network_layer() {
    for (control, sequence, more) in [
        // Protected, more fragments, second fragment, A-MSDU.
        ([0x08, 0x41], [0x10, 0], &[][..]),
        ([0x08, 0x05], [0x10, 0], &[]),
        ([0x08, 0x01], [0x11, 0], &[]),
        ([0x88, 0x01], [0x10, 0], &[0x80, 0]),
        // No data, QoS without data, a beacon, an acknowledgement, another version.
        ([0x48, 0x01], [0x10, 0], &[]),
        ([0xc8, 0x01], [0x10, 0], &[5, 0]),
        ([0x80, 0x00], [0x10, 0], &[]),
        ([0xd4, 0x00], [0x10, 0], &[]),
        ([0x09, 0x01], [0x10, 0], &[]),
    ] {
        let frame = wireless(control, sequence, more);
        let layers = at(linktype::IEEE802_11, &frame);
        assert_eq!((layers.ethertype, layers.ip, layers.network), (0, None, &frame[..]), "{control:x?}");
    }
    let acknowledgement = [0xd4, 0, 0, 0, 1, 1, 1, 1, 1, 1];
    assert_eq!(at(linktype::IEEE802_11, &acknowledgement).network, acknowledgement);
}

#[test]
fn radiotap_tells_the_check_sequence_and_the_padding() {
    let frame = wireless([0x88, 0x01], [0x10, 0], &[5, 0]);
    // Flags alone; time and flags; and these behind a second word of the bitmap.
    let plain = [0, 0, 9, 0, 2, 0, 0, 0];
    let timed = [&[0, 0, 17, 0, 3, 0, 0, 0][..], &[7; 8]].concat();
    let two = [&[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
    for head in [&plain[..], &timed, &two] {
        let clear = [head, &[0], &frame].concat();
        expect_udp(&at(linktype::RADIOTAP, &clear), b"hello");
        let checked = [head, &[0x10], &frame, &[1, 2, 3, 4]].concat();
        let layers = at(linktype::RADIOTAP, &checked);
        expect_udp(&layers, b"hello");
        assert_eq!(layers.network, &udp(b"hello")[14..]);
        let padded = [head, &[0x20], &frame[..26], &[0, 0], &frame[26..]].concat();
        expect_udp(&at(linktype::RADIOTAP, &padded), b"hello");
        // What is no packet loses its check sequence all the same.
        let beacon = [head, &[0x10], &[0x80, 0], &frame[2..], &[1, 2, 3, 4]].concat();
        assert_eq!(at(linktype::RADIOTAP, &beacon).network.len(), frame.len());
    }
    let bare = [&[0, 0, 8, 0, 0, 0, 0, 0][..], &frame].concat();
    expect_udp(&at(linktype::RADIOTAP, &bare), b"hello");
}

#[test]
fn other_headers_in_front_of_wireless_frames_are_passed() {
    let frame = wireless([0x08, 0x01], [0x10, 0], &[]);
    let prism = [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &frame].concat();
    expect_udp(&at(linktype::PRISM, &prism), b"hello");
    let avs = [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56], &frame].concat();
    expect_udp(&at(linktype::PRISM, &avs), b"hello");
    expect_udp(&at(linktype::AVS, &avs), b"hello");
    let ppi = [&[0, 0, 32, 0, 105, 0, 0, 0, 2, 0, 20, 0][..], &[0; 8], &[1, 0], &[0; 10], &frame, &[1, 2, 3, 4]];
    let ppi = ppi.concat();
    let layers = at(linktype::PPI, &ppi);
    expect_udp(&layers, b"hello");
    assert_eq!(layers.payload, b"hello");
    // Another link type within.
    assert!(parse(linktype::PPI, &[0, 0, 8, 0, 1, 0, 0, 0, 0, 0], 10).is_none());
}

#[test]
fn ppp_and_cisco_hdlc_lead_to_the_datagram() {
    let frame = udp(b"hello");
    let ip = &frame[14..];
    for (linktype, head) in [
        (linktype::PPP, &[0xff, 3, 0, 0x21][..]),
        (linktype::PPP, &[0, 0x21]),
        (linktype::PPP, &[0x21]),
        (linktype::PPP, &[0xff, 3, 0x21]),
        (linktype::PPP_HDLC, &[0xff, 3, 0, 0x21]),
        (linktype::PPP_HDLC, &[0x0f, 0, 8, 0]),
        (linktype::PPP_WITH_DIRECTION, &[1, 0xff, 3, 0, 0x21]),
        (linktype::PPP_ETHER, &[0x11, 0, 0, 1, 0, 35, 0, 0x21]),
        (linktype::C_HDLC, &[0x8f, 0, 8, 0]),
        (linktype::PPP, &[0xff, 3, 2, 0x81, 0, 2, 1, 64]),
    ] {
        let bytes = [head, ip].concat();
        let layers = at(linktype, &bytes);
        expect_udp(&layers, b"hello");
        assert_eq!(layers.network_offset as usize, head.len());
    }
    // LCP has no network layer.
    assert_eq!(at(linktype::PPP, &[0xff, 3, 0xc0, 0x21, 1, 1, 0, 4]).ethertype, 0);
}

#[test]
fn frames_with_a_length_are_read_through_snap_and_lose_their_padding() {
    let frame = udp(b"hello");
    let length = [0, (8 + frame.len() - 14) as u8];
    let mut snap = [&frame[..12], &length, &SNAP, &frame[14..]].concat();
    snap.resize(80, 0xee);
    let layers = at(linktype::ETHERNET, &snap);
    expect_udp(&layers, b"hello");
    assert_eq!(layers.network, &frame[14..]);
    let tagged = [&snap[..12], &[0x81, 0, 0, 9], &snap[12..]].concat();
    expect_udp(&at(linktype::ETHERNET, &tagged), b"hello");
    // Spanning tree: LLC of 3 bytes, 35 of its own, 8 of padding.
    let tree = [&[1, 0x80, 0xc2, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 38, 0x42, 0x42, 3][..], &[0; 43]].concat();
    let layers = at(linktype::ETHERNET, &tree);
    assert_eq!((layers.ethertype, layers.network.len(), layers.network_length), (0, 38, 38));
    // Linux's cooked header says 4 for LLC.
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 0, 4][..], &SNAP, &frame[14..]].concat();
    expect_udp(&at(linktype::LINUX_SLL, &cooked), b"hello");
}
