//! Traces and tables of delays: what profiles name by path.

use shaper_common::units::Nanos;
use shaper_profile::distribution::{DelayDistribution, Shape, TableError, TableFile, quantiles};
use shaper_profile::effect::End;
use shaper_profile::trace::Trace;

/// Reads the bytes as a trace that begins anew, and as one whose last row stays.
pub fn trace(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for end in [End::Loop, End::Hold] {
        if let Err(error) = Trace::parse("trace.csv", text, end) {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Reads the bytes as a distribution of netem's.
pub fn dist(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    has_quantiles(TableFile::read_dist("table.dist", text));
}

/// Reads the bytes as a table of our own.
pub fn quantiles_of(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    has_quantiles(TableFile::read_quantiles("table.txt", text));
}

/// A table that can be read has moments, and quantiles that rise between the least and the largest delay.
fn has_quantiles(table: Result<TableFile, TableError>) {
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            assert!(error.line > 0 && !error.to_string().is_empty(), "{error:?}");
            return;
        }
    };
    assert!(table.mean().is_finite() && table.sigma() >= 0.0, "{} {}", table.mean(), table.sigma());
    let fitted = quantiles(&Shape::Table(table), Nanos(20_000_000), Nanos(5_000_000));
    let delays = DelayDistribution::of_table(fitted);
    let (least, largest) = (delays.min(), delays.max());
    let mut before = least;
    for share in [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0] {
        let delay = delays.quantile(share);
        assert!(before <= delay && delay <= largest, "{before:?} {delay:?} {largest:?} at {share}");
        before = delay;
    }
    assert!(least <= delays.mean() && delays.mean() <= largest, "{least:?} {:?} {largest:?}", delays.mean());
}
