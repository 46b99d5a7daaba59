//! Files that are seen whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

/// Creates `path` with `contents` already in it and on the disk, open for appending. It has no name while it is
/// written, so that nothing stays of a writer that was killed.
///
/// # Errors
/// `EEXIST` when the name is taken.
pub(crate) fn create(path: &Path, contents: &[u8], mode: u32) -> io::Result<File> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = OpenOptions::new().append(true).read(true).mode(mode).custom_flags(libc::O_TMPFILE).open(dir)?;
    file.write_all(contents)?;
    file.sync_all()?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
    Ok(file)
}
