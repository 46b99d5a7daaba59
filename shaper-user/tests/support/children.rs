//! The processes that a run starts.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::fs;

use shaper_net::process::ProcessId;

/// A child of `parent` whose command line has this argument.
pub(crate) fn child(parent: u32, argument: &str) -> Option<ProcessId> {
    let parent = format!("PPid:\t{parent}");
    let is_it = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let has_argument = command.split(|byte| *byte == 0).any(|found| found == argument.as_bytes());
        (has_argument && status.lines().any(|line| line == parent)).then_some(pid)
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ProcessId::of(pids.into_iter().find_map(is_it)?).ok()
}
