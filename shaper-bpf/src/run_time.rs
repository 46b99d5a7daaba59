//! What programs take while they run, as the kernel counts it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use crate::{Error, Program};

/// The kernel counts what each program takes for as long as one of these lives: every program's, on the whole host, and
/// the counting takes some time as well.
#[derive(Debug)]
pub struct RunTimes {
    _counting: OwnedFd,
}

/// What a program took, since it was loaded, of the time in which it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// Which one.
    pub program: Program,
    /// How often it ran.
    pub runs: u64,
    /// For how long, all runs together.
    pub time: Duration,
}

impl RunTimes {
    /// Begins to count (BPF_ENABLE_STATS, Linux 5.8).
    ///
    /// # Errors
    ///
    /// Without CAP_SYS_ADMIN.
    pub fn count() -> Result<Self, Error> {
        let counting = enable_stats(Stats::RunTime).map_err(|error| Error::RunTimes(error.io_error.to_string()))?;
        Ok(Self { _counting: counting })
    }

    /// The counts of all loaded programs that are called as ours are, whoever loaded them.
    ///
    /// # Errors
    ///
    /// Without CAP_SYS_ADMIN.
    pub fn read(&self) -> Result<Vec<RunTime>, Error> {
        let mut found = Vec::new();
        for info in loaded_programs() {
            let info = info.map_err(|error| Error::RunTimes(error.to_string()))?;
            let program = Program::ALL.into_iter().find(|program| Some(program.name()) == info.name_as_str());
            found.extend(program.map(|program| RunTime { program, runs: info.run_count(), time: info.run_time() }));
        }
        Ok(found)
    }
}
