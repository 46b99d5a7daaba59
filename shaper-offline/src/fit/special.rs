//! The normal and Student's distributions, as far as fitting needs them.

/// The quantile of the standard normal distribution, relatively within 1.2e-9.
///
/// P. J. Acklam's rational approximation (2003): one in the middle, one for both tails.
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416, 1.0];
    const TAIL: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let p = p.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON / 2.0);
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else if p > 1.0 - TAIL {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        -polynomial(&C, q) / polynomial(&D, q)
    } else {
        let q = p - 0.5;
        polynomial(&A, q * q) * q / polynomial(&B, q * q)
    }
}

/// The two-sided 95 % quantile of Student's distribution with so many degrees of freedom, within 1 % from 4 on.
///
/// The expansion by Cornish and Fisher in `1 / freedom` (Abramowitz and Stegun, 26.7.5).
pub(super) fn student_95(freedom: usize) -> f64 {
    let n = freedom.max(1) as f64;
    let z = 1.959_963_984_540_054f64;
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / n + second / (n * n) + third / n.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_54),
            (0.999, 3.090_232_306_168),
            (0.01, -2.326_347_874_041),
            (1e-6, -4.753_424_308_823),
        ] {
            assert!((normal_quantile(p) - z).abs() < 6e-9, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn student_quantiles_are_those_of_tables() {
        for (freedom, t) in [(4, 2.776), (9, 2.262), (19, 2.093), (39, 2.023), (1000, 1.962)] {
            assert!((student_95(freedom) / t - 1.0).abs() < 0.01, "{freedom}: {}", student_95(freedom));
        }
    }
}
