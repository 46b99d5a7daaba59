//! Quantiles and intervals, with their conventions stated.

mod distribution;
mod proportion;

pub use distribution::{Distribution, Summary, SummaryWithLost, nearest_rank};
pub use proportion::{Interval, wilson};
