//! The page of an analysis.

mod one;
mod two;

use std::ffi::OsStr;
use std::path::Path;

use shaper_offline::analyze;
use shaper_report::summary::Severity;

pub(super) use one::one;
pub(super) use two::two;

/// Rows of a table; how many are left out is told.
const ROWS: usize = 50;

const FOOTER: &str = concat!(
    "shaper ",
    env!("CARGO_PKG_VERSION"),
    ", analyze. Every figure stands in the output of --json. Percentiles by nearest rank; a dash is what is not known."
);

/// A file by its name alone.
fn short(path: &str) -> String {
    Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or(path).to_owned()
}

/// As a page has it.
const fn severity(of: analyze::Severity) -> Severity {
    match of {
        analyze::Severity::Error => Severity::Error,
        analyze::Severity::Warning => Severity::Warning,
        analyze::Severity::Note => Severity::Note,
    }
}

/// What is to be said of rows left out.
fn left_out(all: u64, what: &str) -> Option<String> {
    let more = all.saturating_sub(ROWS as u64);
    (more > 0).then(|| format!("{more} more {what} are in the output of --json, up to 1,000, and in the totals."))
}
