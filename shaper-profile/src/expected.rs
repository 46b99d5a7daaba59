//! What a compiled direction will do, said beforehand.

use shaper_channel::{ChannelSpec, Tables};
use shaper_common::delay::Jitter;
use shaper_common::layout::Params;
use shaper_common::outage::Window;
use shaper_common::units::Nanos;

use crate::distribution::DelayDistribution;
use crate::loss::LossOutcome;
use crate::profile::{Direction, FULL_PACKET, Order, Outages};
use crate::quantity::Duration;
use crate::shift::{self, Shift, Stream};

/// The share of packets whose delay the largest one-way delay covers where jitter has a tail: normal, or by a table.
pub const LARGEST_SHARE: f64 = 0.999_999;

/// Loss, delays and outages as they will come out.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Loss in the long run, by the 32-bit thresholds.
    pub loss: LossOutcome,
    /// The distribution of delays after their cut at zero, queueing not included.
    pub delay: DelayDistribution,
    /// The longest one-way delay: of the share [`Self::largest_share`] of packets, with a full queue.
    pub largest_delay: Nanos,
    /// 1 where no packet takes longer than [`Self::largest_delay`], else [`LARGEST_SHARE`].
    pub largest_share: f64,
    /// The share of the horizon in which the link is down, from the actual windows.
    pub outage_share: f64,
    /// The windows, since the link's start.
    pub windows: Vec<Window>,
    /// The time the outages are made for.
    pub horizon: Duration,
    direction: Direction,
    params: Params,
    tables: Tables,
    varies: bool,
    outages: Outages,
    round_trip: Nanos,
}

/// What is foretold of.
pub(crate) struct Foretold<'a> {
    pub(crate) direction: &'a Direction,
    /// By how much a trace's longest delay and queueing are above its means.
    pub(crate) longest: Nanos,
    pub(crate) channel: &'a ChannelSpec,
    pub(crate) delay: DelayDistribution,
    pub(crate) outages: &'a Outages,
    pub(crate) windows: &'a [Window],
    pub(crate) horizon: Duration,
    /// The mean delays of both directions.
    pub(crate) round_trip: Nanos,
}

impl Expected {
    pub(crate) fn new(foretold: Foretold<'_>) -> Self {
        let Foretold { direction, longest, channel, delay, outages, windows, horizon, round_trip } = foretold;
        let has_tail = matches!(delay.kind(), Jitter::Normal | Jitter::Table);
        let largest_share = if has_tail { LARGEST_SHARE } else { 1.0 };
        Self {
            loss: direction.loss.outcome(),
            largest_delay: delay.quantile(largest_share).saturating_add(direction.queue_time()).saturating_add(longest),
            delay,
            largest_share,
            outage_share: crate::outages::share(windows, horizon.0),
            windows: windows.to_vec(),
            horizon,
            direction: direction.clone(),
            params: channel.params,
            tables: channel.tables.clone(),
            varies: channel.varies(),
            outages: outages.clone(),
            round_trip,
        }
    }

    /// The settings as they were written.
    #[must_use]
    pub const fn direction(&self) -> &Direction {
        &self.direction
    }

    /// Whether losses are correlated, rather than each packet being lost on its own.
    #[must_use]
    pub const fn is_correlated(&self) -> bool {
        self.params.has_chain != 0 || self.params.period != 0
    }

    /// The same with these outages, as they were written and as they come.
    #[must_use]
    pub fn with_outages(self, outages: Outages, windows: Vec<Window>) -> Self {
        Self { outage_share: crate::outages::share(&windows, self.horizon.0), windows, outages, ..self }
    }

    /// The outages as they were written.
    #[must_use]
    pub const fn outages(&self) -> &Outages {
        &self.outages
    }

    /// By how much a kept order lengthens delays on this stream; `None` where the order is free, and where settings
    /// change or follow a trace.
    #[must_use]
    pub fn shift(&self, stream: Stream) -> Option<Shift> {
        (self.direction.order == Order::Keep && !self.varies).then(|| {
            let spec = ChannelSpec { tables: self.tables.clone(), ..ChannelSpec::plain(self.params) };
            shift::kept_order(&spec, stream)
        })
    }

    /// What the settings do to themselves, with the figure that comes out: a short sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(self.cut());
        warnings.extend(self.small_queue());
        warnings.extend(self.no_outage());
        warnings
    }

    /// As [`Self::warnings`], and what a kept order does to this stream.
    #[must_use]
    pub fn warnings_on(&self, stream: Stream) -> Vec<String> {
        let mut warnings = self.warnings();
        if let Some(shift) = self.shift(stream).filter(|shift| shift.mean > Nanos::ZERO) {
            let ms = |nanos: Nanos| nanos.0 as f64 / 1e6;
            warnings.push(format!(
                "order keep holds back {:.1} % of packets sent every {:#}: delays grow by {:.2} ms in the mean \
                 ({:.2} to {:.2} ms in 9,999 of 10,000 runs), to {:.2} ms",
                shift.held_share * 100.0,
                Duration(stream.interval),
                ms(shift.mean),
                ms(shift.low),
                ms(shift.high),
                ms(shift.delay_mean),
            ));
        }
        warnings
    }

    fn cut(&self) -> Option<String> {
        self.delay.is_cut().then(|| {
            format!(
                "jitter {:#} is cut at zero: {} of packets have no delay, and the mean is {:.1} ms instead of {:#}",
                self.direction.jitter,
                percent(self.delay.zero_share()),
                self.delay.mean().0 as f64 / 1e6,
                self.direction.delay,
            )
        })
    }

    fn small_queue(&self) -> Option<String> {
        if self.direction.rate.is_unlimited() {
            return None;
        }
        // A packet's own service is no queueing.
        let own = self.direction.service_time(self.direction.wire_bytes(FULL_PACKET));
        let waiting = self.direction.queue_time().saturating_sub(own);
        let round_trip = self.round_trip.saturating_add(own);
        if waiting >= round_trip {
            return None;
        }
        let beta = waiting.0 as f64 / round_trip.0 as f64;
        Some(format!(
            "queue {:#} ({:#}) is smaller than the bandwidth-delay product ({:#} at {:#}): one TCP flow with Reno's \
             sawtooth gets about {:.0} % of the rate, before any loss",
            self.direction.queue.unwrap_or(crate::quantity::QueueLimit::Time(crate::profile::DEFAULT_QUEUE)),
            Duration(self.direction.queue_time()),
            Duration(round_trip),
            self.direction.rate,
            sawtooth(beta) * 100.0,
        ))
    }

    fn no_outage(&self) -> Option<String> {
        let mean = self.outages.rate.per_second() * self.horizon.as_secs_f64();
        (mean > 0.0 && self.windows.is_empty())
            .then(|| format!("no outage begins within {:#} with this seed ({mean:.2} would in the mean)", self.horizon))
    }
}

/// The share of the rate that additive increase and halving leave when the queue is `beta` bandwidth-delay
/// products, for `beta` below 1.
///
/// The window climbs from `(1+beta)/2` to `1+beta` products, one packet a round trip. Below one product the
/// link idles in part and the round trip is bare; above it the link is full and the round trip grows
/// with the queue. Packets sent over packets that fit, of one climb.
fn sawtooth(beta: f64) -> f64 {
    let bare = (1.0 - beta) / 2.0;
    let sent_bare = bare * (3.0 + beta) / 4.0;
    let full = beta + beta * beta / 2.0;
    (sent_bare + full) / (bare + full)
}

/// A share in percent with as many digits as a person wants to read.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent < 0.1 { format!("{percent:.5}") } else { format!("{percent:.1}") };
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sawtooth_gives_three_quarters_without_a_queue_and_all_with_a_full_one() {
        assert!((sawtooth(0.0) - 0.75).abs() < 1e-12);
        assert!((sawtooth(1.0) - 1.0).abs() < 1e-12);
        assert!((1..100).all(|step| sawtooth(f64::from(step) / 100.0) > sawtooth(f64::from(step - 1) / 100.0)));
    }
}
