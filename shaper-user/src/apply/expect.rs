//! What is measured of what passes an interface, for what is demanded of it: `--expect 'loss.egress < 6%'`.

use shaper_common::fate::Cause;
use shaper_profile::expectation::{Expectation, Figure, Judged, Known, Measured, NoExpectation, Of, Statistic};

use super::figures::Figures;

/// The figures of an interface.
const KNOWN: Known<'_> = Known {
    figures: &[Figure::Loss, Figure::Arrived, Figure::Out, Figure::Lateness],
    statistics: &[Statistic::P50, Statistic::P99, Statistic::Max],
    ..Known::NOTHING
};

/// Reads an expectation that an interface can be held to.
///
/// # Errors
///
/// What is none, and what is not measured here.
pub(crate) fn expectation(text: &str) -> Result<Expectation, NoExpectation> {
    let expectation: Expectation = text.parse()?;
    expectation.among(&KNOWN)?;
    Ok(expectation)
}

/// Whether it holds of these directions.
pub(super) fn judge(expectation: &Expectation, directions: &[Figures]) -> Judged {
    let figures = match expectation.of {
        Of::Direction(direction) => directions.get(direction),
        Of::Named(_) | Of::All => None,
    };
    expectation.judge(figures.and_then(|figures| measure(expectation, figures)))
}

/// The figure; none where no packet came that it could be of.
fn measure(expectation: &Expectation, figures: &Figures) -> Option<Measured> {
    let Figures { arrived, out, dropped, lateness_ns, .. } = figures;
    match expectation.figure {
        Figure::Loss => {
            let by_link =
                |name: &str| Cause::ALL.into_iter().any(|cause| cause.name() == name && !cause.is_of_the_harness());
            let lost = dropped.iter().filter(|(cause, _)| by_link(cause)).map(|(_, count)| count).sum();
            Measured::share(lost, *arrived)
        }
        Figure::Arrived => Some(Measured::count(*arrived)),
        Figure::Out => Some(Measured::count(*out)),
        Figure::Lateness if *out > 0 => {
            let nanos = match expectation.statistic {
                Statistic::P50 => lateness_ns.p50,
                Statistic::P99 => lateness_ns.p99,
                Statistic::Max => lateness_ns.max,
                _ => return None,
            };
            Some(Measured::time(nanos as f64, expectation.statistic))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Lateness;
    use super::*;

    fn judged(text: &str) -> Judged {
        let dropped = [("loss", 40), ("queue", 10), ("rx_ring", 7)].map(|(cause, count)| (cause.to_owned(), count));
        let egress = Figures {
            arrived: 1_000,
            out: 943,
            dropped: dropped.into(),
            lateness_ns: Lateness { p50: 10_000, p99: 250_000, max: 1_000_000 },
            ..Figures::default()
        };
        judge(&expectation(text).unwrap(), &[egress, Figures::default()])
    }

    #[test]
    fn figures_are_held_against_what_is_expected() {
        for (text, held) in [
            ("loss.egress < 6%", true),
            ("loss.a_to_b < 5%", false),
            ("arrived.egress == 1000", true),
            ("out.up >= 944", false),
            ("lateness.egress < 1ms", true),
            ("lateness.egress < 200us", false),
            ("lateness.egress.p50 <= 10us", true),
            ("lateness.egress.max < 1ms", false),
            // What is not known is not as it should be.
            ("loss.ingress < 100%", false),
            ("lateness.down < 1h", false),
            ("arrived.down == 0", true),
        ] {
            assert_eq!(judged(text).held, held, "{text}: {}", judged(text));
        }
        // Losses of the harness are none of the link.
        assert_eq!(
            judged("loss.egress < 6%").to_string(),
            "expected loss.egress < 6%: held, measured 5.000 % (50 of 1000)"
        );
        assert!(judged("lateness.egress < 1ms").to_string().ends_with("measured 250.0 us at p99"));
    }

    #[test]
    fn what_is_not_measured_here_is_refused() {
        for text in ["delay.up < 1ms", "lateness.up.p95 < 1ms", "loss.b_up < 1%", "exit.ping == 0"] {
            assert!(expectation(text).is_err(), "{text}");
        }
    }
}
