//! A WebRTC run second by second, all clients together.

use std::collections::{BTreeMap, HashMap};

use shaper_report::stats::quantile;
use shaper_report::summary::Second;
use shaper_webrtc::packet_log::Record;

const SECOND_NS: u64 = 1_000_000_000;

/// What is known of one second.
#[derive(Default)]
struct Filled {
    sent: u64,
    payload_bytes: u64,
    received: u64,
    end_to_end_ms: Vec<f64>,
}

/// The seconds since `start` (CLOCK_MONOTONIC, in nanoseconds). A packet counts where it was sent, and again where it
/// first came; its latency belongs to the second in which it came. `target_bitrate` is what senders were allowed
/// together, by the second.
///
/// # Errors
///
/// The first record that cannot be read.
pub(super) fn over_time<E>(
    records: impl IntoIterator<Item = Result<Record, E>>,
    start: u64,
    target_bitrate: &BTreeMap<u64, f64>,
) -> Result<Vec<Second>, E> {
    let mut sent_at: HashMap<(u32, u32, u32), u64> = HashMap::new();
    // The log is in order within a client: what came may be written down before it was sent.
    let mut came: Vec<((u32, u32, u32), u64)> = Vec::new();
    let mut seconds: BTreeMap<u64, Filled> = BTreeMap::new();
    let second_of = |time_ns: u64| time_ns.saturating_sub(start) / SECOND_NS;
    for record in records {
        match record? {
            Record::Sent(packet) => {
                sent_at.insert((packet.client, packet.track, packet.number), packet.time_ns);
                let second = seconds.entry(second_of(packet.time_ns)).or_default();
                second.sent += 1;
                second.payload_bytes += u64::from(packet.payload_bytes);
            }
            Record::Received(packet) if !packet.duplicate => {
                seconds.entry(second_of(packet.time_ns)).or_default().received += 1;
                came.push(((packet.from, packet.track, packet.number), packet.time_ns));
            }
            _ => {}
        }
    }
    for (of, time_ns) in came {
        if let Some((sent, second)) = sent_at.get(&of).zip(seconds.get_mut(&second_of(time_ns))) {
            second.end_to_end_ms.push(time_ns.saturating_sub(*sent) as f64 / 1e6);
        }
    }
    let Some(last) = seconds.last_key_value().map(|(last, _)| *last) else { return Ok(Vec::new()) };
    let filled = |number: u64| {
        let mut second = seconds.remove(&number).unwrap_or_default();
        second.end_to_end_ms.sort_unstable_by(f64::total_cmp);
        Second {
            at_s: number as f64,
            sent: second.sent,
            received: second.received,
            target_bitrate: target_bitrate.get(&number).copied(),
            sent_bitrate: 8.0 * second.payload_bytes as f64,
            end_to_end_p50_ms: quantile(&second.end_to_end_ms, 0.5),
            end_to_end_p95_ms: quantile(&second.end_to_end_ms, 0.95),
            uplink_rate_bps: None,
        }
    };
    Ok((0..=last).map(filled).collect())
}

#[cfg(test)]
mod tests {
    use shaper_webrtc::packet_log::{Received, Sent};

    use super::*;

    const MS: u64 = 1_000_000;

    fn sent(number: u32, at_ms: u64) -> Record {
        Record::Sent(Sent { client: 1, track: 2, number, payload_bytes: 125, time_ns: at_ms * MS, ..Sent::default() })
    }

    fn received(number: u32, at_ms: u64, duplicate: bool) -> Record {
        let packet =
            Received { client: 9, from: 1, track: 2, number, duplicate, time_ns: at_ms * MS, ..Received::default() };
        Record::Received(packet)
    }

    #[test]
    fn packets_count_where_they_left_and_where_they_came_and_a_silent_second_is_empty() {
        let records = [
            sent(0, 1_000),
            sent(1, 1_900),
            received(0, 1_040, false),
            received(0, 1_050, true),
            received(1, 2_000, false),
            sent(2, 4_500),
            // Of somebody whose sending nobody wrote down.
            received(7, 4_600, false),
        ];
        let targets = [(0, 1e6)].into();
        let seconds = over_time(records.map(Ok::<_, ()>), 1_000 * MS, &targets).unwrap();
        let [first, second, third, fourth] = &seconds[..] else { panic!("{seconds:?}") };
        assert_eq!((first.sent, first.received, first.sent_bitrate), (2, 1, 2_000.0));
        assert_eq!((first.target_bitrate, first.end_to_end_p50_ms), (Some(1e6), Some(40.0)));
        assert_eq!((second.sent, second.received, second.end_to_end_p95_ms), (0, 1, Some(100.0)));
        assert_eq!((third.sent, third.received, third.end_to_end_p50_ms), (0, 0, None));
        assert_eq!((fourth.sent, fourth.received, fourth.end_to_end_p50_ms), (1, 1, None));
        assert_eq!(fourth.target_bitrate, None);
    }

    #[test]
    fn a_packet_whose_coming_is_written_down_before_its_sending_has_its_latency() {
        let records = [received(0, 1_040, false), sent(1, 1_900), sent(0, 1_000), received(1, 1_903, false)];
        let seconds = over_time(records.map(Ok::<_, ()>), 1_000 * MS, &BTreeMap::new()).unwrap();
        assert_eq!((seconds[0].end_to_end_p50_ms, seconds[0].end_to_end_p95_ms), (Some(3.0), Some(40.0)));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert_eq!(over_time([Ok(sent(0, 1)), Err("cut off")], 0, &BTreeMap::new()), Err("cut off"));
    }
}
