//! `cargo xtask build`: one file, `target/release/shaper`, the BPF object inside.

use anyhow::Result;

use crate::{Repo, bpf, process, setup};

/// Sets up what building needs, then builds.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    setup::run(repo, setup::For::Demo)?;
    bpf::build(repo)?;
    shaper(repo)?;
    println!("build: {}", repo.shaper().display());
    Ok(())
}

/// Builds the `shaper` binary; the BPF object must have been built.
pub(crate) fn shaper(repo: &Repo) -> Result<()> {
    process::run(repo.cargo().args(["build", "--release", "--package", "shaper-user"]))
}
