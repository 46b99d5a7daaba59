//! The whole experiment: build a lab or take interfaces, impair its links, drive a workload, capture, account, correlate, judge.

mod bed;
mod commands;
mod correlate;
mod decided;
mod directory;
mod execute;
mod foretell;
mod frames;
mod grade;
mod inputs;
mod interrupt;
mod judge;
mod manifest;
mod open_ended;
mod plan;
mod plots;
mod probe;
mod programs;
mod progress;
mod roles;
mod scenarios;
mod scene;
mod site;
mod split;
mod stage;
mod usage;
mod webrtc;
mod workload;

pub(crate) use bed::direction_spec;
pub use bed::{Bed, BedOptions, Ground};
pub use directory::RunDirectory;
pub(crate) use directory::caller;
#[cfg(feature = "webrtc")]
pub(crate) use directory::default_directory;
pub use execute::{Finished, execute};
pub(crate) use foretell::foretell_all;
pub(crate) use foretell::told;
pub(crate) use frames::sizing;
pub(crate) use open_ended::OpenEnded;
pub use plan::{Plan, RunError};
pub use scene::{At, HostOfTwo, Scene, SceneError};
pub use workload::{ClockInjection, ProbePlan, ServerKill, ToastPlan, WebRtcPlan, Workload};
