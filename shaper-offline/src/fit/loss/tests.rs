use super::model::Chain;
use super::*;
use crate::fit::draws::Draws;
use crate::fit::{Fate, FitError, Observed};

fn walk<const N: usize>(chain: &hidden::Hidden<N>, packets: usize, draws: &mut Draws) -> Vec<bool> {
    let pick = |shares: &[f64; N], draws: &mut Draws| {
        let mut left = draws.uniform();
        let ends = |share: &f64| {
            left -= share;
            left < 0.0
        };
        shares.iter().position(ends).unwrap_or(N - 1)
    };
    let mut state = pick(&chain.stationary(), draws);
    (0..packets)
        .map(|_| {
            state = pick(&chain.step[state], draws);
            draws.uniform() < chain.lose[state]
        })
        .collect()
}

fn simulate(model: &LossModel, packets: usize, seed: u64) -> Series {
    let draws = &mut Draws::new(seed);
    let lost = match model.chain() {
        Chain::One(chain) => walk(&chain, packets, draws),
        Chain::Two(chain) => walk(&chain, packets, draws),
        Chain::Four(chain) => walk(&chain, packets, draws),
    };
    let packet = |(number, lost)| Observed {
        sent_ns: number as i64 * 10_000_000,
        fate: if lost { Fate::Lost } else { Fate::Arrived(20_000_000) },
        bytes: None,
    };
    Series { packets: lost.into_iter().enumerate().map(packet).collect(), timed: true, absolute: true }
}

fn fitted_to(model: &LossModel, packets: usize, seed: u64) -> LossFit {
    crate::fit::fit(&simulate(model, packets, seed), &Options::default()).unwrap().loss
}

/// Whether all parameters lie in intervals half as wide again as those of 95 %, which is 99.7 %.
fn holds(fit: &LossFit, truth: &LossModel) {
    for (parameter, (name, value)) in fit.chosen.parameters.iter().zip(truth.parameters()) {
        assert_eq!(parameter.name, name);
        let Some(interval) = parameter.interval else {
            // What Gilbert's good state loses is none by definition.
            assert_eq!((fit.chosen.kind, name, parameter.value), (LossKind::Gilbert, "1-k", 0.0));
            continue;
        };
        let wider = 0.25 * (interval.high - interval.low);
        assert!((interval.low - wider..=interval.high + wider).contains(&value), "{name} {value}: {parameter:?}");
    }
}

const GILBERT_ELLIOTT: LossModel = LossModel::GilbertElliott { p: 0.005, r: 0.08, bad: 0.4, good: 0.004 };
const FOUR: LossModel = LossModel::FourState { p13: 0.004, p31: 0.1, p32: 0.1, p23: 0.2, p14: 0.01 };

#[test]
fn the_chosen_kind_is_that_which_made_the_losses() {
    let cases = [
        (LossModel::None, LossKind::None, 30_000),
        (LossModel::Independent { ratio: 0.05 }, LossKind::Independent, 30_000),
        (LossModel::Bursts { ratio: 0.05, burst: 3.0 }, LossKind::Bursts, 30_000),
        (LossModel::GilbertElliott { p: 0.01, r: 0.1, bad: 0.5, good: 0.0 }, LossKind::Gilbert, 30_000),
        // On 30,000 its gain over Gilbert's is no larger than the noise over the blocks.
        (GILBERT_ELLIOTT, LossKind::GilbertElliott, 100_000),
    ];
    for (truth, kind, packets) in cases {
        for seed in 1..=2 {
            let fit = fitted_to(&truth, packets, seed);
            assert_eq!(fit.chosen.kind, kind, "seed {seed}: {fit:#?}");
            assert_ne!(fit.accepted, Some(false), "seed {seed}: {fit:#?}");
            holds(&fit, &truth);
        }
    }
}

#[test]
fn four_states_come_back_where_singles_and_bursts_differ() {
    let fit = fitted_to(&FOUR, 80_000, 4);
    assert_eq!(fit.chosen.kind, LossKind::FourState, "{fit:#?}");
    holds(&fit, &FOUR);
}

#[test]
fn estimation_recovers_gilbert_and_elliott_from_200000_packets() {
    let fit = fitted_to(&GILBERT_ELLIOTT, 200_000, 7);
    assert_eq!(fit.chosen.kind, LossKind::GilbertElliott);
    holds(&fit, &GILBERT_ELLIOTT);
    // Intervals that hold everything would hold these too.
    for parameter in &fit.chosen.parameters {
        let interval = parameter.interval.unwrap();
        assert!(interval.high - interval.low < 0.5 * parameter.value, "{parameter:?}");
    }
}

#[test]
fn few_losses_are_not_taken_for_bursts() {
    let fit = fitted_to(&LossModel::Bursts { ratio: 0.005, burst: 3.0 }, 2_000, 2);
    assert_eq!(fit.candidates.iter().map(|candidate| candidate.kind).collect::<Vec<_>>(), [LossKind::Independent]);
}

#[test]
fn bursts_are_known_again_from_a_few_dozens() {
    let truth = LossModel::Bursts { ratio: 0.02, burst: 3.0 };
    let mut found = 0;
    for seed in 1..=5 {
        let fit = fitted_to(&truth, 4_000, seed);
        if fit.chosen.kind == LossKind::Bursts {
            holds(&fit, &truth);
            found += 1;
        }
        let single = fitted_to(&LossModel::Independent { ratio: 0.01 }, 4_000, seed);
        assert_eq!(single.chosen.kind, LossKind::Independent, "{single:#?}");
    }
    assert!(found >= 3, "{found} of 5");
}

#[test]
fn a_pattern_is_no_candidate_and_is_said_to_be_none() {
    let packet = |number: i64| Observed {
        sent_ns: number,
        fate: if number % 10 == 9 { Fate::Lost } else { Fate::Arrived(1) },
        bytes: None,
    };
    let series = Series { packets: (0..40_000).map(packet).collect(), timed: true, absolute: true };
    let fit = crate::fit::fit(&series, &Options::default()).unwrap().loss;
    assert_eq!(fit.accepted, Some(false), "{fit:#?}");
}

#[test]
fn a_short_series_and_one_without_arrivals_are_refused() {
    let series = simulate(&LossModel::Independent { ratio: 0.05 }, 399, 1);
    assert_eq!(crate::fit::fit(&series, &Options::default()).unwrap_err(), FitError::TooFew { known: 399, least: 400 });
    let series = simulate(&LossModel::Independent { ratio: 1.0 }, 400, 1);
    assert_eq!(crate::fit::fit(&series, &Options::default()).unwrap_err(), FitError::AllLost { lost: 400 });
}

#[test]
fn what_nobody_knows_is_neither_lost_nor_received() {
    let mut series = simulate(&LossModel::Bursts { ratio: 0.1, burst: 4.0 }, 50_000, 3);
    for packet in series.packets.iter_mut().step_by(7) {
        packet.fate = Fate::Unknown;
    }
    let fit = crate::fit::fit(&series, &Options::default()).unwrap();
    assert_eq!((fit.unknown, fit.loss.chosen.kind), (7_143, LossKind::Bursts));
    holds(&fit.loss, &LossModel::Bursts { ratio: 0.1, burst: 4.0 });
}

#[test]
fn an_outage_without_times_is_told_by_its_length_and_not_judged() {
    let mut series = simulate(&LossModel::None, 4_000, 1);
    series.packets.iter_mut().skip(850).take(120).for_each(|packet| packet.fate = Fate::Lost);
    let timed = crate::fit::fit(&series, &Options::default()).unwrap();
    assert_eq!((timed.loss.chosen.kind, timed.outages.map(|outages| outages.lost)), (LossKind::None, Some(120)));
    series.timed = false;
    let fit = crate::fit::fit(&series, &Options::default()).unwrap();
    let loss = &fit.loss;
    assert_eq!((loss.chosen.kind, loss.longest_burst, loss.accepted), (LossKind::Independent, 120, None), "{loss:#?}");
    assert_eq!(loss.not_judged(), Some("bursts and gaps"));
    let text = loss.to_string();
    assert!(text.contains("the longest burst is of 120 packets, the mean of 120.00"), "{text}");
    assert!(text.contains("accepted: not judged by bursts and gaps"), "{text}");
    let none = crate::fit::fit(&simulate(&LossModel::None, 4_000, 1), &Options::default()).unwrap().loss;
    assert!(none.not_judged().is_none() && !none.to_string().contains("judged"));
}
