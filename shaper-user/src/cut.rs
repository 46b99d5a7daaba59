//! Captures whose packets end before the file should: cut off, or damaged.

use shaper_offline::analyze::{Damage, Description, FileFound};
use shaper_offline::pcapfile::Compression;

/// Where a capture could not be read any further.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The file.
    path: String,
    /// The byte, in what it decompresses to if it is compressed.
    at: u64,
    /// How it is compressed.
    compression: Option<Compression>,
    /// What is wrong there; `None` where the file just ends.
    fault: Option<String>,
}

impl Cut {
    /// That of one of the captures of a comparison.
    pub(crate) fn of_file(file: &FileFound) -> Option<Self> {
        Self::of(&file.path, file.compression, file.cut_at, file.damage.as_ref())
    }

    /// That of a capture by itself.
    pub(crate) fn of_description(one: &Description) -> Option<Self> {
        Self::of(&one.path, one.compression, one.cut_at, one.damage.as_ref())
    }

    fn of(path: &str, compression: Option<Compression>, cut_at: Option<u64>, damage: Option<&Damage>) -> Option<Self> {
        let (at, fault) = match damage {
            Some(damage) => (damage.at, Some(damage.fault.clone())),
            None => (cut_at?, None),
        };
        Some(Self { path: path.to_owned(), at, compression, fault })
    }

    /// Which place that is.
    pub(crate) fn place(&self) -> String {
        let Self { path, at, fault, .. } = self;
        let of = if self.compression.is_some() { " of the decompressed data" } else { "" };
        match fault {
            Some(fault) => format!("{path}: at byte {at}{of}: {fault}"),
            None => format!("{path}: cut off at byte {at}{of}"),
        }
    }

    /// What is to be said beside what came of the packets before.
    pub(crate) fn told(&self, what: &str) -> String {
        let place = self.place();
        match self.fault {
            Some(_) => format!("{place}; {what} ends there: copy the file again where there is a whole one"),
            None => format!(
                "{place}, in the middle of a packet or block: {what} ends there; copy the file whole, or stop the capture \
                 before copying it"
            ),
        }
    }
}
