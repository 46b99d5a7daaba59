//! How many packets a subscription should have brought.

use std::collections::HashMap;

use crate::load::worker::report::{LegReport, StreamReport, TrackReport};

/// A subscription that brought nothing has this much time to begin, in nanoseconds.
const GRACE_NS: u64 = 1_000_000_000;

/// Tracks of all clients, by client and track.
pub(super) type Tracks<'r> = HashMap<(u32, u32), &'r TrackReport>;

/// All tracks that were sent.
pub(super) fn tracks(legs: &[LegReport]) -> Tracks<'_> {
    let of_leg = |leg: &LegReport| u32::try_from(leg.client).unwrap_or(u32::MAX);
    legs.iter().flat_map(|leg| leg.tracks.iter().map(move |track| ((of_leg(leg), track.id), track))).collect()
}

/// What a subscription should have brought, at least what it did.
///
/// Numbers go from the first that came to the last that was sent. Of a track that ended before the run
/// they go to the last that came: what was on its way then, the server has dropped. Of a track that
/// nothing came of, they begin a second after the subscription. Where numbers are those of RTP nothing
/// is known but the range of what came.
pub(super) fn expected(stream: &StreamReport, sender: Option<&TrackReport>) -> u64 {
    let came = stream.range.map_or(0, |(first, highest)| highest - first + 1);
    let Some(sender) = sender else { return came.max(stream.unique) };
    let sent = u64::from(sender.packets);
    let wanted = match stream.range {
        Some((first, _)) if stream.by_payload && stream.ended_ns.is_none() => sent.saturating_sub(first),
        Some(_) => came,
        None => {
            let first = number_at(sender, stream.subscribed_ns.saturating_add(GRACE_NS));
            let last = stream.ended_ns.map_or(sent, |ended| number_at(sender, ended.saturating_sub(GRACE_NS)));
            last.saturating_sub(first)
        }
    };
    wanted.max(stream.unique)
}

/// The number of the next packet at a time, by the samples of about one a second.
fn number_at(sender: &TrackReport, time_ns: u64) -> u64 {
    let sample = sender.samples.iter().find(|(at, _)| *at >= time_ns);
    u64::from(sample.map_or(sender.packets, |(_, number)| *number))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signal::rtp::MediaKind;

    fn stream(range: Option<(u64, u64)>, unique: u64, ended_ns: Option<u64>) -> StreamReport {
        StreamReport {
            producer: String::new(),
            kind: MediaKind::Audio,
            mid: String::new(),
            ssrc: 1,
            subscribed_ns: 2_000_000_000,
            ended_ns,
            range,
            unique,
            by_payload: true,
            from: None,
            layered: false,
            packets: unique,
            bytes: 0,
            again: 0,
            late: 0,
            repaired: 0,
            discarded: 0,
            jitter: Duration::ZERO,
            ingress: None,
        }
    }

    #[test]
    fn what_was_sent_to_the_end_is_expected() {
        let sender = TrackReport {
            id: 0,
            kind: MediaKind::Audio,
            clock_rate: 48_000,
            mid: String::new(),
            rid: None,
            ssrc: 9,
            packets: 500,
            bytes: 0,
            frames: 0,
            key_frames: 0,
            samples: (0..10_u32).map(|second| (u64::from(second) * 1_000_000_000, second * 50)).collect(),
            egress: None,
        };
        assert_eq!(expected(&stream(Some((100, 499)), 400, None), Some(&sender)), 400);
        assert_eq!(expected(&stream(Some((100, 300)), 150, None), Some(&sender)), 400, "the end is lost");
        assert_eq!(expected(&stream(Some((100, 300)), 150, Some(7_000_000_000)), Some(&sender)), 201);
        assert_eq!(expected(&stream(None, 0, None), Some(&sender)), 350, "from a second on");
        assert_eq!(expected(&stream(None, 0, Some(6_000_000_000)), Some(&sender)), 100);
        assert_eq!(expected(&stream(None, 0, None), None), 0);
    }
}
