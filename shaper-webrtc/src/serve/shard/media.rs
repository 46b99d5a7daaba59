//! What str0m tells of a leg.

use std::time::Instant;

use str0m::bwe::BweKind;
use str0m::media::{KeyframeRequestKind, Mid};
use str0m::stats::MediaEgressStats;
use str0m::{Event, IceConnectionState};

use super::Shard;
use super::leg::Leg;
use crate::serve::ids::Id;
use crate::serve::map_log::{Record, Reported};
use crate::serve::metrics::add;
use crate::signal::rtp::MediaKind;

impl Shard {
    /// An event of a leg, which is out of its slot meanwhile.
    pub(super) fn event(&mut self, leg: &mut Leg, event: Event, now: Instant) {
        match event {
            Event::RtpPacket(packet) => self.forward(leg, &packet, now),
            Event::KeyframeRequest(request) => self.key_frame_asked(leg, request.mid, now),
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, can_probe: true }) => {
                leg.estimate = Some(estimate.as_u64());
            }
            Event::MediaEgressStats(stats) => {
                if let Some(rtt) = stats.rtt {
                    leg.rtt = Some(rtt.as_secs_f64());
                }
                self.reported(leg, &stats, now);
            }
            Event::Connected => {
                leg.connected = true;
                leg.down_since = None;
                add(&self.metrics.legs_connected, 1);
                for consumer in leg.consumers.clone() {
                    self.want_key_frame(consumer, Some(leg), now);
                }
            }
            // One that has not been connected is late from its beginning.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if leg.connected => {
                leg.down_since = Some(now);
            }
            Event::IceConnectionStateChange(IceConnectionState::Connected | IceConnectionState::Completed) => {
                leg.ice_up = true;
                if leg.connected {
                    leg.down_since = None;
                }
                if std::mem::take(&mut leg.begins_dtls)
                    && let Err(reason) = leg.start_dtls(true)
                {
                    self.fail(leg, reason);
                }
            }
            Event::Closed => self.ending.push((leg.number, "closed by the client".to_owned())),
            _ => {}
        }
    }

    /// Writes down what a receiver said of a stream that goes out.
    fn reported(&mut self, leg: &Leg, stats: &MediaEgressStats, now: Instant) {
        let (Some(log), Some(remote)) = (&mut self.log, &stats.remote) else { return };
        let mut consumers = leg.consumers.iter().filter_map(|id| self.consumers.get(id));
        let Some(consumer) = consumers.find(|consumer| consumer.mid == stats.mid) else { return };
        let nanoseconds = |of: u128| u32::try_from(of).unwrap_or(u32::MAX);
        log.push(&Record::Reported(Reported {
            video: consumer.kind == MediaKind::Video,
            ssrc_out: *consumer.ssrc,
            leg_out: leg.number,
            time_ns: self.clock.monotonic(now),
            packets_lost: signed(remote.packets_lost),
            highest: *remote.maximum_sequence_number,
            jitter_ns: nanoseconds(u128::from(remote.jitter) * 1_000_000_000 / u128::from(consumer.kind.clock_rate())),
            round_trip_ns: stats.rtt.map(|rtt| nanoseconds(rtt.as_nanos())),
        }));
    }

    /// A receiver wants a key frame.
    fn key_frame_asked(&mut self, leg: &mut Leg, mid: Mid, now: Instant) {
        add(&self.metrics.key_frames_asked, 1);
        let of_mid = |id: &&Id| self.consumers.get(*id).is_some_and(|consumer| consumer.mid == mid);
        let Some(&consumer) = leg.consumers.iter().find(of_mid) else { return };
        self.ask_for(consumer, |consumer| consumer.current.or(consumer.target), Some(leg), now);
    }

    /// Asks the publisher for what a consumer waits for, if it does.
    pub(super) fn want_key_frame(&mut self, consumer: Id, out_of_slot: Option<&mut Leg>, now: Instant) {
        self.ask_for(consumer, |consumer| consumer.target.filter(|_| consumer.waits()), out_of_slot, now);
    }

    fn ask_for(
        &mut self,
        consumer: Id,
        layer: impl FnOnce(&super::track::Consumer) -> Option<usize>,
        out_of_slot: Option<&mut Leg>,
        now: Instant,
    ) {
        let Some(consumer) = self.consumers.get(&consumer) else { return };
        let (Some(layer), id) = (layer(consumer), consumer.producer) else { return };
        let Some(producer) = self.producers.get_mut(&id) else { return };
        if producer.kind == MediaKind::Audio {
            return;
        }
        if producer.layers.get_mut(layer).is_some_and(|layer| layer.pli.ask(now)) {
            self.send_pli(id, layer, out_of_slot);
        }
    }

    /// Sends a picture loss indication to a publisher. Its leg may be the one that is out of its slot.
    pub(super) fn send_pli(&mut self, producer: Id, layer: usize, out_of_slot: Option<&mut Leg>) {
        let Some(producer) = self.producers.get(&producer) else { return };
        let (number, mid) = (producer.leg, producer.mid);
        let Some(layer) = producer.layers.get(layer) else { return };
        let (rid, ssrc) = (layer.rid, layer.ssrc);
        let leg = match out_of_slot {
            Some(leg) if leg.number == number => leg,
            _ => {
                let Some(leg) = self.leg(number) else { return };
                leg
            }
        };
        let mut api = leg.rtc.direct_api();
        let stream = match ssrc {
            Some(ssrc) => api.stream_rx(&ssrc),
            None => api.stream_rx_by_mid(mid, rid),
        };
        if let Some(stream) = stream {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            add(&self.metrics.key_frames_forwarded, 1);
            self.mark(number);
        }
    }
}

/// The number of packets lost as it is meant: 24 bits with a sign (RFC 3550, section 6.4.1).
fn signed(packets_lost: u64) -> i64 {
    let lost = (packets_lost & 0xff_ffff) as i64;
    if lost & 0x80_0000 == 0 { lost } else { lost - 0x100_0000 }
}

#[cfg(test)]
mod tests {
    use super::signed;

    #[test]
    fn more_received_than_expected_is_below_zero() {
        assert_eq!((signed(7), signed(0xff_ffff), signed(0x80_0000)), (7, -1, -0x80_0000));
    }
}
