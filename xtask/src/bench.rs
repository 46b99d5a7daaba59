//! `cargo xtask bench`: the benchmarks, built and run as root.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{Repo, bpf, process, root::Root, setup};

/// What a caller may ask for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write all figures with their repeats to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run this suite only: decision, core, toast, link, lateness, peers, webrtc.
    #[arg(long, value_name = "NAME")]
    only: Vec<OsString>,
    /// How often each figure is taken.
    #[arg(long, value_name = "N")]
    repeats: Option<u32>,
}

/// Builds and runs; the exit code is the run's own.
pub(crate) fn run(repo: &Repo, arguments: &Arguments) -> Result<ExitCode> {
    // Before anything takes time: the file is the caller's, not root's, and may not be to be had.
    let json = arguments.json.as_deref().map(create).transpose()?;
    setup::run(repo, setup::For::Bench)?;
    bpf::build(repo)?;
    process::run(repo.cargo().args(["build", "--release", "--package", "shaper-bench", "--package", "shaper-user"]))?;
    let root = Root::find().context("cannot run the benchmarks")?;
    let mut command = root.command(repo.target.join("release/shaper-bench"), &[]);
    command.current_dir(&repo.root);
    for suite in &arguments.only {
        command.arg("--only").arg(suite);
    }
    if let Some(repeats) = arguments.repeats {
        command.arg("--repeats").arg(repeats.to_string());
    }
    if let Some(json) = json {
        command.arg("--json").stdout(json);
    }
    println!("bench: {}", process::show(&command));
    let status = command.status().with_context(|| format!("cannot start `{}`", process::show(&command)))?;
    let code = status.code().with_context(|| format!("`{}` ended by a signal: {status}", process::show(&command)))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}
