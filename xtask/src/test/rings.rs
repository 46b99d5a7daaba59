//! The layer of the rings: loom tries every order in which threads can meet.
//!
//! A package takes part when it has a feature `loom`, or uses `cfg(loom)`. Its
//! loom tests are those in `tests/loom_*.rs`, and those of its library whose
//! path contains `loom`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    binaries::{self, Kind, Runner},
    summary::{Counts, Outcome},
};
use crate::{Repo, process};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Feature,
    Cfg,
}

#[derive(Clone, Debug)]
struct Package {
    name: String,
    switch: Switch,
    test_files: Vec<String>,
}

/// Builds and runs the loom tests of every package that has some.
pub(crate) fn run(repo: &Repo, runner: &Runner<'_>) -> Result<Outcome> {
    let packages = packages(repo)?;
    if packages.is_empty() {
        return Ok(Outcome::CannotRun {
            reason: "no package has a feature `loom` or uses `cfg(loom)`".into(),
            tests: 0,
        });
    }
    let mut counts = Counts::default();
    for package in packages {
        let mut cargo = repo.cargo();
        cargo.args(["test", "--release", "--no-run", "--lib", "--package"]);
        cargo.arg(&package.name);
        for file in &package.test_files {
            cargo.args(["--test", file]);
        }
        match package.switch {
            Switch::Feature => cargo.args(["--features", "loom"]),
            Switch::Cfg => cargo.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=loom"),
        };
        let (built, complete) = binaries::build(&mut cargo)?;
        if !complete {
            bail!("`{}` failed", process::show(&cargo));
        }
        let mut of_package = Counts::default();
        for artifact in &built {
            let filter: &[&str] = match Kind::of(artifact) {
                Kind::Loom => &[],
                _ => &["loom"],
            };
            let command = Command::new(&artifact.executable);
            of_package += runner.run(artifact, command, filter)?;
        }
        if of_package == Counts::default() {
            bail!("{} is switched to loom and none of its tests is one: name them `loom…`", package.name);
        }
        counts += of_package;
    }
    Ok(Outcome::Ran(counts))
}

fn packages(repo: &Repo) -> Result<Vec<Package>> {
    let text = process::stdout(repo.cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` did not write JSON")?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (Some(name), Some(manifest)) = (package["name"].as_str(), package["manifest_path"].as_str().map(Path::new))
        else {
            continue;
        };
        // This package speaks of loom and has none.
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        let switch = if !package["features"]["loom"].is_null() {
            Switch::Feature
        } else if mentions_cfg(manifest.parent().unwrap_or(manifest))? {
            Switch::Cfg
        } else {
            continue;
        };
        let test_files = package["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|target| target["kind"][0] == "test")
            .filter_map(|target| target["name"].as_str())
            .filter(|file| file.starts_with("loom_"))
            .map(str::to_owned)
            .collect();
        found.push(Package { name: name.to_owned(), switch, test_files });
    }
    Ok(found)
}

/// True when a source file of the package is compiled differently for loom.
fn mentions_cfg(package: &Path) -> Result<bool> {
    let mut folders: Vec<PathBuf> =
        ["src", "tests"].iter().map(|folder| package.join(folder)).filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new("rs")) {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                if text.contains("cfg(loom)") || text.contains("cfg(not(loom))") {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_compiled_for_loom_is_found() {
        let package = tempfile::tempdir().unwrap();
        let inner = package.path().join("src/ring");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("mod.rs"), "// plain\n").unwrap();
        assert!(!mentions_cfg(package.path()).unwrap());
        fs::write(inner.join("sync.rs"), "#[cfg(loom)]\nuse loom::x;\n").unwrap();
        assert!(mentions_cfg(package.path()).unwrap());
    }
}
