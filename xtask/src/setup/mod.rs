//! `cargo xtask setup`: installs what is missing, and nothing else. Each step
//! looks first, so a second call changes nothing.

mod cargo_tool;
mod debian;
mod python;
mod toolchain;

use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

pub(crate) use self::{debian::update_package_lists, toolchain::OTHER_PLATFORMS};
use crate::{Repo, root::Root};

/// What the host is to be made ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    /// Building and running the main job.
    Demo,
    /// All that, and what benchmarks compare with.
    Bench,
    /// All that, and what the tests check licences and open captures, tables
    /// and kernels with.
    Test,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing had to be done.
    AlreadyThere,
    /// It was missing and is there now.
    Installed,
}

/// Runs every step for `purpose`.
pub(crate) fn run(repo: &Repo, purpose: For) -> Result<()> {
    step("Debian packages", || debian::install(&debian::needs(purpose)))?;
    step("Rust components", || toolchain::components(repo))?;
    step("bpf-linker", || cargo_tool::bpf_linker(repo))?;
    if purpose == For::Test {
        step("other platforms", || toolchain::other_platforms(repo))?;
        step("cargo-deny", || cargo_tool::cargo_deny(repo))?;
        step("DuckDB", || python::duckdb(repo))?;
    }
    Ok(())
}

/// Runs one step and prints how it ended and how long it took.
fn step(name: &str, work: impl FnOnce() -> Result<Done>) -> Result<()> {
    let start = Instant::now();
    let done = work().with_context(|| format!("setup: {name}"))?;
    let done = match done {
        Done::AlreadyThere => "already there",
        Done::Installed => "installed",
    };
    println!("setup: {name}: {done} ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(())
}

/// Says what a step is about to do, before it takes long.
fn announce(what: &str) {
    println!("setup: {what}");
}

/// The way to root, for apt.
fn root() -> Result<Root> {
    Root::find().context("cannot install Debian packages")
}
