//! How many packets a subscription should have brought.

use std::collections::HashMap;

use crate::load::worker::report::{LegReport, StreamReport, TrackReport};

/// A subscription that brought nothing has this much time to begin, in nanoseconds.
const GRACE_NS: u64 = 1_000_000_000;
/// What was sent this much before a subscription ended, or before the last that came of it, should have come.
const ON_ITS_WAY_NS: u64 = 2_000_000_000;

/// Tracks of all clients, by client and track.
pub(super) type Tracks<'r> = HashMap<(u32, u32), &'r TrackReport>;

/// All tracks that were sent.
pub(super) fn tracks(legs: &[LegReport]) -> Tracks<'_> {
    let of_leg = |leg: &LegReport| u32::try_from(leg.client).unwrap_or(u32::MAX);
    legs.iter().flat_map(|leg| leg.tracks.iter().map(move |track| ((of_leg(leg), track.id), track))).collect()
}

/// What a subscription should have brought, at least what it did.
///
/// Numbers go from the first that came to the last that was sent; of a track that ended before the run to the last that
/// was sent two seconds before that, or came: what was on its way then, the server has dropped. Of a track that nothing
/// came of, they begin a second after the subscription.
///
/// Where numbers are those of RTP, they are a range of what came, and what the sender has sent more than two seconds
/// behind the last that came. `sender` is then the smallest of the layers, of which any other has at least as many
/// packets.
pub(super) fn expected(stream: &StreamReport, sender: Option<&TrackReport>) -> u64 {
    let came = stream.range.map_or(0, |(first, highest)| highest - first + 1);
    let Some(sender) = sender else { return came.max(stream.unique) };
    let last = stream.ended_ns.map_or(u64::from(sender.packets), |ended| sent_by(sender, ended, ON_ITS_WAY_NS));
    let wanted = match stream.range {
        Some((first, _)) if stream.by_payload && stream.ended_ns.is_none() => last.saturating_sub(first),
        Some((first, _)) if stream.by_payload => came.max(last.saturating_sub(first)),
        Some(_) => came.saturating_add(last.saturating_sub(sent_until(sender, stream.last_ns, ON_ITS_WAY_NS))),
        None => last.saturating_sub(sent_until(sender, stream.subscribed_ns, GRACE_NS)),
    };
    wanted.max(stream.unique)
}

/// At least so many packets had been sent so long before a time, by the samples of about one a second.
fn sent_by(sender: &TrackReport, time_ns: u64, before_ns: u64) -> u64 {
    let time_ns = time_ns.saturating_sub(before_ns);
    let sample = sender.samples.iter().rev().find(|(at, _)| *at <= time_ns);
    u64::from(sample.map_or(0, |(_, number)| *number))
}

/// At most so many packets had been sent so long behind a time.
fn sent_until(sender: &TrackReport, time_ns: u64, behind_ns: u64) -> u64 {
    let time_ns = time_ns.saturating_add(behind_ns);
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
            last_ns: 0,
            range,
            unique,
            sequences: range,
            by_payload: true,
            from: None,
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

    /// 50 packets a second for ten seconds.
    fn sender() -> TrackReport {
        TrackReport {
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
        }
    }

    #[test]
    fn what_was_sent_to_the_end_is_expected() {
        let sender = sender();
        assert_eq!(expected(&stream(Some((100, 499)), 400, None), Some(&sender)), 400);
        assert_eq!(expected(&stream(Some((100, 300)), 150, None), Some(&sender)), 400, "the end is lost");
        assert_eq!(expected(&stream(None, 0, None), Some(&sender)), 350, "from a second on");
        assert_eq!(expected(&stream(None, 0, None), None), 0);
    }

    #[test]
    fn what_was_sent_well_before_the_end_of_a_subscription_is_expected() {
        let sender = sender();
        let until_7 = |range, unique| expected(&stream(range, unique, Some(7_900_000_000)), Some(&sender));
        assert_eq!(until_7(Some((100, 300)), 150), 201, "what was on its way is not");
        assert_eq!(until_7(Some((100, 149)), 50), 150, "nothing came for the last five seconds");
        assert_eq!(until_7(None, 0), 100);
        assert_eq!(expected(&stream(None, 0, Some(3_000_000_000)), Some(&sender)), 0, "too short to tell");
    }

    #[test]
    fn layers_have_a_least_of_what_is_expected() {
        let sender = sender();
        let layered =
            |range, unique, last_ns| StreamReport { by_payload: false, last_ns, ..stream(range, unique, None) };
        assert_eq!(expected(&layered(None, 0, 0), Some(&sender)), 350, "nothing came of any layer");
        assert_eq!(expected(&layered(Some((7, 806)), 790, 9_900_000_000), Some(&sender)), 800);
        assert_eq!(expected(&layered(Some((7, 206)), 200, 4_000_000_000), Some(&sender)), 200 + 500 - 300);
    }
}
