//! Tracks that come in, and what is measured of them.

use std::time::{Duration, Instant};

use str0m::media::Mid;
use str0m::stats::MediaIngressStats;

use super::numbers::{Numbers, Seen};
use crate::load::payload::stamp::Stamp;
use crate::signal::rtp::MediaKind;

/// What is known of a track that will come in.
#[derive(Clone, Debug)]
pub(crate) struct NewStream {
    /// As the server calls what is subscribed to; empty where it does not say.
    pub(crate) producer: String,
    pub(crate) mid: Mid,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    /// Whether the server may change between layers: numbers in payloads jump then, and those of RTP
    /// count.
    pub(crate) layered: bool,
    /// The client and the track that it is of, where that is known; with layers, the smallest.
    pub(crate) of: Option<(u32, u32)>,
}

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Extended.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) bytes: usize,
    pub(crate) stamp: Option<Stamp>,
    /// Whether it came as a retransmission.
    pub(crate) by_retransmission: bool,
    pub(crate) at: Instant,
    pub(crate) time_ns: u64,
}

/// A track that comes in.
pub(crate) struct Stream {
    pub(crate) new: NewStream,
    /// CLOCK_MONOTONIC, when it was subscribed to.
    pub(crate) subscribed_ns: u64,
    /// CLOCK_MONOTONIC, when the subscription ended, if it was before the run.
    pub(crate) ended_ns: Option<u64>,
    /// CLOCK_MONOTONIC, when the last packet came; that of the subscription before there is one.
    pub(crate) last_ns: u64,
    /// By the payload, or by RTP where that does not say or [`NewStream::layered`].
    pub(crate) numbers: Numbers,
    by_payload: bool,
    /// By RTP.
    pub(crate) sequences: Numbers,
    /// Sender and track, by the payload of the first packet.
    pub(crate) from: Option<(u32, u32)>,
    /// All, those that came again among them.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) again: u64,
    pub(crate) late: u64,
    pub(crate) repaired: u64,
    /// Datagrams that str0m gave nothing for: replayed, or not to be decrypted.
    pub(crate) discarded: u64,
    /// Whether the client knows that packets come.
    pub(crate) told: bool,
    jitter: Jitter,
    pub(crate) ingress: Option<MediaIngressStats>,
}

impl Stream {
    pub(crate) fn new(new: NewStream, subscribed_ns: u64) -> Self {
        let clock_rate = if new.kind == MediaKind::Audio { 48_000 } else { 90_000 };
        Self {
            new,
            subscribed_ns,
            ended_ns: None,
            last_ns: subscribed_ns,
            numbers: Numbers::default(),
            by_payload: false,
            sequences: Numbers::default(),
            from: None,
            packets: 0,
            bytes: 0,
            again: 0,
            late: 0,
            repaired: 0,
            discarded: 0,
            told: false,
            jitter: Jitter::new(clock_rate),
            ingress: None,
        }
    }

    /// Counts a packet: whether it came for the first time.
    pub(crate) fn take(&mut self, arrival: &Arrival) -> bool {
        if self.packets == 0 {
            self.from = arrival.stamp.map(|stamp| (stamp.client, stamp.track));
            self.by_payload = arrival.stamp.is_some() && !self.new.layered;
        }
        self.packets += 1;
        self.last_ns = arrival.time_ns;
        self.bytes += arrival.bytes as u64;
        self.sequences.take(arrival.sequence);
        let number = match arrival.stamp {
            Some(stamp) if self.by_payload && self.from == Some((stamp.client, stamp.track)) => u64::from(stamp.number),
            // Something else on the same stream: it is not counted among its numbers.
            _ if self.by_payload => return true,
            _ => arrival.sequence,
        };
        let seen = self.numbers.take(number);
        match seen {
            Seen::Again => self.again += 1,
            Seen::Late | Seen::Next => {
                self.late += u64::from(seen == Seen::Late);
                self.repaired += u64::from(arrival.by_retransmission);
            }
        }
        // A retransmission says nothing of how packets are spaced.
        if !arrival.by_retransmission && seen != Seen::Again {
            self.jitter.take(arrival.timestamp, arrival.at);
        }
        seen != Seen::Again
    }

    /// Whether its numbers are those of the sender's packets.
    pub(crate) fn by_payload(&self) -> bool {
        self.by_payload
    }

    pub(crate) fn jitter(&self) -> Duration {
        self.jitter.value()
    }
}

/// Interarrival jitter (RFC 3550, appendix A.8).
struct Jitter {
    clock_rate: f64,
    last: Option<(u32, Instant)>,
    seconds: f64,
}

impl Jitter {
    fn new(clock_rate: u32) -> Self {
        Self { clock_rate: f64::from(clock_rate), last: None, seconds: 0.0 }
    }

    fn take(&mut self, timestamp: u32, at: Instant) {
        if let Some((before, then)) = self.last {
            // The difference is small, and wraps with the timestamps.
            let sent = f64::from(timestamp.wrapping_sub(before) as i32) / self.clock_rate;
            let arrived = at.saturating_duration_since(then).as_secs_f64();
            self.seconds += ((arrived - sent).abs() - self.seconds) / 16.0;
        }
        self.last = Some((timestamp, at));
    }

    fn value(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(layered: bool) -> Stream {
        let new = NewStream {
            producer: String::new(),
            mid: Mid::from("0"),
            kind: MediaKind::Audio,
            ssrc: 1,
            rtx_ssrc: Some(2),
            layered,
            of: None,
        };
        Stream::new(new, 0)
    }

    fn arrival(start: Instant, number: u32, millis: u64, by_retransmission: bool) -> Arrival {
        let stamp = Stamp { clock: 0, client: 7, track: 3, number, time_ns: 0 };
        Arrival {
            sequence: u64::from(number) + 100,
            timestamp: number * 960,
            bytes: 120,
            stamp: Some(stamp),
            by_retransmission,
            at: start + Duration::from_millis(millis),
            time_ns: 0,
        }
    }

    #[test]
    fn packets_are_counted_by_what_their_payloads_say() {
        let start = Instant::now();
        let mut stream = stream(false);
        for (number, retransmission, first) in
            [(10, false, true), (11, false, true), (14, false, true), (12, true, true), (11, false, false)]
        {
            assert_eq!(stream.take(&arrival(start, number, u64::from(number) * 20, retransmission)), first);
        }
        assert_eq!(stream.from, Some((7, 3)));
        assert_eq!((stream.packets, stream.again, stream.late, stream.repaired), (5, 1, 1, 1));
        assert_eq!((stream.numbers.unique(), stream.numbers.missing()), (4, 1));
        assert_eq!(stream.numbers.range(), Some((10, 14)));
    }

    #[test]
    fn where_layers_change_numbers_of_rtp_count() {
        let start = Instant::now();
        let mut stream = stream(true);
        let mut other = arrival(start, 11, 20, false);
        other.stamp = other.stamp.map(|stamp| Stamp { track: 4, number: 9000, ..stamp });
        assert!(stream.take(&arrival(start, 10, 0, false)) && stream.take(&other));
        assert_eq!(stream.numbers.missing(), 0);
    }

    #[test]
    fn jitter_is_that_of_the_rfc() {
        let start = Instant::now();
        let mut stream = stream(false);
        for (number, millis) in [(0, 0), (1, 20), (2, 56)] {
            stream.take(&arrival(start, number, millis, false));
        }
        assert_eq!(stream.jitter(), Duration::from_millis(1));
    }
}
