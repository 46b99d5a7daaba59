//! What must hold of every outcome, and of shares that are random.

use std::collections::BTreeMap;

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_common::units::Nanos;
use shaper_engine::{DirectionOutcome, Outcome};

/// The two-sided quantile of the normal distribution for 99.9 %.
const Z: f64 = 3.2905;

/// The direction from `a` to `b`, of which so many packets were sent: all of them are accounted for, every fate is the
/// oracle's, what the records say adds up to the counts, and each packet was released when it was to be.
pub(crate) fn forward(outcome: &Outcome, sent: u64) -> &DirectionOutcome {
    assert_eq!((outcome.leaked_frames, outcome.starved), (0, 0));
    for direction in &outcome.directions {
        sound(direction);
    }
    let direction = &outcome.directions[0];
    assert_eq!(direction.account.arrived, sent, "{:?}", direction.account);
    direction
}

fn sound(direction: &DirectionOutcome) {
    let (name, account, oracle) = (&direction.spec.name, &direction.account, &direction.oracle);
    assert_eq!((account.held, account.difference()), (0, 0), "{name}: {account:?}");
    assert_eq!((oracle.mismatches, direction.recorded.lost), (0, 0), "{name}: {:?}", oracle.first);
    assert_eq!(oracle.checked, account.arrived, "{name}");
    let mut dropped = BTreeMap::new();
    let mut copies = 0;
    for record in &direction.records {
        match record.cause().unwrap() {
            Cause::None => copies += u64::from(record.fate.copies),
            cause => *dropped.entry(cause).or_insert(0) += 1,
        }
    }
    assert_eq!((direction.records.len() as u64, copies), (account.arrived, account.copies), "{name}: {account:?}");
    assert_eq!(dropped, account.dropped, "{name}: by record and by count");
    assert_eq!(account.out, (direction.releases.len() + direction.copies.len()) as u64, "{name}");
    assert!(direction.releases.iter().chain(&direction.copies).all(|release| release.sent), "{name}");
    let due: BTreeMap<u64, Nanos> = direction.records.iter().map(|record| (record.id(), record.release())).collect();
    for release in &direction.releases {
        assert_eq!(due.get(&release.id), Some(&release.intended), "{name}: {release:?}");
        assert!(release.actual >= release.intended, "{name}: {release:?}");
    }
}

/// The records of what went on, in the order of their arrivals.
pub(crate) fn passed(direction: &DirectionOutcome) -> Vec<&Record> {
    direction.records.iter().filter(|record| record.cause() == Some(Cause::None)).collect()
}

/// How many records are so.
pub(crate) fn count(direction: &DirectionOutcome, is: impl Fn(&Record) -> bool) -> u64 {
    direction.records.iter().filter(|record| is(record)).count() as u64
}

/// A share of independent choices lies within its 99.9 % interval; `spread` is by how much correlation of neighbours
/// multiplies the variance.
pub(crate) fn share(hits: u64, of: u64, p: f64, spread: f64) {
    let (hits, of) = (hits as f64, of as f64);
    let sigma = (of * p * (1.0 - p) * spread).sqrt();
    assert!(sigma > 0.0 && (hits - of * p).abs() <= Z * sigma, "{hits} of {of}, and {p} was asked for");
}

/// A mean lies within its 99.9 % interval.
pub(crate) fn mean(measured: f64, expected: f64, sigma_of_mean: f64) {
    assert!((measured - expected).abs() <= Z * sigma_of_mean, "{measured} instead of {expected}+-{sigma_of_mean}");
}
