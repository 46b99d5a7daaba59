use super::*;
use crate::fit::draws::Draws;
use crate::fit::special::normal_quantile;
use crate::fit::{Fate, FitError};

const MS: f64 = 1e6;

/// Packets one each `step_ms`, whose delays are drawn from a shape with errors of measurement up to 50 us; with a time
/// constant their normal scores are an Ornstein-Uhlenbeck process.
fn simulate(shaped: &Shaped, packets: usize, step_ms: f64, time_ms: Option<f64>, seed: u64) -> Series {
    let mut draws = Draws::new(seed);
    let mut z = normal_quantile(draws.uniform());
    let mut packet = |number: usize| {
        let kept = time_ms.map_or(0.0, |time| (-step_ms / time).exp());
        z = kept * z + (1.0 - kept * kept).sqrt() * normal_quantile(draws.uniform());
        let share = normal_share(z);
        let delay = shaped.quantile(share) + 50_000.0 * draws.uniform();
        Observed { sent_ns: (number as f64 * step_ms * MS) as i64, fate: Fate::Arrived(delay as i64), bytes: None }
    };
    Series { packets: (0..packets).map(&mut packet).collect(), timed: true, absolute: true }
}

/// By bisection of the quantile.
fn normal_share(z: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if normal_quantile(middle) < z {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

fn fitted_to(series: &Series) -> DelayFit {
    crate::fit::fit(series, &Options::default()).unwrap().delay.unwrap()
}

/// Base and jitter in their intervals, half as wide again, and 50 us of measurement.
fn holds(fit: &DelayFit, truth: &Shaped) {
    for (parameter, value) in fit.parameters.iter().zip([truth.delay, truth.jitter]) {
        let interval = parameter.interval.unwrap();
        let wider = 0.25 * (interval.high - interval.low) + 50_000.0;
        assert!((interval.low - wider..=interval.high + wider).contains(&value), "{value}: {parameter:?}");
        assert!(interval.high - interval.low < 0.2 * value, "{parameter:?}");
    }
}

#[test]
fn the_chosen_shape_is_that_which_made_the_delays() {
    for shape in Shape::ALL {
        let jitter = if shape == Shape::Constant { 0.0 } else { 5.0 * MS };
        let truth = Shaped { shape, delay: 30.0 * MS, jitter, floor: None };
        for seed in 1..=3 {
            let fit = fitted_to(&simulate(&truth, 20_000, 4.0, None, seed));
            let DelayModel::Shaped { shape: found, .. } = fit.chosen else { panic!("{fit:#?}") };
            assert_eq!(found, shape, "seed {seed}: {:#?}", fit.candidates);
            assert!(fit.accepted && fit.correlation.time_ns.is_none());
            holds(&fit, &truth);
            let verdict = if shape == Shape::Constant { OrderVerdict::NotTold } else { OrderVerdict::Free };
            assert_eq!(fit.order.verdict, verdict, "{:?}", fit.order);
        }
    }
}

#[test]
fn jitter_that_is_cut_at_the_smallest_delay_is_found_whole() {
    let truth = Shaped { shape: Shape::Uniform, delay: 15.0 * MS, jitter: 30.0 * MS, floor: Some(0.0) };
    let fit = fitted_to(&simulate(&truth, 20_000, 10.0, None, 3));
    assert!((fit.cut_share.unwrap() - 0.25).abs() < 0.02, "{:?}", fit.cut_share);
    assert!(matches!(fit.chosen, DelayModel::Shaped { shape: Shape::Uniform, .. }), "{:#?}", fit.candidates);
    holds(&fit, &truth);
}

#[test]
fn jitter_that_is_cut_where_it_is_steepest_is_told_from_its_cut() {
    // A tenth of the packets, where the tail begins that has the most of them.
    let truth = Shaped { shape: Shape::Pareto, delay: 21.0 * MS, jitter: 39.0 * MS, floor: Some(0.0) };
    for seed in 1..=3 {
        let fit = fitted_to(&simulate(&truth, 40_000, 20.0, None, seed));
        assert!((fit.cut_share.unwrap() - truth.cdf(0.0)).abs() < 0.01, "{:?}", fit.cut_share);
        assert!(matches!(fit.chosen, DelayModel::Shaped { shape: Shape::Pareto, .. }), "{:#?}", fit.candidates);
        assert!(fit.accepted, "{:#?}", fit.candidates);
        holds(&fit, &truth);
    }
    // Of a few hundreds that did not wait for others in a kept order it is told as well.
    let few = fitted_to(&in_order(simulate(&truth, 4_000, 10.0, None, 2)));
    assert!(few.order.taken_off && few.cut_share.is_some(), "{few:#?}");
    let DelayModel::Shaped { shape, delay_ns, jitter_ns } = few.chosen else { panic!("{:#?}", few.candidates) };
    assert_eq!(shape, Shape::Pareto, "{:#?}", few.candidates);
    assert!((delay_ns / truth.delay - 1.0).abs() < 0.15 && (jitter_ns / truth.jitter - 1.0).abs() < 0.15, "{few:#?}");
    // Without a cut none is seen.
    let whole = Shaped { delay: 30.0 * MS, jitter: 5.0 * MS, floor: None, ..truth };
    assert_eq!(fitted_to(&simulate(&whole, 40_000, 20.0, None, 1)).cut_share, None);
}

#[test]
fn a_constant_is_known_no_better_than_what_hosts_add_and_spread_is_none() {
    // Hosts add 40 us, and to one packet in twenty some milliseconds.
    let mut draws = Draws::new(9);
    let late = |draws: &mut Draws| if draws.uniform() < 0.05 { 3.0 * MS * draws.uniform() } else { 0.0 };
    let packet = |number: i64| {
        let delay = 30.0 * MS + 40_000.0 + late(&mut draws);
        Observed { sent_ns: number * 10_000_000, fate: Fate::Arrived(delay as i64), bytes: None }
    };
    let fit = fitted_to(&Series { packets: (0..4_000).map(packet).collect(), timed: true, absolute: true });
    assert!(matches!(fit.chosen, DelayModel::Shaped { shape: Shape::Constant, .. }), "{:#?}", fit.candidates);
    let interval = fit.parameters[0].interval.unwrap();
    assert!(interval.low < 30.0 * MS && interval.high > 30.0 * MS, "{interval:?}");
    assert_eq!(fit.cut_share, None);
    // In a kept order of packets so dense that hardly one is free the noise is large, and all of them no constant yet.
    let truth = Shaped { shape: Shape::Pareto, delay: 30.0 * MS, jitter: 10.0 * MS, floor: None };
    let fit = fitted_to(&in_order(simulate(&truth, 4_000, 0.5, None, 3)));
    let constant = &fit.candidates[0];
    assert!(constant.ks > 0.25 && constant.shape == Some(Shape::Constant) && !constant.chosen, "{fit:#?}");
}

#[test]
fn a_shape_without_a_name_becomes_a_table_of_it() {
    let mut draws = Draws::new(11);
    let packet = |number: i64| {
        // Two ways of 10 and 25 ms, each with a little of its own.
        let way = if draws.uniform() < 0.3 { 25.0 } else { 10.0 };
        Observed {
            sent_ns: number * 50_000_000,
            fate: Fate::Arrived(((way + draws.uniform()) * MS) as i64),
            bytes: None,
        }
    };
    let series = Series { packets: (0..20_000).map(packet).collect(), timed: true, absolute: true };
    let fit = fitted_to(&series);
    let DelayModel::Table { delay_ns, points } = &fit.chosen else { panic!("{:#?}", fit.candidates) };
    assert!((10_000_000..10_001_000).contains(delay_ns) && fit.accepted, "{fit:#?}");
    assert!(points.iter().any(|point| point.probability == 0.5 && (600_000..800_000).contains(&point.delay_ns)));
    let candidate = fit.candidates.last().unwrap();
    assert!(candidate.ks < 0.03 && candidate.wasserstein_ms < 0.3, "{candidate:?}");
}

#[test]
fn the_time_constant_of_correlated_jitter_comes_back() {
    // From sparse packets, and from dense ones, between which the error of measurement is larger than the step.
    for (step_ms, time_ms, seed) in [(10.0, 50.0, 1), (10.0, 200.0, 2), (1.0, 500.0, 3)] {
        let truth = Shaped { shape: Shape::Normal, delay: 30.0 * MS, jitter: 5.0 * MS, floor: None };
        let fit = fitted_to(&simulate(&truth, 100_000, step_ms, Some(time_ms), seed));
        let interval = fit.correlation.interval_ns.unwrap();
        let wider = 0.25 * (interval.high - interval.low);
        let truth = time_ms * MS;
        assert!((interval.low - wider..=interval.high + wider).contains(&truth), "{time_ms}: {:#?}", fit.correlation);
        assert!(interval.high - interval.low < 0.5 * truth, "{time_ms}: {interval:?}");
        assert!(matches!(fit.chosen, DelayModel::Shaped { shape: Shape::Normal, .. }), "{:#?}", fit.candidates);
    }
}

/// The same packets, none of which arrives before an earlier one.
fn in_order(mut series: Series) -> Series {
    let mut latest = 0;
    for packet in &mut series.packets {
        if let Fate::Arrived(delay) = &mut packet.fate {
            latest = latest.max(packet.sent_ns + *delay);
            *delay = latest - packet.sent_ns;
        }
    }
    series
}

#[test]
fn what_packets_waited_for_those_before_them_is_taken_off() {
    for (shape, seed) in [(Shape::Uniform, 5), (Shape::Normal, 6), (Shape::Pareto, 7)] {
        let truth = Shaped { shape, delay: 30.0 * MS, jitter: 5.0 * MS, floor: None };
        let fit = fitted_to(&in_order(simulate(&truth, 20_000, 2.0, None, seed)));
        assert!(fit.order.verdict == OrderVerdict::Kept && fit.order.taken_off, "{shape:?}: {:?}", fit.order);
        assert!(fit.mean_ns > 31.0 * MS, "what was measured is longer: {}", fit.mean_ns);
        let DelayModel::Shaped { shape: found, .. } = fit.chosen else { panic!("{shape:?}: {:#?}", fit.candidates) };
        assert_eq!(found, shape, "{:#?}", fit.candidates);
        assert!(fit.accepted && fit.correlation.time_ns.is_none(), "{shape:?}: {:#?}", fit.correlation);
        holds(&fit, &truth);
    }
}

#[test]
fn where_hardly_a_packet_did_not_wait_the_fit_says_that_it_is_too_little_to_go_by() {
    let truth = Shaped { shape: Shape::Pareto, delay: 21.0 * MS, jitter: 39.0 * MS, floor: Some(0.0) };
    let close = fitted_to(&in_order(simulate(&truth, 20_000, 1.0, None, 1))).order;
    assert!(close.left_worth.unwrap() < 100.0 && close.leaves_too_little(), "{close:?}");
    let apart = fitted_to(&in_order(simulate(&truth, 4_000, 10.0, None, 1))).order;
    assert!(apart.left_worth.unwrap() > 300.0 && !apart.leaves_too_little(), "{apart:?}");
}

#[test]
fn delays_that_hang_together_in_a_kept_order_stay_as_they_were_measured() {
    let truth = Shaped { shape: Shape::Normal, delay: 30.0 * MS, jitter: 5.0 * MS, floor: None };
    let fit = fitted_to(&in_order(simulate(&truth, 40_000, 2.0, Some(100.0), 5)));
    assert!(fit.order.verdict == OrderVerdict::Kept && !fit.order.taken_off, "{:?}", fit.order);
    let time = fit.correlation.time_ns.unwrap();
    assert!((time / (100.0 * MS) - 1.0).abs() < 0.3, "{:#?}", fit.correlation);
}

#[test]
fn an_order_that_was_kept_is_told_from_one_that_could_not_be_broken() {
    let truth = Shaped { shape: Shape::Uniform, delay: 30.0 * MS, jitter: 10.0 * MS, floor: None };
    let series = in_order(simulate(&truth, 20_000, 10.0, None, 5));
    let order = fitted_to(&series).order;
    assert_eq!((order.verdict, order.reordered), (OrderVerdict::Kept, 0), "{order:?}");
    assert!(order.expected_if_free.unwrap() > 1_000.0);
    let sparse = fitted_to(&simulate(&truth, 2_000, 100.0, None, 5)).order;
    assert_eq!(sparse.verdict, OrderVerdict::NotTold, "{sparse:?}");
}

#[test]
fn delays_of_clocks_that_are_not_known_count_from_the_smallest() {
    let truth = Shaped { shape: Shape::Normal, delay: 30.0 * MS, jitter: 2.0 * MS, floor: None };
    let mut series = simulate(&truth, 5_000, 10.0, None, 5);
    for packet in &mut series.packets {
        packet.fate = Fate::Arrived(packet.fate.delay_ns().unwrap() - 1_000_000_000);
    }
    let error = crate::fit::fit(&series, &Options::default()).unwrap_err();
    assert!(matches!(error, FitError::Negative { delay_ns: ..-900_000_000 }), "{error}");
    series.absolute = false;
    let fit = fitted_to(&series);
    assert_eq!((fit.base_ns, fit.absolute), (0, false));
    let DelayModel::Shaped { shape: Shape::Normal, jitter_ns, .. } = fit.chosen else { panic!("{fit:#?}") };
    assert!((jitter_ns / truth.jitter - 1.0).abs() < 0.05);
}

#[test]
fn without_times_nothing_is_said_of_time_and_order() {
    let truth = Shaped { shape: Shape::Normal, delay: 30.0 * MS, jitter: 5.0 * MS, floor: None };
    let series = Series { timed: false, ..simulate(&truth, 5_000, 1.0, Some(20.0), 5) };
    let fit = fitted_to(&series);
    assert!(fit.correlation.time_ns.is_none() && fit.correlation.worth < 0.2, "{:#?}", fit.correlation);
    assert_eq!((fit.order.verdict, fit.order.expected_if_free), (OrderVerdict::NotTold, None));
}

#[test]
fn stamps_too_coarse_for_the_order_tell_none() {
    // Packets 0.4 ms apart, in order as they were sent and as they came, with stamps of whole milliseconds.
    let mut draws = Draws::new(4);
    let mut last = 0;
    let mut packet = |number: i64| {
        let sent = number * 400_000;
        last = (sent + 20_000_000 + (draws.uniform() * 5.0 * MS) as i64).max(last + 1_000);
        (sent, Fate::Arrived(last - sent))
    };
    let fine: Vec<(i64, Fate)> = (0..4_000).map(&mut packet).collect();
    let stamped = |of: i64| {
        let stamp = |(sent, fate): &(i64, Fate)| Observed { sent_ns: sent / of * of, fate: *fate, bytes: None };
        let packets = fine.iter().map(stamp).collect();
        fitted_to(&Series { packets, timed: true, absolute: true }).order
    };
    let told = stamped(1);
    assert_eq!((told.verdict, told.reordered, told.same_stamp), (OrderVerdict::Kept, 0, 0), "{told:?}");
    let coarse = stamped(1_000_000);
    assert_eq!((coarse.verdict, coarse.reordered), (OrderVerdict::NotTold, 0), "{coarse:?}");
    assert!(coarse.same_stamp > 3_900 && coarse.expected_if_free.is_none(), "{coarse:?}");
}

#[test]
fn blocks_of_few_delays_are_joined_for_an_interval() {
    let truth = Shaped { shape: Shape::Uniform, delay: 30.0 * MS, jitter: 5.0 * MS, floor: None };
    // So many losses that there are 40 blocks, of 25 delays each and a few lost.
    let mut series = simulate(&truth, 1_400, 20.0, None, 5);
    series.packets.iter_mut().skip(1).step_by(4).for_each(|packet| packet.fate = Fate::Lost);
    let whole = crate::fit::fit(&series, &Options::default()).unwrap();
    assert_eq!((whole.blocks, whole.arrived), (40, 1_050));
    holds(&whole.delay.unwrap(), &truth);
}
