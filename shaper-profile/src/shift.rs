//! What keeping the order adds to delays on a given stream of packets, by asking the decision itself.

use shaper_channel::{Channel, ChannelSpec};
use shaper_common::layout::Params;
use shaper_common::order::Order;
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;

/// A steady stream of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// From one packet's arrival to the next one's.
    pub interval: Nanos,
    /// Bytes of each, layer 2 header included.
    pub len: u32,
    /// How many.
    pub packets: u32,
}

/// By how much delays grow because no packet may overtake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The stream it holds for.
    pub stream: Stream,
    /// Mean growth of a delivered packet's delay.
    pub mean: Nanos,
    /// The lower end of the interval in which a single run's mean lies, but for a probability of [`MISSES`].
    pub low: Nanos,
    /// The upper end.
    pub high: Nanos,
    /// The mean delay that results, the queue's included.
    pub delay_mean: Nanos,
    /// The share of delivered packets that are held back.
    pub held_share: f64,
}

/// How often the interval misses the mean of a run that is as configured. A run that checks this too has up to
/// ten statistical checks then, at a family-wise error of 0.001.
pub const MISSES: f64 = 1e-4;

/// Seeds the decision is asked with.
const SEEDS: u64 = 16;
/// The quantile of Student's t with 15 degrees of freedom that it exceeds, either way, with probability [`MISSES`].
const STUDENT: f64 = 5.239_088;

/// The seeds that a run of this seed is foretold with: its own is not among them, for what holds a run's own draws
/// cannot be missed by it.
fn others(run: u64) -> impl Iterator<Item = u64> {
    (1..=SEEDS).map(move |number| run ^ number)
}

/// Runs the decision on the stream under 16 seeds other than the run's, with the order kept and free, and compares
/// releases packet by packet. Outages are left out: they lose packets and shift none.
///
/// The interval is Student's prediction interval over the seeds' means: it holds one more run of as many packets.
#[must_use]
pub fn kept_order(channel: &ChannelSpec, stream: Stream) -> Shift {
    let means: Vec<[f64; 3]> = others(channel.params.seed).map(|seed| one_seed(channel, stream, seed)).collect();
    let mean = |of: usize| means.iter().filter_map(|figures| figures.get(of)).sum::<f64>() / SEEDS as f64;
    let shift = mean(0);
    let variance = means.iter().map(|[growth, ..]| (growth - shift).powi(2)).sum::<f64>() / (SEEDS - 1) as f64;
    let half = STUDENT * (variance * (1.0 + 1.0 / SEEDS as f64)).sqrt();
    let nanos = |value: f64| Nanos(value.max(0.0).round() as u64);
    Shift {
        stream,
        mean: nanos(shift),
        low: nanos(shift - half),
        high: nanos(shift + half),
        delay_mean: nanos(mean(1)),
        held_share: mean(2),
    }
}

/// Mean growth, mean delay, and share held back.
fn one_seed(channel: &ChannelSpec, stream: Stream, seed: u64) -> [f64; 3] {
    let of = |order: Order| {
        let params = Params { seed, order: order as u32, has_outages: 0, ..channel.params };
        Channel::new(ChannelSpec { params, ..channel.clone() })
    };
    let (mut kept, mut unkept) = (of(Order::Keep), of(Order::Free));
    let (mut delivered, mut growth, mut delay, mut held) = (0u64, 0f64, 0f64, 0u64);
    for index in 0..u64::from(stream.packets) {
        let now = Nanos(index.saturating_mul(stream.interval.0));
        let packet = Packet { now, len: stream.len, ..Packet::default() };
        let ordered = kept.decide(&packet);
        let own = unkept.decide(&packet);
        if ordered.cause == shaper_common::fate::Cause::None {
            let later = ordered.release.saturating_sub(own.release);
            delivered += 1;
            growth += later.0 as f64;
            delay += ordered.release.saturating_sub(now).0 as f64;
            held += u64::from(later > Nanos::ZERO);
        }
    }
    let count = delivered.max(1) as f64;
    [growth / count, delay / count, held as f64 / count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use shaper_common::delay::Jitter;

    fn channel(delay: u64, jitter: u64) -> ChannelSpec {
        ChannelSpec::plain(Params {
            seed: 7,
            delay: Nanos(delay),
            jitter: Nanos(jitter),
            jitter_kind: Jitter::Uniform as u32,
            ..Params::default()
        })
    }

    fn every(interval: u64) -> Stream {
        Stream { interval: Nanos(interval), len: 200, packets: 4_000 }
    }

    #[test]
    fn a_sparse_stream_is_not_shifted() {
        let shift = kept_order(&channel(50_000_000, 5_000_000), every(20_000_000));
        assert_eq!((shift.mean, shift.high, shift.held_share), (Nanos::ZERO, Nanos::ZERO, 0.0));
        assert!(shift.delay_mean.0.abs_diff(50_000_000) < 100_000);
    }

    #[test]
    fn two_packets_in_reach_shift_by_the_known_mean() {
        // Uniform on [0, 2j] each j: only the predecessor reaches. E max(0, U' - U - j) with U' - U
        // triangular on [-2j, 2j] is (1/4j^2) * integral_0^j x (j - x) dx = j/24.
        let jitter = 12_000_000;
        let shift = kept_order(&channel(jitter, jitter), every(jitter));
        assert!(shift.low < Nanos(jitter / 24) && Nanos(jitter / 24) < shift.high, "{shift:?}");
        // One packet's push-back has sigma sqrt(j^2/48 - j^2/576) = 0.138 j: the mean of 4,000 lies within
        // 10.8 * 0.138 j / sqrt(4000) = j / 42 from end to end.
        assert!(shift.high.0 - shift.low.0 < jitter / 30);
    }

    #[test]
    fn a_run_is_foretold_without_its_own_draws_and_still_met() {
        for seed in [0, 7, 845, u64::MAX] {
            let mut seeds: Vec<u64> = others(seed).collect();
            seeds.sort_unstable();
            seeds.dedup();
            assert_eq!((seeds.len() as u64, seeds.contains(&seed)), (SEEDS, false), "{seed}");
        }
        let stream = Stream { packets: 500, ..every(1_000_000) };
        for seed in 0..100 {
            let mut channel = channel(20_000_000, 5_000_000);
            channel.params.seed = seed;
            let [growth, ..] = one_seed(&channel, stream, seed);
            let shift = kept_order(&channel, stream);
            assert!((shift.low.0 as f64..=shift.high.0 as f64).contains(&growth), "{seed}: {growth} of {shift:?}");
        }
    }

    #[test]
    fn a_dense_stream_moves_towards_the_largest_delay() {
        let shift = kept_order(&channel(30_000_000, 30_000_000), every(10_000));
        assert!(shift.delay_mean > Nanos(58_000_000) && shift.delay_mean <= Nanos(60_000_000), "{shift:?}");
        assert!(shift.held_share > 0.9);
    }
}
