//! Immediate marking of L4S packets.

use proptest::prelude::*;
use shaper_common::aqm::Ecn;
use shaper_common::aqm::step::{StepSettings, marks};
use shaper_common::rng::Source;
use shaper_common::units::Nanos;

use crate::load::{MILLI, Z_999};

#[test]
fn a_step_marks_ect1_beyond_its_threshold_and_nothing_else() {
    let settings = StepSettings::default();
    for draw in [0, 1 << 31, u32::MAX] {
        assert!(!marks(&settings, Nanos(MILLI), false, Ecn::Ect1, draw));
        assert!(marks(&settings, Nanos(MILLI + 1), false, Ecn::Ect1, draw));
        assert!(!marks(&settings, Nanos(MILLI + 1), true, Ecn::Ect1, draw));
        for ecn in [Ecn::NotEct, Ecn::Ect0, Ecn::Ce] {
            assert!(!marks(&settings, Nanos(50 * MILLI), false, ecn, draw));
        }
    }
}

#[test]
fn a_ramp_marks_in_proportion() {
    let settings = StepSettings { threshold: Nanos(800_000), range: Nanos(400_000) };
    let n = 200_000;
    for (sojourn, expected) in [(800_000, 0.0), (800_004, 1e-5), (900_000, 0.25), (1_100_000, 0.75), (1_200_000, 1.0)] {
        let marked = (0..n)
            .filter(|index| {
                marks(&settings, Nanos(sojourn), false, Ecn::Ect1, Source::of_link(7, 1, *index).draws().jitter)
            })
            .count() as f64;
        let bound = Z_999 * (n as f64 * expected * (1.0 - expected)).sqrt();
        assert!((marked - n as f64 * expected).abs() <= bound, "{sojourn} ns: {marked} of {n} marked");
    }
}

#[test]
fn the_field_is_read_from_the_traffic_class() {
    let fields = [0xb8, 0xb9, 0xba, 0xbb].map(Ecn::of);
    assert_eq!(fields, [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce]);
    assert_eq!(fields.map(Ecn::is_capable), [false, true, true, true]);
    assert_eq!(fields.map(Ecn::is_l4s), [false, true, false, true]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn longer_in_the_queue_is_never_less_likely_marked(
        (threshold, range, sojourn, more) in any::<(u64, u64, u64, u64)>(),
    ) {
        let settings = StepSettings { threshold: Nanos(threshold), range: Nanos(range) };
        let later = Nanos(sojourn.saturating_add(more));
        prop_assert!(settings.probability(Nanos(sojourn)) <= settings.probability(later));
        prop_assert!(settings.probability(later).0 <= 1 << 32);
    }
}
