//! A bottleneck: packets that wait for those before them leave it at its rate. It is told, not fitted.

use std::ops::Range;

use serde::Serialize;

use super::blocks::{fitted, held_out};
use super::delay::over_blocks;
use super::{Fate, Observed, Options, Series};
use crate::stats::Interval;

/// Pairs of packets that say something of the rate, at least, in either half of the blocks.
const PAIRS: usize = 50;
/// A pair is at the rate if it is so near, as a share; and so many of those held out are to be.
const NEAR: f64 = 0.1;
const MOST_OF_THEM: f64 = 0.6;
/// Losses that say where the queue ends, at least; the share of the longest wait that they met, and of them.
const LOSSES: usize = 20;
const FULL: f64 = 0.8;
const MOST_LOSSES: f64 = 0.5;

/// What looks like a bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bottleneck {
    /// Its rate in bits of the frame a second; `None` where lengths are not known.
    pub rate_bps: Option<f64>,
    /// Its rate in packets a second; `None` where lengths are known, and not all alike.
    pub rate_pps: Option<f64>,
    /// 95 % of whichever of both is known, the first one first, by its spread over blocks.
    pub interval: Option<Interval>,
    /// Pairs of packets that it is told from.
    pub pairs: usize,
    /// Of those held out, how many are within a tenth of the rate that the others say.
    pub agree: f64,
    /// The longest wait for packets before, in nanoseconds.
    pub longest_wait_ns: i64,
    /// The wait at which packets are lost, where most of them are lost at about the longest: the length of the queue in
    /// nanoseconds.
    pub queue_ns: Option<i64>,
}

impl Bottleneck {
    /// Sees to it that nothing is known of packets that met a full queue, where losses tell that it has an end.
    pub(super) fn leave_out(&self, series: &mut Series) {
        let base = series.packets.iter().filter_map(|packet| packet.fate.delay_ns()).min();
        let (Some(base), Some(_)) = (base, self.queue_ns) else { return };
        let full = (FULL * self.longest_wait_ns as f64) as i64;
        let mut came: Option<i64> = None;
        for packet in &mut series.packets {
            let arrival = packet.fate.delay_ns().map(|delay| packet.sent_ns.saturating_add(delay));
            came = arrival.or(came);
            let waits = came.map(|came| came.saturating_sub(packet.sent_ns).saturating_sub(base));
            if waits.is_some_and(|wait| wait > full) {
                packet.fate = Fate::Unknown;
            }
        }
    }
}

/// Two packets, the second of which waited for the first.
#[derive(Clone, Copy)]
struct Pair {
    /// From the arrival of one to that of the other, in nanoseconds, over the bytes of the second, or over 1.
    gap: f64,
}

/// Looks for a bottleneck.
///
/// Behind a queue that is served at a rate R, a packet of b bytes that was sent so early that it met its predecessor there
/// arrives 8 b / R behind it, whenever both were sent. Pairs that were sent as far apart as they arrived say nothing, since a
/// longer way makes them too.
pub(super) fn find(series: &Series, blocks: &[Range<usize>], options: &Options) -> Option<Bottleneck> {
    if !series.timed {
        return None;
    }
    let packets = &series.packets;
    let base = packets.iter().filter_map(|packet| packet.fate.delay_ns()).min()?;
    let has_lengths = packets.iter().all(|packet| packet.bytes.is_some_and(|bytes| bytes > 0));
    let is_even = packets.windows(2).all(|pair| pair[0].bytes == pair[1].bytes);
    let pairs = |blocks: &mut dyn Iterator<Item = Range<usize>>| -> Vec<f64> {
        let stretches = blocks.filter_map(|block| packets.get(block));
        stretches.flat_map(|stretch| self::pairs(stretch, base, has_lengths, options)).map(|pair| pair.gap).collect()
    };
    let (mut train, test) = (pairs(&mut fitted(blocks)), pairs(&mut held_out(blocks)));
    if train.len() < PAIRS || test.len() < PAIRS {
        return None;
    }
    let expected = median(&mut train)?;
    let near = test.iter().filter(|gap| (**gap / expected - 1.0).abs() <= NEAR).count();
    let agree = near as f64 / test.len() as f64;
    if agree < MOST_OF_THEM {
        return None;
    }
    let mut all = [train, test].concat();
    let gap = median(&mut all)?;
    let bytes = packets.first()?.bytes.map(f64::from).filter(|_| has_lengths);
    let rate_bps = bytes.map(|_| 8e9 / gap);
    let rate_pps = match bytes {
        Some(bytes) => is_even.then(|| 1e9 / gap / bytes),
        None => Some(1e9 / gap),
    };
    let of_block = |block: &Range<usize>| median(&mut pairs(&mut std::iter::once(block.clone())));
    let scale = if rate_bps.is_some() { 8e9 } else { 1e9 };
    let by_block: Vec<f64> = blocks.iter().filter_map(of_block).map(|gap| scale / gap).collect();
    let (longest_wait_ns, queue_ns) = waits(packets, base);
    let interval = over_blocks(scale / gap, &by_block);
    Some(Bottleneck { rate_bps, rate_pps, interval, pairs: all.len(), agree, longest_wait_ns, queue_ns })
}

/// Pairs that say something.
fn pairs(stretch: &[Observed], base: i64, has_lengths: bool, options: &Options) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut before: Option<(i64, i64)> = None;
    for packet in stretch {
        let Some(delay) = packet.fate.delay_ns() else { continue };
        let arrival = packet.sent_ns.saturating_add(delay);
        let Some((sent, came)) = before.replace((packet.sent_ns, arrival)) else { continue };
        let (gap, apart) = (arrival.saturating_sub(came), packet.sent_ns.saturating_sub(sent));
        let has_waited = packet.sent_ns.saturating_add(base) < came;
        let is_told = (gap - apart).abs() as f64 > NEAR * gap as f64;
        // What is smaller may be the hosts' own.
        if has_waited && is_told && gap >= options.resolution_ns.max(1) {
            let bytes = if has_lengths { packet.bytes.map_or(1.0, f64::from) } else { 1.0 };
            pairs.push(Pair { gap: gap as f64 / bytes });
        }
    }
    pairs
}

/// The longest wait for packets before, and the one at which packets are lost, if that is the same.
fn waits(packets: &[Observed], base: i64) -> (i64, Option<i64>) {
    let longest = packets.iter().filter_map(|packet| packet.fate.delay_ns()).max().unwrap_or(base) - base;
    let mut at_loss = Vec::new();
    let mut came: Option<i64> = None;
    for packet in packets {
        match (packet.fate.delay_ns(), packet.fate.lost(), came) {
            (Some(delay), ..) => came = Some(packet.sent_ns.saturating_add(delay)),
            (None, Some(true), Some(came)) => {
                at_loss.push(came.saturating_sub(packet.sent_ns).saturating_sub(base) as f64);
            }
            _ => {}
        }
    }
    let losses = at_loss.len();
    at_loss.retain(|wait| *wait > FULL * longest as f64);
    let is_full = losses >= LOSSES && at_loss.len() as f64 >= MOST_LOSSES * losses as f64;
    (longest, median(&mut at_loss).filter(|_| is_full).map(|wait| wait as i64))
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::draws::Draws;

    /// Packets that are sent at such distances and take so long, each given by its number and the arrival of the last one.
    fn series(packets: usize, mut one: impl FnMut(usize, i64, &mut Draws) -> (i64, u32, Fate)) -> Series {
        let mut draws = Draws::new(7);
        let mut sent_ns = 0;
        let mut packet = |number| {
            let (apart, bytes, fate) = one(number, sent_ns, &mut draws);
            let packet = Observed { sent_ns, fate, bytes: Some(bytes) };
            sent_ns += apart;
            packet
        };
        Series { packets: (0..packets).map(&mut packet).collect(), timed: true, absolute: true }
    }

    fn told(series: &Series) -> Option<Bottleneck> {
        crate::fit::fit(series, &crate::fit::Options::default()).unwrap().bottleneck
    }

    /// A queue of 60 ms before 2 Mbit/s, behind which lie 20 ms, met by packets at random times: by 95 % of what it carries.
    fn queued() -> Series {
        queued_by(2_400_000.0, 0.3)
    }

    /// The same, with packets so many nanoseconds apart in the mean and such a share of them large.
    fn queued_by(mean_ns: f64, large: f64) -> Series {
        let mut free = 0;
        series(8_000, |_, sent, draws| {
            let bytes = if draws.uniform() < large { 1_200 } else { 300 };
            let apart = (-draws.uniform().ln() * mean_ns) as i64;
            let wait = (free - sent).max(0);
            let fate = if wait > 60_000_000 {
                Fate::Lost
            } else {
                free = sent + wait + i64::from(bytes) * 4_000;
                Fate::Arrived(free - sent + 20_000_000 + (draws.uniform() * 20_000.0) as i64)
            };
            (apart, bytes, fate)
        })
    }

    #[test]
    fn the_rate_and_the_queue_of_a_bottleneck_are_told() {
        let found = told(&queued()).unwrap();
        let rate = found.rate_bps.unwrap();
        assert!((rate / 2e6 - 1.0).abs() < 0.03, "{found:?}");
        let interval = found.interval.unwrap();
        assert!(interval.low <= rate && rate <= interval.high && interval.high - interval.low < 0.1 * rate);
        assert!(found.rate_pps.is_none() && found.agree > 0.8, "{found:?}");
        assert!((found.queue_ns.unwrap() - 60_000_000).abs() < 6_000_000, "{found:?}");
    }

    #[test]
    fn with_a_queue_that_is_always_full_the_loss_beside_is_said_not_to_be_known() {
        let full = crate::fit::fit(&queued_by(2_400_000.0, 1.0), &crate::fit::Options::default()).unwrap();
        assert!(full.lost > 3_000 && full.bottleneck.is_some_and(|found| found.queue_ns.is_some()), "{full}");
        assert!(full.loss.known < crate::fit::LEAST_PACKETS as u64, "{full}");
        let said = full.loss_is_of();
        assert!(said.len() == 2 && said[0].contains(&format!("of {} packets", full.loss.known)), "{said:?}");
        assert!(said[1].contains("not known") && said[1].contains("send less"), "{said:?}");
        assert!(said.iter().all(|line| full.to_string().contains(line)), "{full}");
    }

    #[test]
    fn what_is_lost_at_random_beside_a_full_queue_is_what_the_loss_is_of() {
        let mut lossy = queued_by(2_100_000.0, 0.3);
        let mut draws = Draws::new(11);
        for packet in lossy.packets.iter_mut().filter(|_| draws.uniform() < 0.03) {
            packet.fate = Fate::Lost;
        }
        let fit = crate::fit::fit(&lossy, &crate::fit::Options::default()).unwrap();
        assert!(fit.bottleneck.is_some_and(|found| found.queue_ns.is_some()), "{fit}");
        assert!(fit.loss.known < 7_500 && fit.loss.lost < fit.lost as u64 / 2, "{fit}");
        let interval = fit.loss.ratio_interval.unwrap();
        assert!(interval.low < 0.03 && 0.03 < interval.high && interval.high < 0.045, "{fit}");
        // Where all is left in there is nothing to be said of it.
        let whole = series(1_000, |number, _, _| {
            (1_000_000, 300, if number % 50 == 7 { Fate::Lost } else { Fate::Arrived(20_000_000) })
        });
        let whole = crate::fit::fit(&whole, &crate::fit::Options::default()).unwrap();
        assert_eq!((whole.loss.known, whole.loss.lost, whole.loss_is_of()), (1_000, 20, Vec::new()));
    }

    #[test]
    fn without_lengths_it_is_told_in_packets() {
        let mut free = 0;
        let mut even = series(4_000, |_, sent, draws| {
            free = free.max(sent) + 1_000_000;
            ((draws.uniform() * 2_100_000.0) as i64, 0, Fate::Arrived(free - sent + 5_000_000))
        });
        even.packets.iter_mut().for_each(|packet| packet.bytes = None);
        let found = told(&even).unwrap();
        assert!(found.rate_bps.is_none(), "{found:?}");
        assert!((found.rate_pps.unwrap() / 1_000.0 - 1.0).abs() < 0.01, "{found:?}");
        assert!(found.queue_ns.is_none(), "nothing was lost");
    }

    #[test]
    fn jitter_an_order_that_is_kept_and_a_longer_way_are_no_bottleneck() {
        let free =
            series(8_000, |_, _, draws| (1_000_000, 300, Fate::Arrived(20_000_000 + (draws.uniform() * 8e6) as i64)));
        assert_eq!(told(&free), None);
        let mut last = 0;
        let kept = series(8_000, |_, sent, draws| {
            last = (sent + 20_000_000 + (draws.uniform() * 8e6) as i64).max(last + 5_000);
            (1_000_000, 300, Fate::Arrived(last - sent))
        });
        assert_eq!(told(&kept), None);
        let longer = series(8_000, |number, _, draws| {
            let way = if number < 4_000 { 20_000_000 } else { 50_000_000 };
            (1_000_000, 300, Fate::Arrived(way + (draws.uniform() * 50_000.0) as i64))
        });
        assert_eq!(told(&longer), None);
    }
}
