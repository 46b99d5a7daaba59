//! Datagrams that come in, and what str0m tells of a leg.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::{Bitrate, BweKind};
use str0m::media::{KeyframeRequest, MediaKind as RtcKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, Ssrc};
use str0m::stats::{MediaEgressStats, MediaIngressStats};
use str0m::{Event, IceConnectionState, Input, Output};

use super::Shared;
use super::command::Happened;
use super::leg::{Handled, Leg};
use super::stream::{Arrival, NewStream, Stream};
use crate::guard;
use crate::load::client::transport::FIRST_ESTIMATE;
use crate::load::payload::stamp::{Stamp, this_clock};
use crate::packet_log::{Received, Record, Reported, Stream as LoggedStream, UNKNOWN};
use crate::rtp_header::rtp_numbers;
use crate::signal::codecs;
use crate::signal::rtp::MediaKind;

/// Datagrams of one leg that are read before others have their turn.
const BATCH: usize = 64;
/// Larger than any datagram that ends on Ethernet; a longer one is no WebRTC and is cut off.
const DATAGRAM: usize = 2000;

impl Leg {
    /// Reads what has come.
    pub(super) fn read(&mut self, shared: &mut Shared) {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..BATCH {
            match self.new.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let now = Instant::now();
                    self.handle(buffer.get(..length).unwrap_or_default(), from, shared, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What ICMP says of an earlier datagram is reported here; it costs one turn.
                Err(_) => {}
            }
            if self.ended {
                return;
            }
        }
    }

    fn handle(&mut self, datagram: &[u8], from: SocketAddr, shared: &mut Shared, now: Instant) {
        self.handled = Handled { ssrc: rtp_numbers(datagram).map(|(ssrc, _)| ssrc), gave: false };
        let (local, rtc) = (self.new.local, &mut self.new.rtc);
        let taken = guard::guarded(|| match Receive::new(Protocol::Udp, from, local, datagram) {
            Ok(received) => rtc.handle_input(Input::Receive(now, received)).map_err(|error| error.to_string()),
            // Of none of the four kinds.
            Err(_) => Ok(()),
        });
        match taken {
            Ok(()) => self.drain(shared, now),
            Err(reason) => self.end(reason),
        }
        let handled = std::mem::take(&mut self.handled);
        let of = handled.ssrc.and_then(|ssrc| self.by_ssrc.get(&ssrc)).filter(|_| !handled.gave);
        // Empty retransmissions are the other side's padding.
        if let Some((index, false)) = of.copied()
            && self.connected
            && let Some(stream) = self.streams.get_mut(index)
        {
            stream.discarded += 1;
        }
    }

    /// Lets str0m do what is due.
    pub(super) fn drive(&mut self, shared: &mut Shared, now: Instant) {
        match guard::handle_input(&mut self.new.rtc, Input::Timeout(now)) {
            Ok(()) => self.drain(shared, now),
            Err(reason) => self.end(reason),
        }
    }

    /// Takes everything that str0m has to say.
    fn drain(&mut self, shared: &mut Shared, now: Instant) {
        while !self.ended {
            match guard::poll_output(&mut self.new.rtc) {
                Ok(Output::Timeout(due)) => {
                    shared.timers.set(self.new.number, &mut self.timer, due, now);
                    return;
                }
                Ok(Output::Transmit(datagram)) => self.transmit(datagram.destination, &datagram.contents, shared),
                Ok(Output::Event(event)) => self.event(event, shared, now),
                Err(reason) => self.end(reason),
            }
        }
    }

    pub(super) fn end(&mut self, reason: String) {
        if !self.ended {
            self.ended = true;
            self.tell(Happened::Ended { reason });
        }
    }

    fn event(&mut self, event: Event, shared: &mut Shared, now: Instant) {
        match event {
            Event::RtpPacket(packet) => self.received(&packet, shared, now),
            Event::KeyframeRequest(request) => self.key_frame_asked(&request),
            Event::IceConnectionStateChange(IceConnectionState::Connected | IceConnectionState::Completed) => {
                self.streams.iter_mut().for_each(|stream| stream.told = false);
                self.tell(Happened::IceUp);
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.streams.iter_mut().for_each(|stream| stream.told = false);
                self.tell(Happened::IceDown);
            }
            Event::Connected => {
                self.connected = true;
                self.tell(Happened::Up);
                self.begin_tracks(shared, now);
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, can_probe: true }) => {
                self.estimate = Some(estimate.as_u64());
            }
            Event::PeerStats(stats) => {
                // Both come from transport-wide feedback on what was sent.
                if stats.egress_loss_fraction.is_some_and(|loss| loss < 1.0) {
                    self.first_acknowledged();
                }
                self.peer = Some(stats);
            }
            Event::MediaEgressStats(stats) => self.egress(stats, shared, now),
            Event::MediaIngressStats(stats) => self.ingress(stats, shared, now),
            Event::Closed => self.end("closed by the server (DTLS)".to_owned()),
            _ => {}
        }
    }

    fn key_frame_asked(&mut self, request: &KeyframeRequest) {
        let of = self.tracks.iter_mut().filter(|track| track.new.mid == request.mid);
        for track in of.filter(|track| request.rid.is_none() || track.new.rid == request.rid) {
            track.ask_key_frame();
        }
    }

    /// Makes a track known that will come in.
    pub(super) fn subscribe(&mut self, new: NewStream, shared: &mut Shared, now: Instant) -> Result<(), String> {
        if !self.new.takes_any {
            let rtc = &mut self.new.rtc;
            guard::guarded(|| {
                let kind = match new.kind {
                    MediaKind::Audio => RtcKind::Audio,
                    MediaKind::Video => RtcKind::Video,
                };
                if rtc.media(new.mid).is_some() {
                    return Err(format!("the server uses the media identification {} twice", new.mid));
                }
                let mut api = rtc.direct_api();
                api.declare_media(new.mid, kind);
                api.expect_stream_rx(new.ssrc.into(), new.rtx_ssrc.map(Ssrc::from), new.mid, None);
                Ok(())
            })?;
        }
        let index = self.streams.len();
        let (from, track) = new.of.unwrap_or((UNKNOWN, UNKNOWN));
        self.by_ssrc.insert(new.ssrc, (index, false));
        if let Some(rtx) = new.rtx_ssrc {
            self.by_ssrc.insert(rtx, (index, true));
        }
        if let Some(log) = &mut shared.log {
            log.push(&Record::Stream(LoggedStream {
                client: u32::try_from(self.new.client).unwrap_or(u32::MAX),
                out: false,
                video: new.kind == MediaKind::Video,
                ssrc: new.ssrc,
                rtx_ssrc: new.rtx_ssrc.unwrap_or(0),
                track,
                from,
            }));
        }
        self.streams.push(Stream::new(new, shared.clock.monotonic(now)));
        Ok(())
    }

    /// A track has ended.
    pub(super) fn unsubscribe(&mut self, producer: &str, shared: &Shared, now: Instant) {
        let ended_ns = shared.clock.monotonic(now);
        let takes_any = self.new.takes_any;
        for stream in self.streams.iter_mut().filter(|stream| stream.new.producer == producer) {
            stream.ended_ns.get_or_insert(ended_ns);
            if !takes_any {
                let (rtc, mid) = (&mut self.new.rtc, stream.new.mid);
                let _ = guard::guarded(|| {
                    rtc.direct_api().remove_media(mid);
                    Ok(())
                });
            }
        }
    }

    /// All subscriptions end, because the leg does.
    pub(super) fn unsubscribe_all(&mut self, shared: &Shared, ended: Instant) {
        let ended_ns = shared.clock.monotonic(ended);
        for stream in &mut self.streams {
            stream.ended_ns.get_or_insert(ended_ns);
        }
    }

    fn received(&mut self, packet: &RtpPacket, shared: &mut Shared, now: Instant) {
        self.handled.gave = true;
        let ssrc = *packet.header.ssrc;
        if !self.by_ssrc.contains_key(&ssrc) && self.new.takes_any && self.take_any(packet, shared, now).is_err() {
            return;
        }
        let by_retransmission = self.handled.ssrc.is_some_and(|on_wire| on_wire != ssrc);
        let Some(stream) = self.by_ssrc.get(&ssrc).and_then(|(index, _)| self.streams.get_mut(*index)) else { return };
        let stamp = Stamp::read(&packet.payload);
        let arrival = Arrival {
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            bytes: packet.payload.len(),
            stamp,
            by_retransmission,
            at: now,
            time_ns: shared.clock.monotonic(now),
        };
        let is_told = std::mem::replace(&mut stream.told, true);
        let is_new = stream.take(&arrival);
        if let Some(log) = &mut shared.log {
            log.push(&Record::Received(Received {
                client: u32::try_from(self.new.client).unwrap_or(u32::MAX),
                from: stamp.map_or(UNKNOWN, |stamp| stamp.client),
                track: stamp.map_or(0, |stamp| stamp.track),
                video: stream.new.kind == MediaKind::Video,
                ssrc,
                // The wire has the lower 16 bits.
                sequence: arrival.sequence as u16,
                rtp_timestamp: arrival.timestamp,
                payload_bytes: u32::try_from(arrival.bytes).unwrap_or(u32::MAX),
                number: stamp.map_or(0, |stamp| stamp.number),
                time_ns: arrival.time_ns,
                repaired: by_retransmission,
                duplicate: !is_new,
            }));
        }
        let producer = (!is_told).then(|| stream.new.producer.clone());
        if is_new {
            self.second.received += 1;
            if let Some(stamp) = stamp.filter(|stamp| stamp.clock == this_clock()) {
                let e2e = Duration::from_nanos(arrival.time_ns.saturating_sub(stamp.time_ns));
                self.e2e.record(e2e);
                self.e2e_of_second.record(e2e);
            }
        }
        if let Some(producer) = producer {
            self.tell(Happened::Received { producer });
        }
    }

    /// A track that nobody has announced, as they come by SDP.
    fn take_any(&mut self, packet: &RtpPacket, shared: &mut Shared, now: Instant) -> Result<(), String> {
        let ssrc = packet.header.ssrc;
        let kind = if *packet.header.payload_type == codecs::OPUS { MediaKind::Audio } else { MediaKind::Video };
        let mut api = self.new.rtc.direct_api();
        let stream = api.stream_rx(&ssrc).ok_or("no stream")?;
        let (mid, rtx) = (stream.mid(), stream.rtx().map(|rtx| *rtx));
        let of = Stamp::read(&packet.payload).map(|stamp| (stamp.client, stamp.track));
        let new =
            NewStream { producer: format!("ssrc {ssrc}"), mid, kind, ssrc: *ssrc, rtx_ssrc: rtx, layered: false, of };
        self.subscribe(new, shared, now)
    }

    /// Feedback comes. What str0m probed for as soon as its own handshake was over may have reached a
    /// server whose handshake was not, and then it would hardly probe again: it begins anew.
    fn first_acknowledged(&mut self) {
        if !std::mem::replace(&mut self.acknowledged, true)
            && let Some(wanted) = self.new.wanted
        {
            let mut bwe = self.new.rtc.bwe();
            bwe.reset(Bitrate::from(FIRST_ESTIMATE));
            bwe.set_desired_bitrate(Bitrate::from(wanted));
        }
    }

    fn egress(&mut self, stats: MediaEgressStats, shared: &mut Shared, now: Instant) {
        let (number, time_ns) = (self.client(), shared.clock.monotonic(now));
        if stats.remote.is_some() {
            self.first_acknowledged();
        }
        let Some(track) = self.tracks.iter_mut().find(|track| track.new.mid == stats.mid && track.new.rid == stats.rid)
        else {
            return;
        };
        if let Some(remote) = &stats.remote {
            let jitter = f64::from(remote.jitter) / f64::from(track.new.shape.clock_rate());
            if let Some(log) = &mut shared.log {
                log.push(&Record::Reported(Reported {
                    client: number,
                    out: true,
                    video: track.new.shape.kind() == MediaKind::Video,
                    ssrc: track.new.ssrc,
                    time_ns,
                    packets_lost: i64::try_from(remote.packets_lost).unwrap_or(i64::MAX),
                    // The wire has the lower 16 bits.
                    highest: Some(*remote.maximum_sequence_number as u16),
                    packets: u64::from(track.number),
                    // Whole nanoseconds of what is far below 4 s.
                    jitter_ns: Some((jitter * 1e9) as u32),
                    round_trip_ns: stats.rtt.map(|rtt| u32::try_from(rtt.as_nanos()).unwrap_or(u32::MAX)),
                }));
            }
        }
        track.egress = Some(stats);
    }

    fn ingress(&mut self, stats: MediaIngressStats, shared: &mut Shared, now: Instant) {
        let (number, time_ns) = (self.client(), shared.clock.monotonic(now));
        // A media section that is used again has its last stream.
        let Some(stream) = self.streams.iter_mut().rev().find(|stream| stream.new.mid == stats.mid) else { return };
        if let Some(log) = &mut shared.log
            && stream.packets > 0
        {
            log.push(&Record::Reported(Reported {
                client: number,
                out: false,
                video: stream.new.kind == MediaKind::Video,
                ssrc: stream.new.ssrc,
                time_ns,
                packets_lost: i64::try_from(stream.sequences.missing()).unwrap_or(i64::MAX),
                highest: None,
                packets: stream.packets,
                jitter_ns: Some(u32::try_from(stream.jitter().as_nanos()).unwrap_or(u32::MAX)),
                round_trip_ns: stats.rtt.map(|rtt| u32::try_from(rtt.as_nanos()).unwrap_or(u32::MAX)),
            }));
        }
        stream.ingress = Some(stats);
    }

    /// Ends a second, whole or not, that is the `number`th since the run began, from 1.
    pub(super) fn end_second(&mut self, shared: &Shared, now: Instant, number: u64) {
        let time_ns = shared.clock.monotonic(now);
        for track in &mut self.tracks {
            if track.samples.last().is_none_or(|(_, number)| *number != track.number) {
                track.samples.push((time_ns, track.number));
            }
        }
        let lost: u64 = self.streams.iter().map(|stream| stream.numbers.missing()).sum();
        self.second.second = number;
        self.second.lost = lost.saturating_sub(self.lost_before);
        // What is repaired in a later second is not taken back from an earlier one.
        self.lost_before = lost;
        self.second.target_bitrate = (!self.tracks.is_empty() && self.connected).then(|| self.target_bitrate());
        self.second.e2e_p50_ms = self.e2e_of_second.quantile(0.5);
        self.second.e2e_p95_ms = self.e2e_of_second.quantile(0.95);
        self.e2e_of_second.clear();
        self.seconds.push(std::mem::take(&mut self.second));
    }
}
