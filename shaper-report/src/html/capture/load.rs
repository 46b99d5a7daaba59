//! How much passed over time.

use maud::html;

use super::super::bins::{Merge, Stretches};
use super::super::chart::{HEIGHT, Shape, figure};
use super::super::charts::{MARGIN, NS_PER_S, Plot, above, frame_over_time, swatch};
use super::super::palette::MEASURED;
use crate::words;

/// Bars at most.
const BARS: usize = 120;

/// Packets and bytes over time, taken in one by one.
#[derive(Clone, Debug, Default)]
pub struct LoadPlot {
    over_time: Stretches<Load>,
    packets: u64,
    bytes: u64,
    last_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: u64,
}

impl Merge for Load {
    fn merge(&mut self, later: Self) {
        self.bytes = self.bytes.saturating_add(later.bytes);
    }
}

impl LoadPlot {
    /// The next packet; `at_ns` counts from the beginning of the capture, `bytes` are those on the wire.
    pub fn push(&mut self, at_ns: u64, bytes: u32) {
        self.over_time.at(at_ns).merge(Load { bytes: bytes.into() });
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes.into());
        self.last_ns = self.last_ns.max(at_ns);
    }

    pub(super) fn figure(&self) -> Plot {
        // Of a moment there is no rate.
        if self.packets < 2 || self.last_ns == 0 {
            return Ok(None);
        }
        let fine = self.over_time.all();
        let together = fine.len().div_ceil(BARS).max(1);
        let width = together as f64 * self.over_time.width_s();
        let end_s = self.last_ns as f64 / NS_PER_S;
        let rates: Vec<f64> = fine
            .chunks(together)
            .enumerate()
            .map(|(place, bins)| {
                let bytes = bins.iter().fold(0_u64, |sum, bin| sum.saturating_add(bin.bytes));
                // The last stretch ends with the last packet, unless hardly anything is left of it.
                let long = (end_s - place as f64 * width).clamp(0.1 * width, width);
                bytes as f64 * 8.0 / long
            })
            .collect();
        let most = rates.iter().copied().fold(0.0, f64::max);
        let (scale, unit) = words::rate_unit(most);
        let corners = rates
            .iter()
            .enumerate()
            .filter(|(_, rate)| **rate > 0.0)
            .map(|(place, rate)| {
                let left = place as f64 * width;
                [(left, 0.0), ((left + 0.96 * width).min(end_s), rate / scale)]
            })
            .collect();
        let y_title = format!("rate in {unit}");
        let frame = frame_over_time(end_s, above(most / scale), &y_title);
        let mean = words::measured_rate(self.bytes as f64 * 8.0 / end_s);
        let caption = html! {
            (swatch(&MEASURED, "all packets, on the wire"))
            "mean of " (words::figure(width)) " s each; " (mean) " over all"
        };
        let description = format!("{} packets of {} bytes in {end_s:.3} s, {mean}.", self.packets, self.bytes);
        let shapes = [Shape::Boxes { corners, ink: MEASURED.light, opacity: 0.9 }];
        figure("Rate over time", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
    }
}
