//! Intervals of proportions, whatever the counts.

use proptest::prelude::*;
use shaper_report::agreement::clopper_pearson;
use shaper_report::stats::Proportion;

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::with_cases(200) })]

    #[test]
    fn an_interval_holds_its_ratio_and_widens_with_certainty(of in 1u64..200_000, share in 0.0f64..=1.0) {
        let count = (of as f64 * share) as u64;
        let ratio = count as f64 / of as f64;
        let (usual, strict) = (clopper_pearson(count, of, 0.05), clopper_pearson(count, of, 1e-4));
        prop_assert!(usual.low <= ratio && ratio <= usual.high, "{count} of {of}: {usual:?}");
        prop_assert!(strict.covers(&usual), "{strict:?} against {usual:?}");
        let wilson = Proportion::of(count, of);
        prop_assert!(0.0 <= wilson.low && wilson.low <= ratio && ratio <= wilson.high && wilson.high <= 1.0);
    }
}
