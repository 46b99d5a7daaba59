//! What is left out of a program, or not drawn, because no setting asks for it, decides nothing.

use proptest::prelude::*;
use shaper_common::aqm::Aqm;
use shaper_common::aqm::codel::CodelSettings;
use shaper_common::chance::Chance;
use shaper_common::corrupt::{ANYWHERE, Corrupt};
use shaper_common::duplicate::Duplicate;
use shaper_common::layout::{Params, flags, groups};
use shaper_common::loss::Chain;
use shaper_common::pipeline::Packet;
use shaper_common::police::PolicerSettings;
use shaper_common::process::per_nano;
use shaper_common::reorder::Reorder;
use shaper_common::slot::Slots;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MICRO, MILLI, SECOND, irregular, probability, runner};

/// Each adds one effect to settings.
const EFFECTS: [fn(&mut Params); 20] = [
    |params| params.loss = probability(0.2),
    |params| {
        params.chain = Chain {
            lose: [0.0, 1.0, 0.0, 0.0].map(probability),
            leave: [0.1, 0.4, 0.0, 0.0].map(|leave| [probability(leave); 2]),
            to: [[1, 0], [0, 0], [0, 0], [0, 0]],
            first: [0.8, 1.0, 1.0].map(probability),
            ..Chain::default()
        };
        params.has_chain = 1;
    },
    |params| (params.period, params.pattern) = (9, 0b1_0000_0100),
    |params| params.duplicate = Duplicate { chance: chance(), spacing: Nanos(5), copies: 2, ..Duplicate::default() },
    |params| params.corrupt = Corrupt { chance: chance(), at: ANYWHERE, bytes: 2, ..Corrupt::default() },
    |params| params.policer = PolicerSettings { rate: BitsPerSec(9_000_000), burst: Nanos(10 * MILLI) },
    |params| (params.rate, params.queue) = (BitsPerSec(8_000_000), Nanos(6 * MILLI)),
    |params| params.delay = Nanos(4 * MILLI),
    |params| (params.jitter, params.jitter_kind) = (Nanos(3 * MILLI), 1),
    |params| (params.jitter, params.jitter_kind) = (Nanos(2 * MILLI), 2),
    |params| params.reorder = Reorder { chance: chance(), gap: 3, ..Reorder::default() },
    |params| params.slots = Slots { spread: Nanos(2 * MILLI), kind: 1, packets: 3, ..Slots::default() },
    |params| params.order = 1,
    |params| params.flags |= flags::ECN,
    |params| params.flags |= flags::LOSS_BEHIND | flags::IN_FLIGHT_LOST,
    |params| params.per_nano = per_nano(Nanos(5 * MILLI)).unwrap(),
    |params| managed(params, Aqm::Codel),
    |params| managed(params, Aqm::Pie),
    |params| managed(params, Aqm::Pi2),
    |params| managed(params, Aqm::Step),
];

/// A bottleneck whose queue is managed, and fills soon enough to be.
fn managed(params: &mut Params, aqm: Aqm) {
    (params.rate, params.queue, params.aqm) = (BitsPerSec(6_000_000), Nanos(60 * MILLI), aqm as u32);
    params.codel = CodelSettings { target: Nanos(2 * MILLI), interval: Nanos(20 * MILLI) };
    params.pie.max_burst = Nanos(MILLI);
    (params.pie.gains.target, params.pi2.gains.target) = (Nanos(MILLI), Nanos(MILLI));
}

fn chance() -> Chance {
    Chance::new(probability(0.3), probability(0.2), probability(0.6))
}

/// Settings with those effects whose bit is set.
fn with(effects: u32) -> Params {
    let mut params = Params { seed: 7, stream: 3, ..Params::default() };
    for (bit, add) in EFFECTS.iter().enumerate() {
        if effects >> bit & 1 == 1 {
            add(&mut params);
        }
    }
    params
}

/// Holds a program that has and draws what the settings ask for against one that has and draws everything.
fn judge(effects: u32, has_outages: bool) -> Result<(), TestCaseError> {
    let windows: &[(u64, u64)] = if has_outages { &[(SECOND + 20 * MILLI, SECOND + 50 * MILLI)] } else { &[] };
    let link = |params: Params| if has_outages { Link::with_outages(params, windows) } else { Link::new(params) };
    let params = with(effects);
    let features = Params { has_outages: has_outages.into(), ..params }.features();
    let (mut whole, mut spared) = (link(params), link(params.sparing()).with_features(features));
    for (packet, ecn) in irregular(1, 900 * MICRO, 300).zip([0, 1].into_iter().cycle()) {
        let packet = Packet { ecn, ..packet };
        prop_assert_eq!(whole.decide(&packet), spared.decide(&packet), "effects {:b}", effects);
    }
    prop_assert_eq!(whole.counts(), spared.counts());
    Ok(())
}

#[test]
fn each_effect_and_each_pair_decides_the_same_where_the_rest_is_left_out() {
    for one in 0..EFFECTS.len() {
        for other in 0..EFFECTS.len() {
            judge(1 << one | 1 << other, true).unwrap();
        }
    }
}

#[test]
fn any_effects_together_decide_the_same_where_the_rest_is_left_out() {
    let cases = (0..1u32 << EFFECTS.len(), any::<bool>());
    runner(1_000).run(&cases, |(effects, has_outages)| judge(effects, has_outages)).unwrap();
}

#[test]
fn what_nothing_asks_for_is_not_drawn() {
    let all = groups::DRAWS | groups::CHOICES | groups::DETAILS;
    for (bit, drawn) in [
        (0, groups::DRAWS),
        (1, groups::DRAWS),
        (2, 0),
        (3, groups::CHOICES),
        (4, groups::CHOICES | groups::DETAILS),
        (5, 0),
        (6, 0),
        (7, 0),
        (8, groups::DRAWS),
        (9, groups::DRAWS),
        (10, groups::CHOICES),
        (11, groups::CHOICES),
        (12, 0),
        (13, 0),
        (14, 0),
        (15, 0),
        (16, groups::DETAILS),
        (17, groups::DETAILS),
        (18, groups::DETAILS),
        (19, groups::DETAILS),
    ] {
        assert_eq!(!with(1 << bit).sparing().spared & all, drawn, "effect {bit}");
    }
    assert_eq!(!with((1 << EFFECTS.len()) - 1).sparing().spared & all, all);
}
