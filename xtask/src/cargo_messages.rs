//! What `cargo --message-format=json` says it built.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One executable that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The target's name: of the library, the binary, or the file in `tests/`.
    pub(crate) name: String,
    /// The target's kind as cargo writes it: `lib`, `bin`, `test`, …
    pub(crate) kind: String,
    /// The package's Cargo.toml.
    pub(crate) manifest: PathBuf,
    /// The file to run.
    pub(crate) executable: PathBuf,
    /// Built with the test harness.
    pub(crate) test: bool,
}

/// The executables among cargo's messages, one message a line; other lines are
/// passed over.
pub(crate) fn executables(messages: &str) -> Result<Vec<Artifact>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value =
            serde_json::from_str(line).with_context(|| format!("cargo wrote a line that is not JSON: {line}"))?;
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let target = &message["target"];
        if let (Some(executable), Some(name), Some(kind), Some(manifest)) = (
            text(&message["executable"]),
            text(&target["name"]),
            text(&target["kind"][0]),
            text(&message["manifest_path"]),
        ) {
            found.push(Artifact {
                name,
                kind,
                manifest: manifest.into(),
                executable: executable.into(),
                test: message["profile"]["test"] == true,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_taken() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/r/a/Cargo.toml","target":{"name":"a","kind":["lib"]},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/r/a/Cargo.toml","target":{"name":"ns_link","kind":["test"]},"profile":{"test":true},"executable":"/t/ns_link-1"}"#,
            "\nwarning: something else\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = executables(messages).unwrap();
        assert_eq!(
            found,
            [Artifact {
                name: "ns_link".into(),
                kind: "test".into(),
                manifest: "/r/a/Cargo.toml".into(),
                executable: "/t/ns_link-1".into(),
                test: true,
            }]
        );
    }

    #[test]
    fn a_broken_message_is_an_error() {
        assert!(executables("{\"reason\":").is_err());
    }
}
