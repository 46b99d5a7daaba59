//! `cargo xtask demo`: the main job, end to end, on a host that may be fresh.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{Repo, build, process, root::Root};

const ARGUMENTS: &[&str] = &[
    "run",
    "toast",
    "--profile",
    "wifi",
    "--duration",
    "20s",
    "--seed",
    "7",
    "--outage-at",
    "10s",
    "--outage-length",
    "500ms",
];

/// Builds and runs; the exit code is the run's own.
pub(crate) fn run(repo: &Repo, extra: &[OsString]) -> Result<ExitCode> {
    // Looked for first: building takes minutes.
    let root = Root::find().context("cannot run the demo")?;
    build::run(repo)?;
    let mut command = root.command(repo.shaper(), &[]);
    command.args(ARGUMENTS).args(extra).current_dir(&repo.root);
    println!("demo: {}", process::show(&command));
    let status = command.status().with_context(|| format!("cannot start `{}`", process::show(&command)))?;
    let code = status.code().with_context(|| format!("`{}` ended by a signal: {status}", process::show(&command)))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
