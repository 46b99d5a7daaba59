//! Packages of Python that tests read our files with, in an environment of the
//! repository's own.

use std::{fs, io, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Done, announce};
use crate::{Repo, process};

const DUCKDB: &str = "2.0.1";

/// DuckDB, which reads Parquet.
pub(super) fn duckdb(repo: &Repo) -> Result<Done> {
    let folder = repo.python();
    let python = folder.join("bin/python");
    if answers(&python) {
        return Ok(Done::AlreadyThere);
    }
    announce(&format!("installing duckdb {DUCKDB}"));
    // What is left of another version, or of another Python, is in the way.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
        }
        _ => {}
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    process::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            // It needs no other package, and is not to be built here.
            .args(["--no-deps", "--only-binary", ":all:"])
            .arg(format!("duckdb=={DUCKDB}")),
    )?;
    ensure!(answers(&python), "duckdb {DUCKDB} was installed into {} and does not answer", folder.display());
    Ok(Done::Installed)
}

/// True when this Python has the package in this version.
fn answers(python: &Path) -> bool {
    python.exists()
        && process::stdout(Command::new(python).args(["-c", "import duckdb; print(duckdb.__version__)"]))
            .is_ok_and(|answer| answer.trim() == DUCKDB)
}
