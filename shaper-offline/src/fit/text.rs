//! A fit for people: what was chosen, and the candidates with their distances.

use std::fmt;

use super::delay::{DelayFit, DelayModel, OrderVerdict};
use super::loss::{Distance, LossFit};
use super::{Bottleneck, Fit, LEAST_PACKETS, LossModel, Outages, Parameter};
use crate::stats::Interval;

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets", self.packets)?;
        if let Some(span) = self.span_ns {
            write!(f, " over {:.1} s", span as f64 / 1e9)?;
        }
        write!(f, ": {} arrived, {} lost", self.arrived, self.lost)?;
        if self.unknown > 0 {
            write!(f, ", {} of unknown fate or of a link that was down (left out)", self.unknown)?;
        }
        writeln!(f, "; {} blocks in time, every other one held out", self.blocks)?;
        for finding in self.not_fitted() {
            writeln!(f, "{finding}")?;
        }
        writeln!(f)?;
        self.loss.fmt(f)?;
        for line in self.loss_is_of() {
            writeln!(f, "  {line}")?;
        }
        writeln!(f)?;
        match &self.delay {
            Some(delay) => delay.fmt(f),
            None => writeln!(f, "delay  too few delays are known: none was fitted"),
        }
    }
}

impl Fit {
    /// What was seen and is not in the fit, in words.
    #[must_use]
    pub fn not_fitted(&self) -> Vec<String> {
        let outages = self.outages.as_ref().map(ToString::to_string);
        outages.into_iter().chain(self.bottleneck.as_ref().map(ToString::to_string)).collect()
    }

    /// What the loss is fitted to, in words, where that is less than all whose fate is known.
    #[must_use]
    pub fn loss_is_of(&self) -> Vec<String> {
        let LossFit { known, lost, .. } = self.loss;
        if known == (self.arrived + self.lost) as u64 {
            return Vec::new();
        }
        let is_full = self.bottleneck.is_some_and(|bottleneck| bottleneck.queue_ns.is_some());
        let mut lines =
            vec![format!("of {known} packets, {lost} of them lost: outages and what met a full queue are left out")];
        if known < LEAST_PACKETS as u64 {
            let instead = if is_full { ": send less than the link carries" } else { "" };
            lines.push(format!(
                "with fewer than {LEAST_PACKETS} the loss beside these is not known, whatever is said of it{instead}"
            ));
        }
        lines
    }
}

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: i64| ns as f64 / 1e9;
        let (shortest, longest) = (seconds(self.shortest_ns), seconds(self.longest_ns));
        match self.count {
            1 => write!(f, "{} losses in a row make {longest:.3} s without a single arrival", self.lost)?,
            count => write!(
                f,
                "{} losses cluster in {count} stretches of {shortest:.3} to {longest:.3} s (mean {:.3} s) without a single arrival",
                self.lost,
                seconds(self.mean_ns)
            )?,
        }
        match self.every_ns {
            Some(every) => write!(f, ", one every {:.3} s", seconds(every))?,
            None => write!(f, ", {:.4} a second", self.per_second)?,
        }
        write!(f, ": looks like outages, not fitted as such, and left out of the loss")
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delay grows with the backlog: looks like a bottleneck of about ")?;
        let rates = [(self.rate_bps.map(|rate| rate / 1e6), "Mbit/s"), (self.rate_pps, "packets/s")];
        let told: Vec<String> =
            rates.into_iter().filter_map(|(rate, unit)| Some(format!("{:.3} {unit}", rate?))).collect();
        write!(f, "{}", told.join(", "))?;
        if let Some(Interval { low, high }) = self.interval {
            let scale = if self.rate_bps.is_some() { 1e6 } else { 1.0 };
            write!(f, " (95 %: {:.3} to {:.3})", low / scale, high / scale)?;
        }
        let ms = |ns: i64| ns as f64 / 1e6;
        write!(f, ", not fitted; packets wait up to {:.1} ms", ms(self.longest_wait_ns))?;
        match self.queue_ns {
            Some(wait) => {
                write!(
                    f,
                    ", and are lost where {:.1} ms are queued: what was sent then is left out of the loss",
                    ms(wait)
                )
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for LossFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22} {:>12} {:>8} {:>8} {:>8} {:>8}",
            "loss", "log-lik.", "burst KS", "burst TV", "gap KS", "gap TV"
        )?;
        for candidate in &self.candidates {
            let held = &candidate.held_out;
            let log = held.log_likelihood.map_or("-".to_owned(), |log| format!("{log:.6}"));
            write!(f, "{:<22} {log:>12}", candidate.kind.name())?;
            for distance in [held.bursts, held.gaps] {
                let cell = |of: fn(Distance) -> f64| distance.map_or("-".to_owned(), |d| format!("{:.4}", of(d)));
                write!(f, " {:>8} {:>8}", cell(|d| d.ks), cell(|d| d.variation))?;
            }
            writeln!(f, "{}", if candidate.chosen { "  <- chosen" } else { "" })?;
        }
        for parameter in &self.chosen.parameters {
            let factor = if parameter.name == "burst" { 1.0 } else { 100.0 };
            writeln!(f, "  {}", Told(parameter, factor))?;
        }
        if let (LossModel::None, Some(interval)) = (self.chosen.model, self.ratio_interval) {
            writeln!(f, "  no packet was lost: 95 % of 0 to {:.4} %", interval.high * 100.0)?;
        }
        if let (1.., Some(mean)) = (self.longest_burst, self.burst) {
            writeln!(f, "  the longest burst is of {} packets, the mean of {mean:.2}", self.longest_burst)?;
        }
        match (self.accepted, self.bursts_accepted, self.gaps_accepted) {
            (Some(true), bursts, gaps) => {
                let which = match (bursts, gaps) {
                    (Some(_), Some(_)) => "bursts and gaps",
                    (Some(_), None) => "bursts",
                    _ => "gaps",
                };
                writeln!(f, "  {which} are no further from it than chance takes them")?;
            }
            (Some(false), ..) => writeln!(
                f,
                "  bursts or gaps are further from it than chance takes them: no candidate is this link; --trace is faithful"
            )?,
            (None, ..) => {}
        }
        match self.not_judged() {
            Some(which) => writeln!(
                f,
                "  accepted: not judged by {which}, of which one half of the blocks has no whole one: an outage looks so"
            ),
            None => Ok(()),
        }
    }
}

/// A parameter in its unit: what it is multiplied with, 100 for percent, 1e-6 for milliseconds, 1 for packets.
struct Told<'a>(&'a Parameter, f64);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Parameter { name, value, interval }, factor) = self;
        let (name, unit) = match *factor {
            100.0 => (*name, " %"),
            1.0 => (*name, " packets"),
            _ => (name.trim_end_matches("_ns"), " ms"),
        };
        write!(f, "{name} {:.4}{unit}", value * factor)?;
        match interval {
            Some(interval) => write!(f, " (95 %: {:.4} to {:.4})", interval.low * factor, interval.high * factor),
            None => write!(f, " (no interval)"),
        }
    }
}

impl fmt::Display for DelayFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>12} {:>12} {:>8} {:>14}", "delay", "delay ms", "jitter ms", "KS", "Wasserstein ms")?;
        for candidate in &self.candidates {
            let name = candidate.shape.map_or("table", super::Shape::name);
            write!(f, "{name:<22} {:>12.4} {:>12.4}", candidate.delay_ns / 1e6, candidate.jitter_ns / 1e6)?;
            write!(f, " {:>8.4} {:>14.4}", candidate.ks, candidate.wasserstein_ms)?;
            writeln!(f, "{}", if candidate.chosen { "  <- chosen" } else { "" })?;
        }
        let resolution = self.resolution_ns as f64 / 1e6;
        writeln!(
            f,
            "  {} delays, differences up to {resolution} ms not counted; KS of chance alone up to {:.4}",
            self.samples, self.noise
        )?;
        if !self.absolute {
            writeln!(
                f,
                "  the clocks are not known against each other: delays are above the smallest, which is not known"
            )?;
        }
        if let Some(share) = self.cut_share {
            writeln!(f, "  {:.1} % of packets lie at the smallest delay: jitter was cut there", share * 100.0)?;
        }
        for parameter in &self.parameters {
            writeln!(f, "  {}", Told(parameter, 1e-6))?;
        }
        if let DelayModel::Table { delay_ns, points } = &self.chosen {
            writeln!(f, "  base {:.4} ms, and a table of {} points above it", *delay_ns as f64 / 1e6, points.len())?;
        }
        if !self.accepted {
            writeln!(
                f,
                "  the held-out half is further from it than chance takes it: the link changes, or depends on its load"
            )?;
        }
        let correlation = &self.correlation;
        match (correlation.time_ns, correlation.interval_ns) {
            (Some(time), Some(interval)) => writeln!(
                f,
                "  correlation time {:.3} ms (95 %: {:.3} to {:.3})",
                time / 1e6,
                interval.low / 1e6,
                interval.high / 1e6
            )?,
            _ => writeln!(f, "  no correlation in time was found")?,
        }
        for lag in &correlation.lags {
            write!(f, "  {:>4} packets apart: {:>7.4}", lag.packets, lag.delays)?;
            write!(f, ", of normal scores {:>7.4}", lag.scores)?;
            match lag.fitted {
                Some(fitted) => writeln!(f, ", fitted {fitted:.4}")?,
                None => writeln!(f)?,
            }
        }
        let expected = self.order.expected_if_free.map_or("-".to_owned(), |expected| format!("{expected:.0}"));
        let seen = self.order.reordered;
        match self.order.verdict {
            OrderVerdict::Free => writeln!(f, "  order free: {seen} packets were overtaken ({expected} expected)"),
            OrderVerdict::Kept => {
                writeln!(
                    f,
                    "  order kept: no packet was overtaken, where {expected} would have been with a free order"
                )?;
                match self.order.left_worth {
                    Some(worth) => {
                        writeln!(
                            f,
                            "  what packets waited for those before them was taken off the delays: what is left tells as much \
                             as {worth:.0} would that waited for none"
                        )?;
                    }
                    None => writeln!(f, "  delays are as measured, with what packets waited for those before them")?,
                }
                if self.order.leaves_too_little() {
                    writeln!(
                        f,
                        "  that is too little to go by, and no shape or interval here is to be trusted: measure with packets \
                         further apart"
                    )?;
                }
                Ok(())
            }
            OrderVerdict::NotTold if self.order.expected_if_free.is_none() && self.order.same_stamp > 0 => writeln!(
                f,
                "  order not told: {} packets were sent at one stamp with another, too many to tell it",
                self.order.same_stamp
            ),
            OrderVerdict::NotTold => {
                writeln!(
                    f,
                    "  order not told: no packet was overtaken, and hardly any would have been with a free order"
                )
            }
        }
    }
}
