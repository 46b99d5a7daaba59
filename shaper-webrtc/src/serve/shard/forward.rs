//! From the leg that a packet came in at to those that it goes out on.

use std::time::Instant;

use str0m::format::Codec;
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Vp8Descriptor};

use super::Shard;
use super::leg::Leg;
use super::track::{Origin, Place, Taken};
use crate::serve::config::Faults;
use crate::serve::ids::Id;
use crate::serve::keyframe::begins_key_frame;
use crate::serve::metrics::add;
use crate::serve::rewrite::Numbers;
use crate::signal::rtp::MediaKind;

/// The longest payload that is sent on, in bytes. One of a datagram that ends on Ethernet is shorter;
/// str0m has 2,000 bytes for what it writes, and ends where that is more.
const PAYLOAD: usize = 1500;
/// SSRCs of one leg that are remembered.
const SSRCS: usize = 128;

/// The draws of the fault that tests put in.
#[derive(Debug)]
pub(crate) struct FaultDraw {
    drop_ppm: u32,
    state: u64,
}

impl FaultDraw {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { drop_ppm: faults.drop_media_ppm, state: faults.seed }
    }

    /// Whether this packet is dropped: SplitMix64 (Steele, Lea, Flood 2014).
    fn drops(&mut self) -> bool {
        if self.drop_ppm == 0 {
            return false;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 1_000_000 < u64::from(self.drop_ppm)
    }
}

impl Shard {
    /// Hands a packet to all consumers of its track.
    pub(super) fn forward(&mut self, leg: &mut Leg, packet: &RtpPacket, now: Instant) {
        add(&self.metrics.rtp_in, 1);
        if packet.payload.len() > PAYLOAD {
            add(&self.metrics.rtp_too_long, 1);
            return;
        }
        let Some((id, layer)) = self.track_of(leg, packet, now) else {
            add(&self.metrics.rtp_unwanted, 1);
            return;
        };
        let Some(producer) = self.producers.get_mut(&id) else { return };
        let key_frame = begins_key_frame(producer.codec, &packet.payload);
        // What followed on a key frame's first packet that comes late was not sent on: a receiver that
        // began with it would miss that. Another is asked for.
        let mut starts = key_frame;
        if let Some(layer) = producer.layers.get_mut(layer) {
            match layer.place(packet.header.ssrc, *packet.seq_no, now) {
                Place::Newest => {}
                Place::Behind => starts = false,
                Place::Replaced => {
                    add(&self.metrics.rtp_late, 1);
                    return;
                }
            }
            layer.rate.count(packet.payload.len(), now);
            if starts {
                layer.pli.answered();
            }
        }
        let starts = starts || producer.kind == MediaKind::Audio;
        if let Some(level) = packet.header.ext_vals.audio_level {
            producer.loudest = Some(producer.loudest.map_or(level, |loudest| loudest.max(level)));
        }
        if producer.paused || producer.consumers.is_empty() {
            add(&self.metrics.rtp_unwanted, 1);
            return;
        }
        let vp8 = (producer.codec == Codec::Vp8).then(|| Vp8Descriptor::parse(&packet.payload).ok()).flatten();
        let numbers = Numbers {
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            picture_id: vp8.and_then(|descriptor| descriptor.picture_id()),
            tl0_pic_idx: vp8.and_then(|descriptor| descriptor.tl0_pic_idx()),
        };
        let origin = Origin {
            sequence_out: 0,
            sequence_in: packet.header.sequence_number,
            ssrc_in: *packet.header.ssrc,
            key_frame: key_frame && producer.kind == MediaKind::Video,
            leg_in: leg.number,
            payload_bytes: packet.payload.len() as u64,
            time_in: packet.timestamp,
        };
        // Not borrowed while consumers are written to; put back below.
        let consumers = std::mem::take(&mut producer.consumers);
        for consumer in &consumers {
            self.send_on(*consumer, (layer, starts), numbers, origin, packet, vp8.as_ref(), now);
        }
        if let Some(producer) = self.producers.get_mut(&id) {
            producer.consumers = consumers;
        }
    }

    /// Which track and layer a packet belongs to. The first packet of an SSRC is placed by what str0m
    /// made of its extensions.
    fn track_of(&mut self, leg: &mut Leg, packet: &RtpPacket, now: Instant) -> Option<(Id, usize)> {
        let ssrc = packet.header.ssrc;
        if let Some(found) = leg.incoming.get(&*ssrc) {
            return Some(*found);
        }
        let mut api = leg.rtc.direct_api();
        let stream = api.stream_rx(&ssrc)?;
        let (mid, rid) = (stream.mid(), stream.rid());
        let (_, id) = leg.producers.iter().find(|(of_mid, _)| *of_mid == mid)?;
        let producer = self.producers.get_mut(id)?;
        let layer = match rid {
            Some(_) => producer.layers.iter().position(|layer| layer.rid == rid)?,
            None => 0,
        };
        producer.layers.get_mut(layer)?.goes_on_under(ssrc, now);
        // A client may change its SSRC as often as it likes: what is forgotten is looked up again.
        if leg.incoming.len() >= SSRCS {
            leg.incoming.clear();
        }
        leg.incoming.insert(*ssrc, (*id, layer));
        Some((*id, layer))
    }

    #[expect(clippy::too_many_arguments, reason = "a packet, taken apart once for all consumers")]
    fn send_on(
        &mut self,
        id: Id,
        (layer, starts): (usize, bool),
        numbers: Numbers,
        origin: Origin,
        packet: &RtpPacket,
        vp8: Option<&Vp8Descriptor>,
        now: Instant,
    ) {
        // Before the leg is up nothing begins: a key frame would be spent on nobody.
        let number = self.consumers.get(&id).map(|consumer| consumer.leg);
        if number.and_then(|number| self.leg(number)).is_none_or(|leg| !leg.connected) {
            add(&self.metrics.rtp_unwanted, 1);
            return;
        }
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        match consumer.takes(layer, origin.ssrc_in, starts) {
            Taken::No => {
                add(&self.metrics.rtp_unwanted, 1);
                return;
            }
            Taken::Yes => {}
            Taken::Switched => add(&self.metrics.layer_switches, 1),
        }
        let Some(out) = consumer.rewriter.rewrite(numbers, now) else {
            add(&self.metrics.rtp_late, 1);
            return;
        };
        if self.faults.drops() {
            return;
        }
        // The wire has the lower 16 bits.
        let sequence_out = out.sequence as u16;
        if !consumer.origins.put(Origin { sequence_out, ..origin }) {
            add(&self.metrics.rtp_overflowed, 1);
            return;
        }
        consumer.rate.count(packet.payload.len(), now);
        let (number, ssrc, payload_type) = (consumer.leg, consumer.ssrc, consumer.payload_type);
        let nackable = consumer.rtx.is_some();
        let Some(leg) = self.leg(number) else { return };
        let values = &packet.header.ext_vals;
        let mut write = RtpWrite::new(
            payload_type,
            out.sequence.into(),
            out.timestamp,
            now,
            std::sync::Arc::clone(&packet.payload),
        )
        .marker(packet.header.marker)
        .nackable(nackable)
        .ext_vals(ExtensionValues {
            audio_level: values.audio_level,
            voice_activity: values.voice_activity,
            video_orientation: values.video_orientation,
            ..ExtensionValues::default()
        });
        if let Some(descriptor) = vp8
            && (out.picture_id, out.tl0_pic_idx) != (numbers.picture_id, numbers.tl0_pic_idx)
        {
            let mut patch = descriptor.patch();
            if let Some(picture_id) = out.picture_id {
                // An id of 7 bits stays one.
                let mask = if short(&packet.payload) { 0x7f } else { 0x7fff };
                patch = patch.picture_id(picture_id & mask);
            }
            if let Some(index) = out.tl0_pic_idx {
                patch = patch.tl0_pic_idx(index);
            }
            if let Ok(patch) = patch.build() {
                write = write.vp8_patch(patch);
            }
        }
        if let Some(stream) = leg.rtc.direct_api().stream_tx(&ssrc) {
            stream.write_rtp(write);
            self.mark(number);
        }
    }
}

/// Whether the picture id of a VP8 payload descriptor has 7 bits (RFC 7741, section 4.2).
fn short(payload: &[u8]) -> bool {
    payload.get(2).is_some_and(|id| id & 0x80 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_drops_about_as_much_as_it_is_told_to_and_nothing_by_default() {
        let mut draw = FaultDraw::new(Faults { drop_media_ppm: 10_000, seed: 1 });
        let dropped = (0..100_000).filter(|_| draw.drops()).count();
        // Four standard deviations of a binomial with n = 100,000 and p = 0.01.
        assert!((874..=1126).contains(&dropped), "{dropped}");
        let mut none = FaultDraw::new(Faults::default());
        assert!((0..1000).all(|_| !none.drops()));
    }
}
