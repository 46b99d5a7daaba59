//! What became of the packets between two capture points, taken in one by one: memory does not grow with them.

use maud::html;

use super::super::HtmlError;
use super::super::bins::{Cloud, Fates, Histogram, Stretches};
use super::super::chart::{Figure, Frame, HEIGHT, figure};
use super::super::charts::{self, MARGIN, NS_PER_MS, NS_PER_S, Plot, above, plain, swatch};
use super::super::data::MOST_TICKS;
use super::super::departures::{Reordering, Runs};
use super::super::link_charts::{self, Lengths};
use super::super::palette::{LOSS, MEASURED};
use crate::words;

/// The packets of one direction.
#[derive(Clone, Debug, Default)]
pub struct PathPlot {
    /// Delays are above the smallest one, as clocks do not tell more.
    is_variation: bool,
    delays: Cloud,
    distribution: Histogram<7>,
    /// Delays below 0, which a bound of the clocks allows.
    below: u64,
    over_time: Stretches<Fates>,
    n: u64,
    lost: u64,
    first_lost: Vec<u64>,
    last_ns: u64,
    runs: Runs,
    reordering: Reordering,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFate {
    /// It came.
    Arrived {
        /// Its one-way delay in nanoseconds, where that is to count.
        delay_ns: Option<i64>,
        /// Its reordering extent (RFC 4737 section 4.2.1), if it was reordered.
        extent: Option<u64>,
    },
    /// It did not.
    Lost,
    /// Nobody knows.
    Unknown,
}

/// The plots of each kind, those of all directions beside each other.
pub(super) fn figures(paths: &[(String, PathPlot)]) -> Result<Vec<Figure>, HtmlError> {
    let kinds: [fn(&PathPlot, &str) -> Plot; 5] = [
        PathPlot::delay_over_time,
        PathPlot::distribution,
        PathPlot::lost_over_time,
        PathPlot::losses,
        PathPlot::reordered,
    ];
    let mut figures = Vec::new();
    for kind in kinds {
        for (name, plot) in paths {
            figures.extend(kind(plot, name)?);
        }
    }
    Ok(figures)
}

impl PathPlot {
    /// Of packets whose delays are known only above the smallest one, as clocks do not tell more.
    #[must_use]
    pub fn of_variation() -> Self {
        Self { is_variation: true, ..Self::default() }
    }

    /// The next packet in the order of sending; `at_ns` counts from the beginning of the captures.
    pub fn push(&mut self, at_ns: u64, fate: PathFate) {
        self.n += 1;
        self.last_ns = self.last_ns.max(at_ns);
        match fate {
            PathFate::Arrived { delay_ns, extent } => {
                self.runs.ended();
                self.over_time.at(at_ns).push(None);
                self.reordering.left += 1;
                if let Some(extent) = extent {
                    self.reordering.reordered(extent);
                }
                if let Some(delay_ns) = delay_ns {
                    let delay = u64::try_from(delay_ns).unwrap_or(0);
                    self.below += u64::from(delay_ns < 0);
                    self.delays.push(at_ns, delay);
                    self.distribution.push(delay);
                }
            }
            PathFate::Lost => {
                self.runs.dropped();
                self.lost += 1;
                self.over_time.at(at_ns).push(Some(LOSS.class));
                if self.first_lost.len() < MOST_TICKS {
                    self.first_lost.push(at_ns);
                }
            }
            PathFate::Unknown => self.runs.ended(),
        }
    }

    /// Packets taken in.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.n
    }

    /// When the last packet was sent, in seconds.
    fn end_s(&self) -> f64 {
        (self.last_ns as f64 / NS_PER_S).max(1e-3)
    }

    fn lost_over_time(&self, name: &str) -> Plot {
        if self.lost == 0 {
            return Ok(None);
        }
        let known = self.reordering.left + self.lost;
        charts::fates_over_time(&format!("Loss over time, {name}"), &self.over_time, known, self.end_s())
    }

    fn reordered(&self, name: &str) -> Plot {
        let what = "arrived after a later packet, by how many places";
        link_charts::extents(name, &self.reordering, what, "Within each flow")
    }

    const fn delay(&self) -> &'static str {
        if self.is_variation { "delay above the smallest" } else { "one-way delay" }
    }

    fn below_zero(&self) -> String {
        if self.below == 0 {
            return String::new();
        }
        format!("{} below 0, within the bound of the clocks, are shown as 0", words::count(self.below))
    }

    fn delay_over_time(&self, name: &str) -> Plot {
        let end_s = self.end_s();
        if self.delays.n() == 0 {
            return Ok(None);
        }
        let top = above(self.delays.most() as f64 / NS_PER_MS);
        let (mut shapes, binned) = charts::cloud(&self.delays, top);
        // Too many to be told apart say nothing that losses over time do not say better.
        let ticked = self.lost > 0 && self.lost <= MOST_TICKS as u64;
        if ticked {
            shapes.extend(charts::ticks(self.first_lost.iter().copied(), &LOSS, end_s, top));
        }
        let frame = charts::frame_over_time(end_s, top, "delay in ms");
        let what = self.delay();
        let binned_words = format!("{what}: smallest to largest, median as a line");
        let caption = html! {
            (swatch(&MEASURED, if binned { &binned_words } else { what }))
            @if ticked { (swatch(&LOSS, "lost (along the top)")) }
            (self.below_zero())
        };
        let title = format!("Delay over time, {name}");
        let description = format!("{what} of {} packets; {} were lost.", self.delays.n(), self.lost);
        figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
    }

    fn distribution(&self, name: &str) -> Plot {
        if self.distribution.n() == 0 {
            return Ok(None);
        }
        let ms = |ns: u64| ns as f64 / NS_PER_MS;
        let right = 1.05 * ms(self.distribution.most()).max(0.001);
        let shapes = [charts::distribution(&self.distribution, right)];
        let title_of_axis = format!("{} in ms", self.delay());
        let frame = Frame {
            x: (0.0, right),
            y: (0.0, 100.0),
            x_title: &title_of_axis,
            y_title: "packets in %",
            x_labels: 6,
            x_label: &plain,
            y_label: &plain,
        };
        let caption = html! {
            (swatch(&MEASURED, "delivered with at most so much"))
            "lost packets do not count"
        };
        let title = format!("Distribution of delay, {name}");
        let description = format!("Share of {} packets with at most so much {}.", self.distribution.n(), self.delay());
        figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
    }

    fn losses(&self, name: &str) -> Plot {
        let Some(Lengths { runs, dropped, longest, beyond, shares }) = Lengths::of(&self.runs) else { return Ok(None) };
        let bars = shares.len();
        let frame = Frame {
            x: (0.0, bars as f64 + 1.0),
            y: (0.0, above(shares.iter().copied().fold(0.0, f64::max))),
            x_title: "packets lost in a row",
            y_title: "runs in %",
            x_labels: 8,
            x_label: &link_charts::whole,
            y_label: &plain,
        };
        let caption = html! {
            (swatch(&LOSS, "loss periods (RFC 3357)"))
            "mean " (words::figure(dropped as f64 / runs as f64)) ". "
            @if beyond > 0 { "The last bar is of " (bars) " and more. " }
            "The longest was of " (words::count(longest))
        };
        let title = format!("Losses in a row, {name}");
        let description = format!("{runs} runs of {dropped} lost packets, the longest of {longest}.");
        figure(&title, &description, &frame, MARGIN, HEIGHT, &[link_charts::runs_as_bars(&shares)], caption).map(Some)
    }
}
