//! Quantiles and intervals, with their conventions stated.

mod bucket;
mod budget;
mod distribution;
mod parted;
mod proportion;

pub use budget::Budget;
pub use distribution::{Distribution, Summary, SummaryWithLost, nearest_rank};
pub use proportion::{Interval, wilson};
