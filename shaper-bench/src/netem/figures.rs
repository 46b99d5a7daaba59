//! From stamps to figures: how far from what was asked.

use anyhow::{Result, ensure};

use super::Figures;
use super::contender::Contender;
use super::probe::{Probed, seconds};
use super::setting::{BAD, DELAY, GOOD, JITTER, LOSS, RATE, RATE_FRAME, Setting};
use crate::stats;

/// The quantile of Kolmogorov's distribution for 95 %: so far apart are sample and distribution by chance alone.
const KOLMOGOROV: f64 = 1.358;
/// The normal quantile for 95 % between both.
const Z: f64 = 1.96;
/// Netem's tables end here, in sigma: 16 bits.
const TABLE_END: f64 = 32_767.0 / 8_192.0;

/// The shape of jitter, in units of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Uniform,
    Normal,
    Pareto,
}

impl Shape {
    /// What lies at or below, as `shaper` documents it (docs/impairments.md).
    fn share_below(self, x: f64) -> f64 {
        match self {
            Self::Uniform => x.midpoint(1.0).clamp(0.0, 1.0),
            Self::Normal => normal(x),
            Self::Pareto => pareto(x * 0.75f64.sqrt()),
        }
    }

    /// What lies at or below, as netem's tables have it: Pareto by 4/3, and all cut where 16 bits end.
    fn netem_share_below(self, x: f64) -> f64 {
        match self {
            Self::Uniform => self.share_below(x),
            _ if x >= TABLE_END => 1.0,
            Self::Normal => normal(x),
            Self::Pareto => pareto(x * 0.75),
        }
    }

    /// The quantile of a shape that netem has by a table, in sigma.
    pub(super) fn netem_quantile(self, probability: f64) -> f64 {
        match self {
            Self::Pareto => ((1.0 - probability).powf(-1.0 / 3.0) - 1.5) * 4.0 / 3.0,
            _ => self.quantile(probability),
        }
    }

    /// The quantile, by halving: the curves rise.
    fn quantile(self, probability: f64) -> f64 {
        let (mut low, mut high) = (-10.0, 1e4);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if self.share_below(middle) < probability { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }
}

/// Pareto of shape 3, moved to mean 0 but not scaled.
fn pareto(x: f64) -> f64 {
    if x < -0.5 { 0.0 } else { 1.0 - (x + 1.5).powi(-3) }
}

/// The normal distribution function, by the series of Abramowitz and Stegun, 26.2.10; beyond 6 it is 0 or 1 here.
fn normal(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-12 * sum.abs() {
        n += 1.0;
        // Times -x^2 / 2n, and by 2n + 1 instead of 2n - 1.
        term *= -x * x / (2.0 * n) * (2.0 * n - 1.0) / (2.0 * n + 1.0);
        sum += term;
    }
    0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
}

/// The greatest distance between a sample's distribution function and another (Kolmogorov and Smirnov).
fn distance(sorted: &[f64], share_below: impl Fn(f64) -> f64) -> f64 {
    let count = sorted.len() as f64;
    let at = |(number, x): (usize, &f64)| {
        let share = share_below(*x);
        (share - number as f64 / count).abs().max(((number + 1) as f64 / count - share).abs())
    };
    sorted.iter().enumerate().map(at).fold(0.0, f64::max)
}

/// Wilson's interval of a share of `count`.
fn interval(share: f64, count: f64) -> (f64, f64) {
    let middle = (share + Z * Z / (2.0 * count)) / (1.0 + Z * Z / count);
    let half = Z / (1.0 + Z * Z / count) * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    (middle - half, middle + half)
}

/// What the datagrams of a setting tell.
pub(super) fn of_probes(setting: Setting, contender: &Contender, probed: &Probed, figures: &mut Figures) -> Result<()> {
    let delays = stats::sorted(&probed.delays().collect::<Vec<_>>());
    ensure!(!delays.is_empty(), "nothing arrived");
    figures.insert("sent", probed.sent.len() as f64);
    figures.insert("received", delays.len() as f64);
    let asked = if contender.is_nothing() { 0.0 } else { DELAY };
    match setting {
        Setting::Delay | Setting::Rules(_) => {
            let off: Vec<f64> = delays.iter().map(|delay| delay - asked).collect();
            ensure!(delays.first().is_some_and(|least| *least >= 0.9 * asked), "packets passed without their delay");
            deviation(&off, figures);
        }
        Setting::Uniform | Setting::Normal | Setting::Pareto => {
            let Some(shape) = setting.shape() else { return Ok(()) };
            for (name, share) in [("median_us", 0.5), ("p99_us", 0.99)] {
                let asked = DELAY + JITTER * shape.quantile(share);
                figures.insert(name, 1e6 * (stats::quantile(&delays, share) - asked));
            }
            let by = |share_below: fn(Shape, f64) -> f64| {
                distance(&delays, |delay| share_below(shape, (delay - DELAY) / JITTER))
            };
            figures.insert("ks", by(Shape::share_below));
            if matches!(contender, Contender::Netem(_)) {
                figures.insert("ks_own", by(Shape::netem_share_below));
            }
            figures.insert("ks_chance", KOLMOGOROV / (delays.len() as f64).sqrt());
        }
        Setting::Random | Setting::Bursts => losses(setting, probed, figures),
        Setting::Rate => {
            deviation(&stats::sorted(&queueing(probed)), figures);
            rate(probed, figures);
        }
    }
    Ok(())
}

fn deviation(sorted: &[f64], figures: &mut Figures) {
    figures.insert("median_us", 1e6 * stats::quantile(sorted, 0.5));
    figures.insert("p99_us", 1e6 * stats::quantile(sorted, 0.99));
}

fn losses(setting: Setting, probed: &Probed, figures: &mut Figures) {
    let count = probed.arrived.len() as f64;
    let lost = probed.arrived.iter().filter(|arrived| arrived.is_none()).count() as f64;
    let bursts = probed.arrived.chunk_by(|a, b| a.is_some() == b.is_some()).filter(|run| run.contains(&None)).count();
    // Neighbours of a chain go together, and say less: by (1 + c) / (1 - c) with c = 1 - p - r.
    let (asked, burst, effective) = match setting {
        Setting::Bursts => {
            let correlation = 1.0 - BAD - GOOD;
            (BAD / (BAD + GOOD), 1.0 / GOOD, count * (1.0 - correlation) / (1.0 + correlation))
        }
        _ => (LOSS, 1.0 / (1.0 - LOSS), count),
    };
    let (low, high) = interval(lost / count, effective);
    figures.insert("loss", lost / count);
    figures.insert("loss_asked", asked);
    figures.insert("loss_low", low);
    figures.insert("loss_high", high);
    figures.insert("burst", lost / bursts.max(1) as f64);
    figures.insert("burst_asked", burst);
}

/// What packets came later than a bottleneck that serves one after another would have let them (Lindley, 1952).
fn queueing(probed: &Probed) -> Vec<f64> {
    let service = 8.0 * RATE_FRAME as f64 / RATE;
    let begin = probed.sent.first().copied().unwrap_or_default();
    let mut free = 0.0f64;
    let mut off = Vec::new();
    for (sent, arrived) in probed.sent.iter().zip(&probed.arrived) {
        free = free.max(seconds(begin, *sent)) + service;
        if let Some(arrived) = arrived {
            off.push(seconds(begin, *arrived) - free);
        }
    }
    off
}

/// Bits a second from the first to the last, as a share of what was asked.
fn rate(probed: &Probed, figures: &mut Figures) {
    let arrived: Vec<u64> = probed.arrived.iter().flatten().copied().collect();
    if let (Some(first), Some(last)) = (arrived.iter().min(), arrived.iter().max())
        && first < last
    {
        let bits = 8.0 * RATE_FRAME as f64 * (arrived.len() - 1) as f64;
        figures.insert("rate", bits / seconds(*first, *last) / RATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_has_its_known_values() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.959_963_985, 0.025), (3.0, 0.998_650_102)] {
            assert!((normal(x) - share).abs() < 1e-8, "{x}: {}", normal(x));
        }
    }

    #[test]
    fn quantiles_and_shares_are_each_others_inverse() {
        for shape in [Shape::Uniform, Shape::Normal, Shape::Pareto] {
            for share in [0.01, 0.3, 0.5, 0.99] {
                assert!((shape.share_below(shape.quantile(share)) - share).abs() < 1e-9, "{shape:?} {share}");
            }
        }
        for share in [0.01, 0.5, 0.9] {
            let back = Shape::Pareto.netem_share_below(Shape::Pareto.netem_quantile(share));
            assert!((back - share).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sample_of_quantiles_is_half_a_step_from_its_distribution() {
        let sample: Vec<f64> = (0..100).map(|n| Shape::Normal.quantile((f64::from(n) + 0.5) / 100.0)).collect();
        assert!((distance(&sample, |x| Shape::Normal.share_below(x)) - 0.005).abs() < 1e-6);
        assert!(distance(&sample, |x| Shape::Uniform.share_below(x)) > 0.1);
    }

    #[test]
    fn a_bottleneck_that_keeps_its_rate_is_never_off() {
        let service = (8.0 * RATE_FRAME as f64 / RATE * 1e9) as u64;
        let probed = Probed { sent: vec![0; 5], arrived: (1..=5).map(|number| Some(number * service)).collect() };
        assert!(queueing(&probed).iter().all(|off| off.abs() < 1e-8));
        let mut figures = Figures::new();
        rate(&probed, &mut figures);
        assert!((figures["rate"] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn bursts_are_counted_as_runs_of_what_is_missing() {
        let arrived = [1, 0, 0, 1, 0, 1, 1, 0, 0, 0].map(|came| (came == 1).then_some(1));
        let probed = Probed { sent: vec![0; 10], arrived: arrived.to_vec() };
        let mut figures = Figures::new();
        losses(Setting::Bursts, &probed, &mut figures);
        assert_eq!((figures["loss"], figures["burst"]), (0.6, 2.0));
    }
}
