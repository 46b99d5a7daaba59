//! The command under test, at its ends.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use shaper_net::process::ProcessId;

use crate::support::SHAPER;

/// How soon what must happen has happened. It needs a fraction of this: in a guest with an emulated processor some
/// seconds; other work on the machine may need the rest.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn shaper(arguments: &[&str]) -> Output {
    Command::new(SHAPER).args(arguments).output().unwrap()
}

/// Starts the command; what it prints can be read when it has ended.
pub(crate) fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(SHAPER);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn signal(process: ProcessId, signal: i32) {
    if let Some(running) = process.open().unwrap() {
        running.signal(signal).unwrap();
    }
}
