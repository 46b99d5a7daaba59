//! Files that are written.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;

/// A new file. One that is not filled to its end does not stay.
pub(super) struct Output<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> Output<'a> {
    /// Makes it, so that what cannot be written is told before everything is read.
    pub(super) fn create(path: &'a Path) -> anyhow::Result<Self> {
        // What is there already is not written over, a capture that is being read least of all.
        let file = File::options().write(true).create_new(true).open(path).with_context(|| unwritten(path))?;
        Ok(Self { path, file: Some(file) })
    }

    pub(super) fn fill<T>(mut self, write: impl FnOnce(BufWriter<File>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let file = self.file.as_ref().map(File::try_clone);
        let file = file.context("closed")?.with_context(|| unwritten(self.path))?;
        let done = write(BufWriter::new(file)).with_context(|| unwritten(self.path))?;
        self.file = None;
        Ok(done)
    }

    pub(super) fn text(self, text: &str) -> anyhow::Result<()> {
        self.fill(|mut out| {
            out.write_all(text.as_bytes())?;
            Ok(out.flush()?)
        })
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What went wrong was told.
            let _ = fs::remove_file(self.path);
        }
    }
}

fn unwritten(path: &Path) -> String {
    format!("{}: cannot be written: name another file", path.display())
}
