//! Datagrams at a server: two that send and one that receives, whose packets the input chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use shaper_webrtc::serve::{LoneChange, LoneConsumer, LoneShard, LoneTrack, LoneTransport};

use super::clear::DTLS;
use super::peer::{KEY_FRAME, OPUS, SSRCS, VP8, check, connect, offer, rtcp, rtp};
use super::{nothing_of_ours_panicked, server};
use crate::draw::Draw;

/// Steps of one input.
const MOST: usize = 200;

/// Where peers are. The port is that of `discard`, at which nobody listens.
fn address(of: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1 + of % 64), 9))
}

/// A server and its peers do what the bytes say; then somebody else comes, whose packets must get through.
pub fn exchange(bytes: &[u8]) {
    let Some(mut server) = server() else { return };
    let start = Instant::now();
    let mut draw = Draw(bytes);
    let how = draw.byte();
    let layers: &[&str] = if how & 1 == 0 { &[] } else { &["q", "f"] };
    let mut room = Room::new(&mut server, layers, start);
    for _ in 0..MOST {
        if draw.0.is_empty() {
            break;
        }
        room.step(&mut server, &mut draw);
    }
    goes_on(&mut server, room.now);
    nothing_of_ours_panicked();
}

/// What peers of a server there are.
struct Room {
    now: Instant,
    publisher: Option<LoneTransport>,
    receiver: Option<LoneTransport>,
    tracks: Vec<LoneTrack>,
    consumers: Vec<LoneConsumer>,
    sequence: u16,
    index: u32,
}

impl Room {
    fn new(server: &mut LoneShard, layers: &[&str], now: Instant) -> Self {
        let publisher = server.offered(true, offer("sendonly", layers).as_bytes(), now).ok();
        let receiver = server.offered(false, offer("recvonly", &[]).as_bytes(), now).ok();
        let tracks: Vec<LoneTrack> = publisher.iter().flat_map(LoneTransport::tracks).collect();
        let mut consumers = Vec::new();
        for (at, transport) in [&publisher, &receiver].into_iter().enumerate() {
            if let Some(transport) = transport {
                connect(server, transport, address(at as u8), now);
            }
        }
        if let Some(receiver) = &receiver {
            consumers.extend(tracks.iter().filter_map(|track| server.consume(receiver, *track, now).ok()));
        }
        Self { now, publisher, receiver, tracks, consumers, sequence: 1, index: 1 }
    }

    fn step(&mut self, server: &mut LoneShard, draw: &mut Draw<'_>) {
        let [what, how] = draw.take().unwrap_or_default();
        let from = address(how >> 7);
        match what % 12 {
            // Media, as it should be or nearly.
            0..=2 => self.media(server, draw, how),
            3 | 4 => {
                let length = usize::from(draw.byte());
                let packet = draw.slice(length);
                self.index += 1;
                server.receive(from, &rtcp(packet, self.index), self.now);
            }
            5 => self.feedback(server, draw, how),
            6 => {
                let length = usize::from(draw.byte());
                server.receive(address(how), draw.slice(length), self.now);
            }
            7 => {
                let length = usize::from(draw.byte() % 64);
                let of = if how & 1 == 0 { &self.publisher } else { &self.receiver };
                let Some(transport) = of else { return };
                let request = check(&transport.ice.username_fragment, draw.slice(length));
                server.receive(address(how >> 1), &request, self.now);
            }
            8 => {
                let length = usize::from(draw.byte());
                let datagram = [&[DTLS], draw.slice(length)].concat();
                server.receive(from, &datagram, self.now);
            }
            9 => {
                self.now += Duration::from_millis(1 << (how % 15));
                server.tick(self.now);
            }
            10 => self.change(server, draw, how),
            _ => self.transport(server, draw, how),
        }
    }

    fn media(&mut self, server: &mut LoneShard, draw: &mut Draw<'_>, how: u8) {
        let [skip, extra, length] = draw.take().unwrap_or_default();
        // Mostly the next number; sometimes far away.
        let skip = if skip & 0x80 == 0 { u16::from(skip & 3) } else { u16::from(skip) << 8 };
        self.sequence = self.sequence.wrapping_add(skip.wrapping_sub(1));
        let extension = draw.slice(usize::from(extra % 12));
        let payload = draw.slice(usize::from(length));
        let [audio, video, rtx] = SSRCS;
        let (payload_type, ssrc) = match how & 7 {
            0 | 1 => (OPUS, audio),
            2..=4 => (VP8 | 0x80, video),
            5 => (VP8 + 1, rtx),
            6 => (VP8, video + u32::from(extra)),
            _ => (extra & 0x7f, audio),
        };
        let payload = if how & 0x18 == 0 { [&KEY_FRAME, payload].concat() } else { payload.to_vec() };
        let mut packet = rtp(payload_type, ssrc, self.sequence, extension, &payload);
        if how & 0x60 == 0x60 {
            // The header itself.
            let at = usize::from(draw.byte()) % packet.len();
            let byte = draw.byte();
            packet.iter_mut().skip(at).take(1).for_each(|of| *of ^= byte);
        }
        self.sequence = self.sequence.wrapping_add(1);
        server.receive(address(how >> 7), &packet, self.now);
    }

    /// RTCP whose header is right: what is behind it is the input's.
    fn feedback(&mut self, server: &mut LoneShard, draw: &mut Draw<'_>, how: u8) {
        let [kind, count, words] = draw.take().unwrap_or_default();
        let words = usize::from(words % 64);
        let mut packet = vec![0x80 | (count & 0x1f), 200 + kind % 8];
        packet.extend((words as u16).to_be_bytes());
        packet.extend(draw.slice(4 * words));
        packet.resize(4 + 4 * words, 0);
        self.index += 1;
        server.receive(address(how >> 7), &rtcp(&packet, self.index), self.now);
    }

    fn change(&mut self, server: &mut LoneShard, draw: &mut Draw<'_>, how: u8) {
        let which = usize::from(draw.byte());
        let track = self.tracks.get(which % self.tracks.len().max(1)).copied();
        let consumer = self.consumers.get(which % self.consumers.len().max(1)).copied();
        let change = match how % 6 {
            0 => track.map(|track| LoneChange::Track(track, true)),
            1 => track.map(|track| LoneChange::Track(track, false)),
            2 => consumer.map(|consumer| LoneChange::Consumer(consumer, true)),
            3 => consumer.map(|consumer| LoneChange::Consumer(consumer, false)),
            4 => consumer.map(|consumer| LoneChange::Layer(consumer, how >> 4)),
            _ if how & 0x40 == 0 => track.map(LoneChange::EndTrack),
            _ => consumer.map(LoneChange::EndConsumer),
        };
        if let Some(change) = change {
            server.change(change, self.now);
        }
        if let (Some(receiver), Some(track), true) = (&self.receiver, track, how & 0x80 != 0) {
            self.consumers.extend(server.consume(receiver, track, self.now));
        }
    }

    fn transport(&mut self, server: &mut LoneShard, draw: &mut Draw<'_>, how: u8) {
        let of = if how & 1 == 0 { &mut self.publisher } else { &mut self.receiver };
        let Some(transport) = of else { return };
        match how >> 1 & 3 {
            0 => {
                let restarted = server.restart(transport);
                transport.ice = restarted.unwrap_or_else(|_| transport.ice.clone());
            }
            1 => {
                let length = usize::from(draw.byte());
                if let Ok(Some(ice)) = server.patched(transport, draw.slice(length)) {
                    transport.ice = ice;
                }
            }
            2 => connect(server, transport, address(how >> 4), self.now),
            _ if how & 0x80 != 0 => server.close(transport, self.now),
            _ => {}
        }
    }
}

/// Whoever comes now is served: what it sends is sent on.
fn goes_on(server: &mut LoneShard, now: Instant) {
    let room = Room::new(server, &[], now);
    let (publisher, receiver) = (room.publisher, room.receiver);
    let up = |server: &mut LoneShard, of: &Option<LoneTransport>| of.as_ref().is_some_and(|of| server.connected(of));
    assert!(up(server, &publisher) && up(server, &receiver), "somebody else is not served");
    assert_eq!(room.consumers.len(), 2, "somebody else's tracks are not consumed");
    let before = server.forwarded();
    server.receive(address(0), &rtp(OPUS, SSRCS[0], 7, &[], &[1, 2, 3]), now);
    server.receive(address(0), &rtp(VP8 | 0x80, SSRCS[1], 7, &[], &KEY_FRAME), now);
    assert_eq!(server.forwarded() - before, 2, "somebody else's packets are not sent on");
}
