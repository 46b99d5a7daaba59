//! What a scenario adds: commands, and the time from change to change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::{Distribution, Proportion};

/// A command of the scenario, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The host or network namespace that it was to run on; null for the first one.
    pub on: Option<String>,
    /// When it was started, since the start of the run; null if it was not.
    pub started_ms: Option<f64>,
    /// When it was seen to have ended.
    pub ended_ms: Option<f64>,
    /// Its exit code; null if it has none.
    pub exit_code: Option<i32>,
    /// The signal that ended it; null if none did.
    pub signal: Option<i32>,
    /// Whether the run ended it, for its time was over or the run's.
    pub ended_by_run: bool,
    /// Why it could not be started; null if it could.
    pub failure: Option<String>,
    /// The file of its standard output; null if it was not started.
    pub stdout: Option<String>,
    /// The file of its standard error.
    pub stderr: Option<String>,
}

/// The time between two changes of the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Since the start of the run.
    pub start_ms: f64,
    /// The next change; null for the last phase.
    pub end_ms: Option<f64>,
    /// By direction.
    pub directions: BTreeMap<String, PhaseDirection>,
}

/// What a direction did to packets that arrived within a phase, and whose decisions were recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseDirection {
    /// How many.
    pub packets: u64,
    /// Those that the link dropped, for whatever cause, of these.
    pub loss: Proportion,
    /// Actual release minus arrival, of the others.
    pub delay_ms: Distribution,
}
