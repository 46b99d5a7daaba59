//! For how long packets are held, by whatever settings a link ever has: what a delay line must have room for.

use shaper_channel::{ChannelSpec, Tables, Trace};
use shaper_common::delay::Jitter;
use shaper_common::layout::{Params, flags};
use shaper_common::order::Order;
use shaper_common::quantile::Quantiles;
use shaper_common::units::Nanos;

use crate::compile::{CompiledDirection, CompiledLink};
use crate::distribution::DelayDistribution;
use crate::expected::LARGEST_SHARE;

/// For how long a packet is held; where jitter has a tail, one of the share [`LARGEST_SHARE`].
///
/// A bottleneck's queue is full, and a slot opens a whole gap after the packet was ready. That slots have room for fewer
/// packets than come is not reckoned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// From a packet's arrival until it, or the last of its copies, leaves.
    pub longest: Nanos,
    /// The time for which a packet and its copies take frames, all added up: of copies as many as there are in the mean.
    /// Each is there from the packet's arrival until it leaves itself. Packets a second times this are the frames taken
    /// at a time (Little's law).
    pub frames: Nanos,
}

impl Held {
    /// By the settings of a channel, the longest that it ever has.
    #[must_use]
    pub fn of(channel: &ChannelSpec) -> Self {
        let trace = channel.trace.as_ref();
        let each = channel.all().map(|(params, tables)| Self::by(params, tables, trace));
        each.fold(Self::default(), Self::or)
    }

    fn by(params: &Params, tables: &Tables, trace: Option<&Trace>) -> Self {
        let slots = &params.slots;
        let of_slots = Params { delay: slots.gap, jitter: slots.spread, jitter_kind: slots.kind, ..Params::default() };
        let gap = match tables.slot.as_deref().filter(|_| slots.kind == Jitter::Table as u32) {
            Some(quantiles) => crate::distribution::quantile(quantiles, LARGEST_SHARE),
            None => longest(&DelayDistribution::of(&of_slots)),
        };
        let alone = [delay(params, tables.delay.as_deref(), trace), queue(params, trace), gap];
        let alone = alone.into_iter().fold(Nanos::ZERO, Nanos::saturating_add);
        if params.duplicate.chance.is_never() {
            return Self { longest: alone, frames: alone };
        }
        // Copies are served within the queue's limit, so only what lies between them comes to its time.
        let copies = u64::from(params.duplicate.copies);
        let spacing = params.duplicate.spacing.0;
        let longest = alone.saturating_add(Nanos(spacing.saturating_mul(copies)));
        // Behind the last copy waits what must keep its order.
        let own = if params.order == Order::Keep as u32 { longest } else { alone };
        let of_copies = alone.0 as f64 * copies as f64 + spacing as f64 * (copies * (copies + 1) / 2) as f64;
        let chance = params.duplicate.chance.after.first().map_or(0.0, |chance| chance.0 as f64 / 2f64.powi(32));
        Self { longest, frames: own.saturating_add(Nanos((chance * of_copies).ceil() as u64)) }
    }

    /// The longer of each.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { longest: self.longest.later_of(other.longest), frames: self.frames.later_of(other.frames) }
    }
}

fn delay(params: &Params, quantiles: Option<&Quantiles>, trace: Option<&Trace>) -> Nanos {
    let follows = params.flags & (flags::DELAY_STEPS | flags::DELAY_PACKETS) != 0;
    let base = trace.filter(|_| follows).map_or(params.delay, Trace::longest_delay);
    match quantiles.filter(|_| params.jitter_kind == Jitter::Table as u32) {
        // The table is about the settings' own delay.
        Some(quantiles) => {
            crate::distribution::quantile(quantiles, LARGEST_SHARE).saturating_add(base).saturating_sub(params.delay)
        }
        None => longest(&DelayDistribution::of(&Params { delay: base, ..*params })),
    }
}

fn longest(distribution: &DelayDistribution) -> Nanos {
    match distribution.kind() {
        Jitter::None | Jitter::Uniform => distribution.max(),
        Jitter::Normal | Jitter::Table => distribution.quantile(LARGEST_SHARE),
    }
}

/// Until a packet is through the bottleneck, where that is full; of full packets, if they are counted.
pub(crate) fn queue(params: &Params, trace: Option<&Trace>) -> Nanos {
    if params.flags & flags::RATE_STEPS != 0
        && let Some(Trace::Steps(steps)) = trace
    {
        let packets = params.full_work.saturating_mul(params.queue_packets.into());
        let work = if params.queue_packets == 0 { params.queue_work } else { packets.min(params.queue_work) };
        return if work == u64::MAX { params.queue } else { steps.longest_service(work).min(params.queue) };
    }
    match (params.rate.0, params.queue_packets) {
        (0, _) => Nanos::ZERO,
        (_, 0) => params.queue,
        (_, packets) => Nanos(params.full_packet.0.saturating_mul(packets.into()).min(params.queue.0)),
    }
}

impl CompiledDirection {
    /// For how long packets are held, whatever rule they go by.
    #[must_use]
    pub fn held(&self) -> Held {
        let channels = std::iter::once(&self.channel).chain(&self.rules.channels);
        channels.map(Held::of).fold(Held::default(), Held::or)
    }
}

impl CompiledLink {
    /// For how long packets are held, whichever way they go.
    #[must_use]
    pub fn held(&self) -> Held {
        self.a_to_b.held().or(self.b_to_a.held())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compile;
    use crate::quantity::Duration;

    fn held(text: &str) -> Held {
        let run = Compile { seed: 1, link: 0, horizon: Duration::from_millis(1_000) };
        crate::presets::parse("test", "test", text).unwrap().link.compile(&run).unwrap().held()
    }

    fn ms(longest: u64, frames: u64) -> Held {
        Held { longest: Nanos(longest * 1_000_000), frames: Nanos(frames * 1_000_000) }
    }

    #[test]
    fn a_packet_takes_a_frame_for_as_long_as_it_is_held() {
        assert_eq!(held(""), ms(0, 0));
        assert_eq!(held("delay = \"20ms\"\njitter = \"5ms\"\n"), ms(25, 25));
        assert_eq!(held("delay = \"20ms\"\nrate = \"10mbit\"\nqueue = \"50ms\"\n"), ms(70, 70));
        assert_eq!(held("delay = \"20ms\"\nslot = \"30ms\"\n"), ms(50, 50));
        // 1514 bytes at 12.112 Mbit/s take a millisecond.
        assert_eq!(held("rate = \"12112kbit\"\nqueue = \"40p\"\n"), ms(40, 40));
        let normal = held("delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"normal\"\n").longest.0;
        // The normal quantile of 0.999999 is 4.753.
        assert!(normal.abs_diff(43_767_000) < 20_000, "{normal}");
        let pareto = held("delay = \"20ms\"\njitter = \"5ms\"\ndistribution = \"pareto\"\n").longest.0;
        // (1e6^(1/3) - 3/2) / sqrt(3/4), five of them.
        assert!(pareto.abs_diff(588_690_000) < 600_000, "{pareto}");
    }

    #[test]
    fn copies_take_frames_as_often_as_there_are_any() {
        assert_eq!(held("delay = \"20ms\"\nduplicate = \"100%\"\n"), ms(20, 40));
        assert_eq!(held("delay = \"20ms\"\nduplicate = \"25% copies 4\"\n"), ms(20, 40));
        // Three copies, 30, 40 and 50 ms in their frames, for every second packet.
        assert_eq!(held("delay = \"20ms\"\nduplicate = \"50% copies 3 delay 10ms\"\n"), ms(50, 80));
        assert_eq!(held("delay = \"20ms\"\norder = \"keep\"\nduplicate = \"50% copies 3 delay 10ms\"\n"), ms(50, 110));
    }

    #[test]
    fn a_trace_holds_packets_for_its_longest_delay_and_over_its_longest_standstill() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.csv");
        let following = |trace: &str, also: &str| {
            std::fs::write(&path, trace).unwrap();
            held(&format!("trace = \"{}\"\n{also}", path.display()))
        };
        assert_eq!(following("delay_ms\n5\n90\n1\n", "jitter = \"10ms\"\n"), ms(100, 100));
        // 10 kB at a kilobyte a millisecond, and two seconds of nothing.
        let rates = "time_ms,rate_kbit,delay_ms\n0,8000,5\n1000,0,40\n3000,8000,10\n";
        let longest = following(rates, "queue = \"10kB\"\n").longest.0;
        assert!(longest.abs_diff(2_050_000_000) < 10_000, "{longest}");
        assert_eq!(following(rates, "queue = \"70ms\"\n"), ms(110, 110));
    }

    #[test]
    fn the_longest_is_that_of_any_time_rule_and_direction() {
        assert_eq!(held("delay = \"1ms\"\n[[change]]\nat = \"5s\"\ndelay = \"70ms\"\n"), ms(70, 70));
        assert_eq!(held("[[rule]]\nmatch = \"tcp\"\n[rule.up]\ndelay = \"70ms\"\n"), ms(70, 70));
        assert_eq!(held("delay = \"1ms\"\n[down]\ndelay = \"70ms\"\n"), ms(70, 70));
    }
}
