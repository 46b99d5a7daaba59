//! The layer of the offline build: `shaper` without its feature `live` builds without a BPF object, and analyses the
//! sample captures as is written beside them; `report` and `compare` pass their tests in it; and it compiles for other
//! platforms, and without a lint of its own.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{Repo, process, setup::OTHER_PLATFORMS};

/// Builds into a target folder of its own: the `shaper` that other layers run must stay.
pub(crate) fn check(repo: &Repo, full: bool) -> Result<()> {
    let target = repo.target.join("offline");
    let mut build = repo.cargo();
    build.args(["build", "--package", "shaper-user", "--no-default-features", "--target-dir"]);
    process::run(build.arg(&target).env_remove("SHAPER_BPF_OBJECT"))?;
    analyze(repo, &target.join("debug/shaper"))?;
    let mut stored = repo.cargo();
    stored.args(["test", "--package", "shaper-user", "--no-default-features", "--test", "cli_stored", "--target-dir"]);
    process::run(stored.arg(&target).env_remove("SHAPER_BPF_OBJECT"))?;
    lints(repo, &target)?;
    other_platforms(repo, &target, full)
}

/// What is left out with the feature leaves nothing behind that is unused, in the tests neither.
fn lints(repo: &Repo, target: &Path) -> Result<()> {
    let mut clippy = repo.cargo();
    clippy.args(["clippy", "--package", "shaper-user", "--no-default-features", "--all-targets", "--no-deps"]);
    clippy.arg("--target-dir").arg(target).args(["--", "--deny", "warnings"]);
    process::run(clippy.env_remove("SHAPER_BPF_OBJECT"))
}

/// Only checked: to link takes the platform's own linker. Those that are no other system have their turn in the full run.
fn other_platforms(repo: &Repo, target: &Path, full: bool) -> Result<()> {
    let platforms = OTHER_PLATFORMS.iter().filter(|platform| full || !platform.contains("linux"));
    let mut check = repo.cargo();
    check.args(["check", "--package", "shaper-user", "--no-default-features"]);
    check.args(platforms.flat_map(|platform| ["--target", platform]));
    process::run(check.arg("--target-dir").arg(target).env_remove("SHAPER_BPF_OBJECT"))
}

fn analyze(repo: &Repo, shaper: &Path) -> Result<()> {
    let mut command = Command::new(shaper);
    command.current_dir(&repo.root).args(["analyze", "captures/wifi-a.pcapng", "captures/wifi-b.pcapng", "--json"]);
    let found = process::stdout(&mut command)?;
    let golden = repo.root.join("captures/wifi.json");
    let expected = fs::read_to_string(&golden).with_context(|| format!("cannot read {}", golden.display()))?;
    let differs = || format!("`{}` does not write what is in {}", process::show(&command), golden.display());
    ensure!(found == expected, differs());
    println!("{}: as in {}", process::show(&command), golden.display());
    Ok(())
}
