//! `cargo xtask vm --kernel all --matrix`: kernel by engine by driver by feature, tried in guests and on this host, and
//! written to docs/kernel-matrix.md.
//!
//! `shaper-bench drivers` tries and writes a line of JSON a feature.

use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    Repo, bpf, build, process,
    root::Root,
    setup,
    stream::{self, End},
    vm::{self, Guest, Nic},
};

/// Where the page is.
const PAGE: &str = "docs/kernel-matrix.md";
/// What the lines begin with that hold results.
const LINE: &str = "SHAPER-DRIVER ";
/// The longest that the trials of one kernel may take.
const LIMIT: Duration = Duration::from_secs(5 * 60);

const HEAD: &str = "# Kernels, engines, drivers

Written by `cargo xtask vm --kernel all --matrix`, which tries each feature and reads nothing off versions: on Debian's \
kernels in qemu, with interfaces between the guest and a tap of the test's own, and on the host that it was called on, with \
veth alone. What stands behind a yes or a no is what the trial saw; times of guests are those of an emulated processor.

- **XDP native**, **generic**: a program that passes all is attached in the driver, or above it, and echo requests are \
answered through it. Our engines do not need XDP on the interface itself: theirs runs on a veth pair of their own.
- **AF_XDP**: whether a socket can be bound to queue 0 in copy mode. Zero-copy is *untested* until a NIC proves it: no \
device that qemu emulates can.
- **apply, both directions**: `shaper apply IFACE --delay 20ms --engine …`, by which TC hook packets are led away, and the \
mode of XDP on the pair. **20 ms each way**: echo requests, none answered early. **As before at the end**: nothing is left, \
and nothing is delayed.
";

/// A feature and what came of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Finding {
    kernel: String,
    driver: String,
    engine: Option<String>,
    feature: String,
    word: String,
    detail: String,
    /// Whether it should be a yes.
    needed: bool,
}

impl Finding {
    /// What a line holds, if it holds a finding.
    pub(crate) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.split_once(LINE)?.1).ok()
    }

    /// Kernel, driver and engine.
    fn row(&self) -> (&str, &str, &str) {
        (&self.kernel, &self.driver, self.engine.as_deref().unwrap_or(""))
    }

    /// Whether it works; none where that was not tried or is as it is.
    pub(crate) fn works(&self) -> Option<bool> {
        match self.word.as_str() {
            "yes" => Some(true),
            "no" if self.needed => Some(false),
            _ => None,
        }
    }
}

/// Tries everything and writes the page.
pub(crate) fn run(repo: &Repo, kernels: &[String]) -> Result<ExitCode> {
    setup::run(repo, setup::For::Test)?;
    bpf::build(repo)?;
    build::shaper(repo)?;
    build(repo)?;
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    let mut whole = true;
    for series in kernels {
        match vm::get(repo, series) {
            Ok(kernel) => whole &= guest(repo, &kernel, |finding| found.push(finding))?,
            Err(error) => skipped.push(format!("Linux {series}: {error:#}")),
        }
    }
    whole &= here(repo, &mut found)?;
    let path = repo.root.join(PAGE);
    fs::write(&path, page(&found, &skipped)).with_context(|| format!("cannot write {}", path.display()))?;
    println!("vm: wrote {}", path.display());
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the program that tries.
pub(crate) fn build(repo: &Repo) -> Result<()> {
    process::run(repo.cargo().args(["build", "--release", "--package", "shaper-bench"]))
}

fn program(repo: &Repo) -> PathBuf {
    repo.target.join("release/shaper-bench")
}

/// Tries everything on a kernel, in a guest with every device; true when nothing failed.
pub(crate) fn guest(repo: &Repo, kernel: &vm::Kernel, mut each: impl FnMut(Finding)) -> Result<bool> {
    let (program, shaper) = (program(repo), [repo.shaper()]);
    let arguments = ["drivers", "--nics", "virtio_net,e1000e"].map(Into::into);
    let guest = Guest { beside: &shaper, nics: &Nic::ALL, ..Guest::new(&program, &arguments, LIMIT) };
    let code = vm::boot(repo, kernel, &guest, |line| {
        println!("{line}");
        if let Some(finding) = Finding::read(line) {
            each(finding);
        }
    })?;
    Ok(code == 0)
}

fn here(repo: &Repo, found: &mut Vec<Finding>) -> Result<bool> {
    let root = Root::find().context("cannot try the features on this host")?;
    let mut command = root.command(program(repo), &[]);
    command.arg("drivers").current_dir(&repo.root);
    let end = stream::run(&mut command, LIMIT, |line| {
        println!("{line}");
        found.extend(Finding::read(line));
    })?;
    if matches!(end, End::TimedOut) {
        bail!("`{}` did not finish within {} s", process::show(&command), LIMIT.as_secs());
    }
    Ok(end.succeeded())
}

fn page(found: &[Finding], skipped: &[String]) -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## Drivers by themselves\n");
    overview(&mut out, found, false);
    out.push_str("\n## Engines on them\n");
    overview(&mut out, found, true);
    out.push_str("\n## What the trials saw\n\n| kernel | driver | engine | feature | | |\n|");
    out.push_str(&" --- |".repeat(6));
    for Finding { kernel, driver, engine, feature, word, detail, .. } in found {
        let engine = engine.as_deref().unwrap_or("");
        let word = if word == "no" { "**no**" } else { word };
        let _ =
            write!(out, "\n| {kernel} | {driver} | {engine} | {feature} | {word} | {} |", detail.replace('|', "\\|"));
    }
    out.push('\n');
    for reason in skipped {
        let _ = write!(out, "\n- Skipped: {reason}\n");
    }
    out
}

/// A row for each kernel, driver and engine, with a column a feature.
fn overview(out: &mut String, found: &[Finding], engines: bool) {
    let found: Vec<&Finding> = found.iter().filter(|one| one.engine.is_some() == engines).collect();
    let (mut features, mut rows): (Vec<&str>, Vec<(&str, &str, &str)>) = Default::default();
    for one in &found {
        let row = one.row();
        if !features.contains(&one.feature.as_str()) {
            features.push(&one.feature);
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let first = if engines { "| kernel | driver | engine |" } else { "| kernel | driver |" };
    let _ = write!(out, "\n{first}");
    for feature in &features {
        let _ = write!(out, " {feature} |");
    }
    let _ = write!(out, "\n|{}", " --- |".repeat(features.len() + if engines { 3 } else { 2 }));
    for (kernel, driver, engine) in rows {
        let _ = write!(out, "\n| {kernel} | {driver} |");
        if engines {
            let _ = write!(out, " {engine} |");
        }
        for feature in &features {
            let is_it = |one: &&&Finding| one.feature == *feature && one.row() == (kernel, driver, engine);
            let _ = match found.iter().find(is_it).map_or("untested", |one| one.word.as_str()) {
                "no" => write!(out, " **no** |"),
                word => write!(out, " {word} |"),
            };
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"SHAPER-DRIVER {"kernel":"6.1","driver":"e1000e","engine":null,"feature":"XDP native","word":"no","detail":"Operation not supported","needed":false}"#,
        r#"SHAPER-DRIVER {"kernel":"6.1","driver":"e1000e","engine":"xsk","feature":"20 ms each way","word":"no","detail":"3 early","needed":true}"#,
        r#"SHAPER-DRIVER {"kernel":"6.1","driver":"veth","engine":"edt","feature":"apply","word":"untested","detail":"no such engine","needed":false}"#,
    ];

    #[test]
    fn what_a_driver_has_not_is_no_failure() {
        let works: Vec<_> = LINES.iter().map(|line| Finding::read(line).unwrap().works()).collect();
        assert_eq!(works, [None, Some(false), None]);
        assert!(Finding::read("bench: nothing").is_none());
    }

    #[test]
    fn the_page_has_a_row_a_finding_and_names_what_was_skipped() {
        let found: Vec<_> = LINES.iter().map(|line| Finding::read(line).unwrap()).collect();
        let page = page(&found, &["Linux 6.12: none".into()]);
        assert!(page.contains("| 6.1 | e1000e |  | XDP native | **no** | Operation not supported |"), "{page}");
        assert!(page.contains("| 6.1 | veth | edt | apply | untested | no such engine |"), "{page}");
        assert!(page.contains("| kernel | driver | engine | 20 ms each way | apply |"), "{page}");
        assert!(page.contains("| 6.1 | e1000e | xsk | **no** | untested |"), "{page}");
        assert!(page.contains("- Skipped: Linux 6.12: none"), "{page}");
    }
}
