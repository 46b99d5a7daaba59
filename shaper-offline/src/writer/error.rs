//! Why a pcapng file could not be written.

use std::io;

use thiserror::Error;

/// A block that could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The output failed.
    #[error("cannot write the capture: {0}")]
    Io(#[from] io::Error),
    /// A packet before 1970 has no place in a pcapng stamp.
    #[error("packet at {0} ns lies before 1970, which pcapng cannot stamp: check the clock mapping")]
    BeforeEpoch(i64),
    /// The packet names an interface that was not added to this file.
    #[error("interface {0} was not added to this file: add it before its packets")]
    UnknownInterface(u32),
    /// Longer than a block or option can say.
    #[error("{what} of {length} bytes is longer than pcapng can say ({limit} bytes)")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        length: usize,
        /// Longest allowed.
        limit: usize,
    },
}
