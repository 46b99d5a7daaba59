//! Files that are seen whole or not at all.

use std::fs::{self, File, OpenOptions};
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
    let mut options = OpenOptions::new();
    options.append(true).read(true).mode(mode);
    match options.clone().custom_flags(libc::O_TMPFILE).open(dir) {
        Ok(mut file) => {
            file.write_all(contents)?;
            file.sync_all()?;
            let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
            Ok(file)
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            create_by_name(&options, path, contents)
        }
        Err(error) => Err(error),
    }
}

/// The same where the file system has no files without a name, as overlayfs before 6.10: what a writer that was killed
/// leaves then is a file of another name, which nobody looks at.
fn create_by_name(options: &OpenOptions, path: &Path, contents: &[u8]) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let mut file = options.clone().create_new(true).open(&partial)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.sync_all())
        .and_then(|()| linkat(AT_FDCWD, &partial, AT_FDCWD, path, AtFlags::empty()).map_err(io::Error::from));
    fs::remove_file(&partial)?;
    written.map(|()| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_leave_one_whole_file_and_take_no_name_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = OpenOptions::new();
        options.append(true).read(true).mode(0o600);
        for named in [false, true] {
            let path = folder.path().join(named.to_string());
            let way = |path: &Path| match named {
                false => create(path, b"whole", 0o600),
                true => create_by_name(&options, path, b"whole"),
            };
            way(&path).unwrap().write_all(b" and more").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole and more");
            assert_eq!(way(&path).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
