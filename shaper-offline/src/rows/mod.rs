//! Packets as rows, for spreadsheets, data frames and databases: what a row holds is described once, and written as CSV
//! or as Parquet.
//!
//! [`compared`] has the packets of two captures that were compared, `run` those of a run.

mod cell;
pub mod compared;
mod csv;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
pub mod run;
#[cfg(all(test, feature = "parquet"))]
mod tests;
