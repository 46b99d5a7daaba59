//! The one memory map of this crate.
#![expect(unsafe_code, reason = "mapping a file is unsafe in memmap2; everything else in the crate denies it")]

use std::{fs::File, io};

use memmap2::Mmap;

/// Maps a regular file for sequential reading.
///
/// # Errors
/// What `mmap(2)` says.
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process, and is only ever read as bytes,
    // for which every value is valid. A capture file that another process shortens while it is
    // being read is outside what any reader of a map can defend against; growing is harmless,
    // because the length is taken once.
    let map = unsafe { Mmap::map(file) }?;
    #[cfg(unix)]
    map.advise(memmap2::Advice::Sequential).or_else(|error| {
        // Advice is only a hint: a file system that refuses it can still be read.
        if error.kind() == io::ErrorKind::OutOfMemory { Err(error) } else { Ok(()) }
    })?;
    Ok(map)
}
