//! What an impaired link must let pass whole.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use shaper_net::netns::NetNs;

use crate::command::SOON;
use crate::support::until;

/// Runs on another host, or on this one.
fn on<T: Send>(host: Option<&NetNs>, run: impl FnOnce() -> T + Send) -> T {
    match host {
        Some(host) => host.run(run).unwrap(),
        None => run(),
    }
}

/// A stream of TCP, its segments as large as offloads make them: what arrives is what was sent.
pub(crate) fn stream_passes(from: Option<&NetNs>, to: &NetNs, address: Ipv4Addr, bytes: usize) {
    let listener = on(Some(to), || TcpListener::bind((address, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    // Connected first: nobody waits for one that does not come.
    let mut stream = on(from, || TcpStream::connect((address, port)).unwrap());
    stream.set_write_timeout(Some(SOON)).unwrap();
    let (received, sent) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut all = Vec::new();
            let mut taken = listener.accept().unwrap().0;
            taken.set_read_timeout(Some(SOON)).unwrap();
            taken.read_to_end(&mut all).unwrap();
            all
        });
        let sent: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
        stream.write_all(&sent).unwrap();
        drop(stream);
        (reader.join().unwrap(), sent)
    });
    assert!(received == sent, "what arrived is not what was sent");
}

/// A datagram to a group.
pub(crate) fn group_passes(from: (Option<&NetNs>, Ipv4Addr), to: (&NetNs, Ipv4Addr)) {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);
    let member = on(Some(to.0), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let port = member.local_addr().unwrap().port();
    member.join_multicast_v4(&GROUP, &to.1).unwrap();
    member.set_read_timeout(Some(SOON)).unwrap();
    let sender = on(from.0, || UdpSocket::bind((from.1, 0)).unwrap());
    sender.send_to(b"all", (GROUP, port)).unwrap();
    assert_eq!(member.recv(&mut [0; 16]).unwrap(), 3);
}

/// A frame to nobody's address, with a tag: 802.1Q, VLAN 12, and a protocol for experiments. From the interface of this
/// name to that of the same name.
pub(crate) fn tagged_frame_passes(from: Option<&NetNs>, to: &NetNs, interface: &str) {
    let mut frame = vec![0x02, 0, 0, 0, 0, 0x77, 0x02, 0, 0, 0, 0, 0x66, 0x81, 0x00, 0x00, 12, 0x88, 0xb5];
    frame.resize(200, 0x5a);
    let mut tap = on(Some(to), || {
        let tap = pcap::Capture::from_device(interface).unwrap().immediate_mode(true).promisc(true).open().unwrap();
        tap.setnonblock().unwrap()
    });
    let mut source = on(from, || pcap::Capture::from_device(interface).unwrap().open().unwrap());
    source.sendpacket(frame.as_slice()).unwrap();
    let arrives = until(SOON, || tap.next_packet().is_ok_and(|packet| packet.data == frame));
    assert!(arrives, "the tagged frame did not arrive as it was sent");
}
