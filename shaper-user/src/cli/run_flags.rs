//! Flags of all runs, whether a workload is named or a scenario.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use shaper_engine::Recording;
use shaper_profile::Expectation;
use shaper_profile::quantity::Size;

/// What is recorded.
#[derive(Debug, ClapArgs)]
pub(super) struct RecordsFlag {
    /// Of which decisions a record is written, and replayed: all, drops, one in so many, such as 1/100, or off
    #[arg(long, value_name = "all|drops|1/N|off", default_value_t = Recording::All)]
    pub(super) records: Recording,
}

/// How it is run.
#[derive(Debug, ClapArgs)]
pub(super) struct RunFlags {
    /// The seed of every draw: the same seed gives the same draws to the same packet index [default: 1, or what a
    /// scenario says]
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// What is demanded, beside what a scenario expects, such as 'loss.a_to_b < 6%' or 'delivery > 95%': the exit code is
    /// 1 where it does not hold; may be given again
    #[arg(long, value_name = "EXPECTATION")]
    pub(super) expect: Vec<Expectation>,
    /// The run directory, new or empty [default: runs/<utc>-<name>]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Print the summary alone, as JSON, on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Let the delay line spin instead of sleep: least lateness, one CPU gone
    #[arg(long)]
    pub(super) busy_poll: bool,
    #[command(flatten)]
    pub(super) recording: RecordsFlag,
    /// Kernel buffer of each capture
    #[arg(long, value_name = "SIZE", default_value = "16MB")]
    capture_buffer: Size,
}

impl RunFlags {
    /// Bytes of each capture's buffer, as far as libpcap can be told.
    pub(super) fn capture_buffer(&self) -> i32 {
        i32::try_from(self.capture_buffer.0).unwrap_or(i32::MAX)
    }
}
