//! Estimated listening quality by the E-model (ITU-T G.107), for codecs whose impairment ITU-T G.113
//! tells.

use serde::Serialize;

/// Rating without impairment, with the default values of G.107.
const R0: f64 = 93.2;

/// Equipment impairment of a codec.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Codec {
    /// Impairment without loss.
    ie: f64,
    /// Robustness to loss.
    bpl: f64,
    assumes: &'static str,
}

/// An estimate from codec and loss alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Mean opinion score, 1 to 4.5, as the model estimates it.
    pub mos: f64,
    /// Transmission rating R, 0 to 93.2.
    pub r_factor: f64,
    /// Effective equipment impairment Ie,eff.
    pub ie_eff: f64,
    /// Loss put in, in percent.
    pub ppl_percent: f64,
    /// Burst ratio put in: mean length of loss runs over that of random loss of the same rate.
    pub burst_ratio: f64,
    /// What had to be assumed.
    pub assumes: &'static str,
}

/// Values of G.113 (11/2007), appendix I. Those of other codecs need parameters of the receiver, or
/// are not given for the narrow-band scale.
fn codec(payload_type: u8) -> Option<Codec> {
    Some(match payload_type {
        0 | 8 => Codec {
            ie: 0.0,
            bpl: 25.1,
            assumes: "no delay or echo, no loss in the jitter buffer, concealment as in G.711 appendix I",
        },
        4 => Codec {
            ie: 15.0,
            bpl: 16.1,
            assumes: "no delay or echo, no loss in the jitter buffer, G.723.1 at 6.3 kbit/s",
        },
        18 => Codec { ie: 11.0, bpl: 19.0, assumes: "no delay or echo, no loss in the jitter buffer, G.729A" },
        _ => return None,
    })
}

/// Estimates the quality: Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl), R = 93.2 - Ie,eff,
/// MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6. One point knows no delay, so its term is left out.
/// `None` for payload types whose codec is not known, and where nothing was expected.
#[must_use]
pub fn estimate(payload_type: u8, missing: u64, expected: u64, mean_run: Option<f64>) -> Option<Quality> {
    let codec = codec(payload_type)?;
    if expected == 0 {
        return None;
    }
    let loss = (missing as f64 / expected as f64).min(1.0);
    // Random loss has runs of 1 / (1 - Ppl); shorter ones count as random.
    let burst_ratio = mean_run.map_or(1.0, |run| run * (1.0 - loss)).max(1.0);
    let ppl = loss * 100.0;
    let ie_eff = codec.ie + (95.0 - codec.ie) * ppl / (ppl / burst_ratio + codec.bpl);
    let r = (R0 - ie_eff).max(0.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    Some(Quality {
        // The polynomial falls below 1 for very small R.
        mos: mos.max(1.0),
        r_factor: r,
        ie_eff,
        ppl_percent: ppl,
        burst_ratio,
        assumes: codec.assumes,
    })
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn without_loss_g711_has_the_highest_score_of_the_model() {
        let quality = estimate(0, 0, 1_000, None).unwrap();
        // 1 + 0.035 * 93.2 + 93.2 * 33.2 * 6.8 * 7e-6 = 4.4093.
        assert_eq!(quality.r_factor, 93.2);
        assert!((quality.mos - 4.4093).abs() < 1e-4, "{quality:?}");
    }

    #[test]
    fn loss_and_bursts_lower_it_as_computed_by_hand() {
        // G.729A, 2 % alone: 11 + 84 * 2 / (2 + 19) = 19; R = 74.2.
        let alone = estimate(18, 20, 1_000, Some(1.0)).unwrap();
        assert!((alone.ie_eff - 19.0).abs() < 1e-9 && (alone.r_factor - 74.2).abs() < 1e-9, "{alone:?}");
        // 1 + 0.035 * 74.2 + 74.2 * 14.2 * 25.8 * 7e-6 = 3.7873.
        assert!((alone.mos - 3.7873).abs() < 1e-4, "{alone:?}");
        let bursty = estimate(18, 20, 1_000, Some(5.0)).unwrap();
        assert!((bursty.burst_ratio - 4.9).abs() < 1e-9 && bursty.mos < alone.mos, "{bursty:?}");
    }

    #[test]
    fn unknown_codecs_have_no_score_and_total_loss_the_lowest() {
        assert_eq!([9, 26, 33, 96, 111].map(|payload_type| estimate(payload_type, 0, 100, None)), [None; 5]);
        assert_eq!(estimate(0, 0, 0, None), None);
        let worst = estimate(0, 100, 100, Some(100.0)).unwrap();
        assert!((1.0..1.6).contains(&worst.mos), "{worst:?}");
    }
}
