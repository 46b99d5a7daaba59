//! Judging a run and showing it: agreement of measured with configured, the schema of `summary.json`,
//! the table on the terminal and `report.html`; and what changed from one run to another. Needs no root and no Linux.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod compare;
pub mod html;
mod link_rows;
pub mod stats;
pub mod summary;
pub mod text;
mod words;
