//! A distribution for netem: 4096 quantiles in 8192nds of the jitter, which netem holds in 16 bits. So it ends at 4
//! jitters on either side; what is beyond is put there.

use super::super::import::dist::{SIGMA, values};
use super::{ExportError, Exported, read};
use crate::distribution::normal_cdf;
use crate::effect::Distribution;
use crate::profile::Direction;

const VALUES: u32 = 4_096;
const LARGEST: f64 = 32_767.0;

pub(super) fn table(direction: &Direction) -> Result<Exported, ExportError> {
    if !direction.has_jitter() {
        return Err(ExportError::Nothing {
            target: "dist",
            problem: "there is no jitter that had a distribution".to_owned(),
            hint: "set one, for example jitter = \"5ms\"".to_owned(),
        });
    }
    let normal = quantile_of_normal;
    let quantile: &dyn Fn(f64) -> f64 = match &direction.distribution {
        Distribution::Uniform => &|share| 2.0 * share - 1.0,
        Distribution::Normal => &normal,
        Distribution::Pareto => &pareto,
        Distribution::ParetoNormal => {
            let width = pareto_normal_deviation();
            &move |share| (0.25 * normal(share) + 0.75 * pareto(share)) / width
        }
        Distribution::Table(path) => {
            let text = read(path)?;
            values(&text).map_err(|wrong| ExportError::File {
                path: format!("{path}:{}", wrong.line),
                problem: format!("it is no table of netem's: {}; {}", wrong.problem, wrong.hint),
            })?;
            return Ok(Exported { text, unsaid: Vec::new() });
        }
    };
    let mut text = format!("# {} with jitter 1, for tc's library folder\n", direction.distribution);
    let mut cut = 0u32;
    for number in 0..VALUES {
        let exact = quantile((f64::from(number) + 0.5) / f64::from(VALUES)) * SIGMA;
        cut += u32::from(exact.abs() > LARGEST);
        let value = exact.clamp(-LARGEST, LARGEST).round();
        text += &format!("{value:6}{}", if number % 8 == 7 { '\n' } else { ' ' });
    }
    let mut unsaid = Vec::new();
    if cut > 0 {
        unsaid.push(format!("the table ends at 4 jitters: {cut} of {VALUES} values are beyond, and are put there"));
    }
    if direction.distribution == Distribution::Normal {
        unsaid.push("4096 values reach to 3.7 jitters of the normal distribution".to_owned());
    }
    Ok(Exported { text, unsaid })
}

/// By bisection: 4096 of them are no work.
fn quantile_of_normal(share: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_cdf(middle) < share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Of shape 3, moved to mean 0 and deviation 1: mean 3/2 and variance 3/4 are those of `u^(-1/3)`.
fn pareto(share: f64) -> f64 {
    ((1.0 - share).powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt()
}

/// The standard deviation of a quarter normal and three quarters Pareto at the same share: `1/16 + 9/16 + 6/16 c`, with
/// the covariance `c` as the mean product at the middles of equal shares.
fn pareto_normal_deviation() -> f64 {
    let parts = 1u32 << 14;
    let product = |part: u32| {
        let share = (f64::from(part) + 0.5) / f64::from(parts);
        quantile_of_normal(share) * pareto(share)
    };
    let covariance = (0..parts).map(product).sum::<f64>() / f64::from(parts);
    (10.0 / 16.0 + 6.0 / 16.0 * covariance).sqrt()
}
