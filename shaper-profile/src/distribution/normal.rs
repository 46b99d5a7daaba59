//! The standard normal distribution in floating point.

/// The standard normal distribution function, to about 1e-15.
///
/// Abramowitz and Stegun 26.2.11 (series) up to 3, 26.2.14 (Laplace's continued fraction) beyond.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    let magnitude = z.abs();
    let tail = if magnitude > 3.0 {
        density(z) / (1..120).rev().fold(magnitude, |below, k| magnitude + f64::from(k) / below)
    } else {
        let (mut term, mut sum) = (magnitude, magnitude);
        for k in 1..60 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density(z) * sum
    };
    if z < 0.0 { tail } else { 1.0 - tail }
}

/// The standard normal density.
pub(super) fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The deviate whose upper tail holds this share, at most one half: to about 1e-12.
///
/// Newton's steps from the approximation 26.2.23 of Abramowitz and Stegun, which is off by 4.5e-4.
pub(super) fn upper_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let first =
        t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    (0..4).fold(first, |z, _| z + (normal_cdf(-z) - tail) / density(z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_cdf_is_that_of_published_tables() {
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-1.0, 0.158_655_253_931_457),
            (1.959_963_984_540_054, 0.975),
            (-3.090_232_306_167_814, 1e-3),
            (-4.753_424_308_822_899, 1e-6),
        ] {
            assert!((normal_cdf(z) / expected - 1.0).abs() < 1e-12, "{z}: {}", normal_cdf(z));
        }
        assert!((normal_cdf(3.0 - 1e-9) - normal_cdf(3.0 + 1e-9)).abs() < 1e-10);
    }

    #[test]
    fn the_upper_quantile_inverts_the_cdf() {
        for exponent in 0..330 {
            let tail = 0.5 * 10f64.powf(-f64::from(exponent) / 30.0);
            let z = upper_quantile(tail);
            assert!((normal_cdf(-z) / tail - 1.0).abs() < 1e-11, "{tail:e}: {z}");
        }
    }
}
