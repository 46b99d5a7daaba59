//! The key that addresses are mapped by.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;

use anyhow::{Context, anyhow};
use shaper_offline::anonymize::Key;

/// More than any file with a key has.
const LONGEST: u64 = 1024;

/// The key that is told, by itself or in a file; without one, a new one that nobody knows.
pub(super) fn chosen(told: Option<&OsStr>) -> anyhow::Result<Key> {
    let Some(told) = told else {
        let mut bytes = [0; Key::LENGTH];
        getrandom::fill(&mut bytes)
            .context("the system gives no random key: give one with --anonymize-key, of 64 hexadecimal digits")?;
        return Ok(Key::new(bytes));
    };
    if let Some(Ok(key)) = told.to_str().map(str::parse) {
        return Ok(key);
    }
    let path = told.display();
    let wrong = "--anonymize-key takes 64 hexadecimal digits, or a file of 32 bytes or of such digits, as \
                 `head -c 32 /dev/urandom > FILE` makes one";
    let mut content = Vec::new();
    let read = File::open(told).and_then(|file| file.take(LONGEST).read_to_end(&mut content));
    read.with_context(|| format!("{path}: cannot be read: {wrong}"))?;
    Key::of_file(&content).map_err(|error| anyhow!("{path}: {error}: {wrong}"))
}
