//! The schema of `summary.json`: what a run asked for, what it got, and what that means.
//!
//! Every key is always present; what a run does not have is null or empty. Times of day are RFC 3339,
//! ratios are 0 to 1, units stand in the names, and every proportion carries its Wilson interval.

mod application;
mod link;
mod outcome;
mod scene;
mod webrtc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use application::{
    Clock, CommandCounts, Commands, Convergence, LatencySplit, Leave, Schedule, Spread, Stage, SyncFailures, Tempo,
};
pub use link::{
    CaptureCounts, Configured, Conservation, Counts, Direction, HARNESS_CAUSES, Join, Lateness, Measured, Oracle,
    RuleCounts, Window,
};
pub use outcome::{Expectation, Finding, Grade, GradeLevel, GradePart, GradeParts, Severity, SyncLevel};
pub use scene::{Phase, PhaseDirection, Program};
pub use webrtc::{Client, ClientOutage, ClientSecond, LegLosses, Second, ServerOutage, Threshold, Used, WebRtc};

use crate::stats::Distribution;

/// The version of the schema that this build writes. It rises when a key changes its meaning or goes;
/// a new key does not raise it.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole of `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this schema, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What was run, where and when.
    pub run: Run,
    /// 0: the run held. 1: an expectation failed or a finding is an error. 2: the run could not be made.
    pub exit_code: u8,
    /// What a reader must know before any figure, the gravest first.
    pub findings: Vec<Finding>,
    /// What the user demanded of the run.
    pub expectations: Vec<Expectation>,
    /// The workload's own grade; null for a workload that has none.
    pub grade: Option<Grade>,
    /// Configured, measured and their agreement, by direction (`a_to_b`, `b_to_a`).
    pub directions: BTreeMap<String, Direction>,
    /// The replay of the recorded arrivals in userspace.
    pub oracle: Oracle,
    /// Where every packet went, in total and by direction.
    pub conservation: Conservation,
    /// Packets that passed without a fate because no rule matches them: ARP, neighbour discovery, IGMP, MLD.
    pub bypassed: u64,
    /// Packets whose headers could not be read, so that no rule was asked about them.
    #[serde(default)]
    pub unread: u64,
    /// Flows that were forgotten for others: should they come back, they begin anew.
    #[serde(default)]
    pub flows_evicted: u64,
    /// The workload's commands, in total and by peer; null without commands.
    pub commands: Option<Commands>,
    /// From a command's intended send time to its answer's arrival at the controller, in milliseconds.
    pub response_time_ms: Option<Distribution>,
    /// The same with commands that were never answered counted as infinitely late.
    pub response_time_all_ms: Option<Distribution>,
    /// From a command's intended send time to the changed state at a peer, in milliseconds.
    pub time_to_state_ms: Option<Distribution>,
    /// The same with commands that never changed the state counted as infinitely late.
    pub time_to_state_all_ms: Option<Distribution>,
    /// From the first to the last peer in the new state; null with fewer than two peers.
    pub spread_ms: Option<Spread>,
    /// Re-convergence after each outage.
    pub convergence: Vec<Convergence>,
    /// Peers found in another state than the controller's last command, outages apart.
    pub sync_failures: Option<SyncFailures>,
    /// The clock estimate of each peer.
    pub clock: BTreeMap<String, Clock>,
    /// The drift of each peer's transport position against the controller's, in parts per million; null
    /// where it could not be estimated.
    pub position_drift_ppm: BTreeMap<String, Option<f64>>,
    /// Tempo commands by peer; empty for a run that sets no tempo.
    #[serde(default)]
    pub tempo: BTreeMap<String, Tempo>,
    /// What still reached the host of each peer that left the group; empty where none did.
    #[serde(default)]
    pub leave: BTreeMap<String, Leave>,
    /// Where a command's latency went; null where commands could not be joined to packets.
    pub latency_split: Option<LatencySplit>,
    /// Lateness of the delay line beside this host's own idle timer error.
    pub lateness: Lateness,
    /// What each capture point saw, by the name of its host.
    pub captures: BTreeMap<String, CaptureCounts>,
    /// The join of the captures with the engine's records; null without captures.
    pub join: Option<Join>,
    /// Whether the workload kept its own send schedule; null where it has none.
    pub schedule: Option<Schedule>,
    /// What WebRTC clients sent each other; null for another workload.
    #[serde(default)]
    pub webrtc: Option<WebRtc>,
    /// What became of the commands of a scenario; empty without any.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// The run from change to change of its link; empty where nothing changes at set times, or records do not say.
    #[serde(default)]
    pub phases: Vec<Phase>,
}

impl Summary {
    /// A summary of a run of which nothing is known yet: all figures empty, exit code 2.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            run,
            exit_code: 2,
            findings: Vec::new(),
            expectations: Vec::new(),
            grade: None,
            directions: BTreeMap::new(),
            oracle: Oracle::default(),
            conservation: Conservation::default(),
            bypassed: 0,
            unread: 0,
            flows_evicted: 0,
            commands: None,
            response_time_ms: None,
            response_time_all_ms: None,
            time_to_state_ms: None,
            time_to_state_all_ms: None,
            spread_ms: None,
            convergence: Vec::new(),
            sync_failures: None,
            clock: BTreeMap::new(),
            position_drift_ppm: BTreeMap::new(),
            tempo: BTreeMap::new(),
            leave: BTreeMap::new(),
            latency_split: None,
            lateness: Lateness::default(),
            captures: BTreeMap::new(),
            join: None,
            schedule: None,
            webrtc: None,
            programs: Vec::new(),
            phases: Vec::new(),
        }
    }

    /// Adds a finding, keeping the gravest first and equals in the order they were made.
    pub fn find(&mut self, severity: Severity, text: impl Into<String>) {
        self.findings.push(Finding { severity, text: text.into() });
        self.findings.sort_by_key(|finding| finding.severity);
    }

    /// The text of `summary.json`, ending in a newline.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, SummaryError> {
        let mut text = serde_json::to_string_pretty(self).map_err(SummaryError::Write)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads the text of a `summary.json`. Unknown keys are passed over.
    ///
    /// # Errors
    /// When the text is no summary, with line and column, or is of a newer schema.
    pub fn from_json(text: &str) -> Result<Self, SummaryError> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_str(text).map_err(SummaryError::Read)?;
        if schema_version != SCHEMA_VERSION {
            return Err(SummaryError::Version { found: schema_version });
        }
        serde_json::from_str(text).map_err(SummaryError::Read)
    }
}

/// Why a summary could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// A value has no JSON form.
    #[error("cannot write the summary as JSON: {0}")]
    Write(#[source] serde_json::Error),
    /// The text is not a summary.
    #[error("cannot read the summary: {0}: is this the summary.json of a run directory?")]
    Read(#[source] serde_json::Error),
    /// The schema is another one.
    #[error("the summary has schema version {found}, this build reads {SCHEMA_VERSION}: use the version that made it")]
    Version {
        /// The version found.
        found: u32,
    },
}

/// What was run, where and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's name, that of its directory.
    pub name: String,
    /// The workload: `toast`, `probe`, `webrtc`, `commands`.
    pub workload: String,
    /// The profile of the link, or `custom`.
    pub profile: String,
    /// The seed of every draw; a whole number up to 2^64 - 1.
    pub seed: u64,
    /// How long traffic was offered, in seconds.
    pub duration_s: f64,
    /// When the run started, RFC 3339, UTC.
    pub started: String,
    /// The kernel's release, as `uname -r` gives it.
    pub kernel: String,
    /// The engine that impaired the link: `xsk`.
    pub engine: String,
    /// How XDP was attached: `driver` or `generic`; null for an engine without XDP.
    pub xdp_mode: Option<String>,
    /// The version of the program.
    pub version: String,
}
