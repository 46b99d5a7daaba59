//! An interface that is impaired, and how it stands.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests panic with their context")]

use std::io::Read as _;
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

/// Waits until the interface is impaired. Panics with what its command said, where that ended or takes too long.
pub(crate) fn impaired(running: &mut Child) {
    let mut ended = false;
    let there = || status().as_array().is_some_and(|all| !all.is_empty());
    let waited = until(SOON, || {
        ended = running.try_wait().unwrap().is_some();
        ended || there()
    });
    if ended || !waited {
        running.kill().unwrap();
        let mut said = String::new();
        running.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        running.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("not impaired, ended: {ended}\n{said}");
    }
}
