//! The special functions that the checks rest on.

/// The natural logarithm of the gamma function, for `x > 0`.
///
/// Source: Lanczos, "A Precision Approximation of the Gamma Function", 1964, with Godfrey's coefficients
/// for g = 7, n = 9: 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const FIRST: f64 = 0.999_999_999_999_809_9;
    const REST: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = REST.iter().zip(1..).fold(FIRST, |sum, (c, i)| sum + c / (x + f64::from(i)));
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The regularised incomplete beta function I_x(a, b), for `a, b > 0`.
///
/// Source: DLMF 8.17.22, the continued fraction, by Lentz's method; the symmetry 8.17.4 keeps it where it
/// converges fast.
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    let value = if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    };
    value.clamp(0.0, 1.0)
}

/// The continued fraction of the incomplete beta function.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    /// The fraction converges in about sqrt(max(a, b)) steps: enough for 10^9 packets.
    const STEPS: u32 = 200_000;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The probability that Kolmogorov's statistic exceeds `x`.
///
/// Source: Kolmogorov, 1933: 2 sum (-1)^(k-1) exp(-2 k^2 x^2); for small `x`, where that converges slowly,
/// its theta-function form, 1 - sqrt(2 pi)/x sum exp(-(2k-1)^2 pi^2 / (8 x^2)).
pub(super) fn kolmogorov_exceeds(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x <= 0.0 {
        return 1.0;
    }
    let exceeds = if x < 1.18 {
        let sum: f64 = (1..=4).map(|k| (-(f64::from(2 * k - 1) * PI / x).powi(2) / 8.0).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / x * sum
    } else {
        let term = |k: i32| (-2.0 * (f64::from(k) * x).powi(2)).exp();
        2.0 * (1..=5).map(|k| if k % 2 == 1 { term(k) } else { -term(k) }).sum::<f64>()
    };
    exceeds.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_gives_factorials_and_the_root_of_pi() {
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-13);
        let mut ln_factorial = 0.0;
        for n in 1..=170u32 {
            ln_factorial += f64::from(n).ln();
            let error = (ln_gamma(f64::from(n) + 1.0) - ln_factorial).abs();
            assert!(error < 1e-13 * ln_factorial.max(1.0), "{n}!: off by {error:e}");
        }
    }

    #[test]
    fn incomplete_beta_is_the_binomial_tail() {
        // P(X >= k) = I_p(k, n - k + 1), summed directly.
        for (n, k, p) in [(4u32, 2u32, 0.5f64), (20, 1, 0.01), (50, 30, 0.4), (100, 7, 0.05), (60, 60, 0.9)] {
            let mut probability = (1.0 - p).powi(n as i32);
            let mut tail = if k == 0 { probability } else { 0.0 };
            for i in 1..=n {
                probability *= f64::from(n - i + 1) / f64::from(i) * p / (1.0 - p);
                tail += if i >= k { probability } else { 0.0 };
            }
            let beta = incomplete_beta(f64::from(k), f64::from(n - k + 1), p);
            assert!((beta - tail).abs() < 1e-12, "n {n}, k {k}, p {p}: {beta} against {tail}");
        }
        assert!((incomplete_beta(2.0, 3.0, 0.5) - 0.6875).abs() < 1e-14);
    }

    #[test]
    fn incomplete_beta_holds_for_a_hundred_million_packets() {
        // Around the mean of a large symmetric beta the function is one half.
        let beta = incomplete_beta(5e7, 5e7, 0.5);
        assert!((beta - 0.5).abs() < 1e-6, "{beta}");
    }

    #[test]
    fn kolmogorov_gives_the_tabulated_values() {
        for (x, exceeds) in
            [(0.5, 0.963_945_2), (1.0, 0.269_999_7), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001), (2.2253, 1e-4)]
        {
            let got = kolmogorov_exceeds(x);
            assert!((got / exceeds - 1.0).abs() < 1e-3, "x = {x}: {got} against {exceeds}");
        }
        let (below, above) = (kolmogorov_exceeds(1.18 - 1e-9), kolmogorov_exceeds(1.18));
        assert!((below - above).abs() < 1e-8, "the two series meet: {below} and {above}");
    }
}
