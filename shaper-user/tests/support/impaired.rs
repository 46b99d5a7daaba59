//! An interface that is impaired, and how it stands.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::process::Child;

use crate::command::{SOON, shaper, start, stderr};
use crate::support::until;

pub(crate) fn apply(arguments: &[&str]) -> Child {
    start(&[&["apply"], arguments].concat())
}

pub(crate) fn status() -> serde_json::Value {
    let output = shaper(&["status", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the interface is impaired.
pub(crate) fn impaired() -> bool {
    until(SOON, || status().as_array().is_some_and(|all| !all.is_empty()))
}
