//! The `configured` block of a run's summary: plain numbers with their units in their names.

use serde::{Deserialize, Serialize};
use shaper_common::units::Nanos;

use crate::expected::Expected;
use crate::profile::{Distribution, Order};
use crate::quantity::Percent;
use crate::shift::{Shift, Stream};

/// What one direction was asked for, and what that must come out as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// Packets lost over packets in the long run, outside outage windows.
    pub loss: f64,
    /// Packets lost in a row in the mean; absent where each is lost on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_burst: Option<f64>,
    /// Base delay.
    pub delay_ms: f64,
    /// Half-width of uniform jitter, standard deviation of other jitter.
    pub jitter_ms: f64,
    /// The distribution of the jitter.
    pub distribution: Distribution,
    /// Whether packets may overtake.
    pub order: Order,
    /// Mean delay after the cut at zero, queueing not included.
    pub delay_mean_ms: f64,
    /// Share of packets with no delay.
    pub delay_zero_share: f64,
    /// Median delay after the cut.
    pub delay_p50_ms: f64,
    /// 95 % quantile.
    pub delay_p95_ms: f64,
    /// 99 % quantile.
    pub delay_p99_ms: f64,
    /// The longest delay with a full queue, of the share below.
    pub delay_largest_ms: f64,
    /// The share of packets that take no longer: 1 except for normal jitter.
    pub delay_largest_share: f64,
    /// Rate of the bottleneck; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bps: Option<u64>,
    /// Bytes counted beside each packet's own, fewer than its own where negative; absent without a bottleneck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_bytes: Option<i64>,
    /// The longest time from arrival until through the bottleneck; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
    /// Outages.
    pub outages: ConfiguredOutages,
    /// What a kept order adds on the stated stream; absent where the order is free or no stream was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_shift: Option<ConfiguredShift>,
    /// What the settings do to themselves.
    pub warnings: Vec<String>,
}

/// Outages asked for, and the windows the seed gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfiguredOutages {
    /// Random outages a second of the time the link is up.
    pub rate_per_s: f64,
    /// The mean length of a random outage.
    pub length_ms: f64,
    /// The time the windows are made for.
    pub horizon_s: f64,
    /// Share of that time in which the link is down.
    pub share: f64,
    /// The windows since the link's start, random and scheduled.
    pub windows: Vec<ConfiguredWindow>,
}

/// One outage window since the link's start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfiguredWindow {
    /// From here on nothing passes.
    pub start_ms: f64,
    /// From here on it passes again.
    pub end_ms: f64,
}

/// What a kept order adds to delays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfiguredShift {
    /// The stream's interval.
    pub interval_ms: f64,
    /// The length of its packets.
    pub packet_bytes: u32,
    /// How many there are.
    pub packets: u32,
    /// Mean growth.
    pub mean_ms: f64,
    /// Lower end of the interval that holds a single run's mean in 9,999 of 10,000.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
    /// Mean delay that results.
    pub delay_mean_ms: f64,
    /// Share of packets held back.
    pub held_share: f64,
}

fn ms(nanos: Nanos) -> f64 {
    nanos.0 as f64 / 1e6
}

impl From<Shift> for ConfiguredShift {
    fn from(shift: Shift) -> Self {
        Self {
            interval_ms: ms(shift.stream.interval),
            packet_bytes: shift.stream.len,
            packets: shift.stream.packets,
            mean_ms: ms(shift.mean),
            low_ms: ms(shift.low),
            high_ms: ms(shift.high),
            delay_mean_ms: ms(shift.delay_mean),
            held_share: shift.held_share,
        }
    }
}

impl Expected {
    /// The block for a summary; with a stream, also what a kept order does to it.
    #[must_use]
    pub fn configured(&self, stream: Option<Stream>) -> Configured {
        let direction = self.direction();
        let bottleneck = !direction.rate.is_unlimited();
        Configured {
            loss: direction.loss.ratio().map_or(self.loss.ratio, Percent::fraction),
            loss_burst: self.is_correlated().then_some(self.loss.burst),
            delay_ms: direction.delay.as_millis_f64(),
            jitter_ms: direction.jitter.as_millis_f64(),
            distribution: direction.distribution.clone(),
            order: direction.order,
            delay_mean_ms: ms(self.delay.mean()),
            delay_zero_share: self.delay.zero_share(),
            delay_p50_ms: ms(self.delay.quantile(0.5)),
            delay_p95_ms: ms(self.delay.quantile(0.95)),
            delay_p99_ms: ms(self.delay.quantile(0.99)),
            delay_largest_ms: ms(self.largest_delay),
            delay_largest_share: self.largest_share,
            rate_bps: bottleneck.then_some(direction.rate.0.0),
            overhead_bytes: bottleneck.then(|| direction.overhead.bytes()),
            queue_ms: bottleneck.then(|| ms(direction.queue_time())),
            outages: ConfiguredOutages {
                rate_per_s: self.outages().rate.per_second(),
                length_ms: self.outages().length.mean_millis(),
                horizon_s: self.horizon.as_secs_f64(),
                share: self.outage_share,
                windows: self
                    .windows
                    .iter()
                    .map(|window| ConfiguredWindow { start_ms: ms(window.start), end_ms: ms(window.end) })
                    .collect(),
            },
            order_shift: stream.and_then(|stream| self.shift(stream)).map(ConfiguredShift::from),
            warnings: match stream {
                Some(stream) => self.warnings_on(stream),
                None => self.warnings(),
            },
        }
    }
}
