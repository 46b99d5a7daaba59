//! The layer of the rings: loom tries every order in which threads can meet.
//!
//! Its tests are ordinary unit tests on plain memory; they belong to this layer
//! when their package names loom among its dependencies.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Repo, process};

/// The Cargo.toml of every package of the workspace that depends on loom.
pub(crate) fn packages(repo: &Repo) -> Result<BTreeSet<PathBuf>> {
    let text = process::stdout(repo.cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    with_loom(&text)
}

fn with_loom(metadata: &str) -> Result<BTreeSet<PathBuf>> {
    let metadata: Value = serde_json::from_str(metadata).context("`cargo metadata` did not write JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    Ok(list(&metadata["packages"])
        .iter()
        .filter(|package| list(&package["dependencies"]).iter().any(|dependency| dependency["name"] == "loom"))
        .filter_map(|package| package["manifest_path"].as_str().map(PathBuf::from))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_depend_on_loom_are_found() {
        let metadata = r#"{"packages": [
            {"manifest_path": "/r/a/Cargo.toml", "dependencies": [{"name": "libc"}, {"name": "loom", "kind": "dev"}]},
            {"manifest_path": "/r/b/Cargo.toml", "dependencies": [{"name": "libc"}]},
            {"manifest_path": "/r/c/Cargo.toml", "dependencies": []}
        ]}"#;
        let found: Vec<_> = with_loom(metadata).unwrap().into_iter().collect();
        assert_eq!(found, [PathBuf::from("/r/a/Cargo.toml")]);
    }
}
