//! The sample captures: the analysis is what is written beside them, what their run said, and packet by packet what it
//! decided.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

mod goldens;
mod ground_truth;
mod made;
mod truth;
mod variants;

use std::{env, path::Path};

/// Captures of runs, each at A and B. `records.csv` lies beside those in which packets were damaged.
const RUNS: [&str; 11] = [
    "wifi",
    "kept-order",
    "queue",
    "clean",
    "bursty",
    "reordered",
    "duplicated",
    "corrupted",
    "mixed",
    "rtp",
    "two-hosts",
];

/// Paths stand in results, so they are given as from the root of the repository.
fn at_root() {
    env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
}

/// The captures of a run.
fn of_run(name: &str) -> [String; 2] {
    ["a", "b"].map(|point| format!("captures/{name}-{point}.pcapng"))
}
