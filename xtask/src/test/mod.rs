//! `cargo xtask test`: every layer in order, each under its header; the last
//! lines say what passed, what failed, and what could not run and why.

mod binaries;
mod fuzz;
mod guest;
mod libtest;
mod offline;
mod rings;
mod summary;
mod verifier;

use std::{env, process::ExitCode};

use anyhow::Result;

use self::{
    binaries::{Kind, Runner},
    summary::{Counts, Outcome, Summary},
};
use crate::{Repo, bpf, process, repo::BPF_PACKAGE, setup, vm};

/// Sets up what testing needs, then runs every layer.
pub(crate) fn run(repo: &Repo, full: bool) -> Result<ExitCode> {
    setup::run(repo, setup::For::Test)?;
    let ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");

    let runner = Runner::new(repo, full);
    let mut summary = Summary::default();
    let mut tests = Vec::new();

    summary.layer("BPF build", || {
        bpf::build(repo)?;
        check(Ok(()))
    });
    summary.layer("format", || check(process::run(repo.cargo().args(["fmt", "--all", "--check"]))));
    summary.layer("lints, host", || {
        check(process::run(repo.cargo().args([
            "clippy",
            "--release",
            "--all-targets",
            "--no-deps",
            "--",
            "--deny",
            "warnings",
        ])))
    });
    summary.layer("lints, BPF", || check(process::run(&mut bpf::clippy(repo))));
    summary.layer("licences", || licences(repo));
    summary.layer("build", || {
        let (built, complete) = runner.build()?;
        tests = built;
        anyhow::ensure!(complete, "not every test could be built");
        check(Ok(()))
    });
    summary.layer("offline build", || check(offline::check(repo, full)));
    summary.layer("unit and model", || {
        let rings = rings::packages(repo)?;
        let mut counts = runner.plain(&tests, |manifest| !rings.contains(manifest))?;
        println!("--- examples in the documentation");
        let mut doc = repo.cargo();
        doc.args(["test", "--release", "--workspace", "--exclude", BPF_PACKAGE]).args(["--doc", "--no-fail-fast"]);
        counts += runner.count(&mut doc)?;
        Ok(Outcome::Ran(counts))
    });
    summary.layer("rings (loom)", || {
        let rings = rings::packages(repo)?;
        let counts = runner.plain(&tests, |manifest| rings.contains(manifest))?;
        Ok(Outcome::ran_or(counts, "no package has loom tests"))
    });
    summary.layer("fuzz targets", || fuzz::run(repo, full));
    summary.layer("BPF against the oracle", || runner.as_root(&tests, Kind::Bpf, &[]));
    summary.layer("namespaces", || runner.as_root(&tests, Kind::Namespace, &["--test-threads=1"]));
    summary.layer("verifier, this kernel", || verifier::host(repo, &runner));
    for series in if full { &vm::SERIES[..] } else { &vm::SERIES[..1] } {
        summary.layer(format!("verifier, Debian {series}"), || verifier::guest(repo, series));
        summary.layer(format!("data path, Debian {series}"), || guest::run(repo, &tests, series, full));
        if full {
            summary.layer(format!("comparison, Debian {series}"), || guest::comparison(repo, series));
        }
    }

    println!("\n=== summary{}", if full { " (full)" } else { "" });
    let held = summary.holds(ci);
    if !held && ci {
        println!("CI is set: every layer must run");
    }
    print!("{}", summary.text());
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The layer of the fuzz targets by itself.
pub(crate) fn fuzz_alone(repo: &Repo) -> Result<ExitCode> {
    setup::run(repo, setup::For::Test)?;
    let mut summary = Summary::default();
    summary.layer("fuzz targets", || fuzz::run(repo, false));
    Ok(if summary.holds(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One check that is no test binary: it held, or this is why not.
fn check(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Ran(Counts::check(true)))
}

fn licences(repo: &Repo) -> Result<Outcome> {
    let mut path = vec![repo.tools().join("bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    check(process::run(repo.cargo().env("PATH", env::join_paths(path)?).args([
        "deny",
        "--workspace",
        "check",
        "licenses",
        "bans",
        "sources",
    ])))
}
