//! Directories that are root's alone for a while, and whose they are afterwards.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid};
use serde::{Deserialize, Serialize};

use crate::journal::Undone;
use crate::{Error, Result};

/// A directory, and whose it is when nobody needs it for himself any more. The directory, not its name: one that was
/// put in its place meanwhile is left alone, and so is one that has been handed over already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The file system it lies on (`st_dev`).
    pub device: u64,
    /// Its number there (`st_ino`).
    pub inode: u64,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its permissions.
    pub mode: u32,
    /// Owner and group of the plain files in it; `None` leaves them whose they are.
    pub files: Option<(u32, u32)>,
}

impl Handover {
    /// Gives the directory at `path`, and the plain files in it, to whom they belong.
    pub(crate) fn perform(&self, path: &Path) -> Result<Undone> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let performed = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(io::Error::from).and_then(|directory| {
            let found = fstat(&directory)?;
            if (found.st_dev, found.st_ino) != (self.device, self.inode) || found.st_uid != geteuid().as_raw() {
                return Ok(Undone::Before);
            }
            self.give(&directory).map(|()| Undone::Now)
        });
        match performed {
            Ok(undone) => Ok(undone),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Undone::Before),
            Err(e) => Err(Error::os("give back", path.display().to_string(), e)),
        }
    }

    /// Gives the open directory, and the plain files in it, to whom they belong: the directory last, for with that it
    /// is out of our hands.
    ///
    /// # Errors
    /// What the file system refuses; what was given until then stays given.
    pub fn give(&self, directory: &OwnedFd) -> io::Result<()> {
        if let Some((user, group)) = self.files {
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
                let name = entry?.file_name();
                let file = fstatat(directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                // Links and devices are none of ours.
                if SFlag::from_bits_truncate(file.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG {
                    fchownat(directory, name.as_os_str(), user, group, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                }
            }
        }
        fchmod(directory, Mode::from_bits_truncate(self.mode))?;
        fchown(directory, Some(Uid::from_raw(self.user)), Some(Gid::from_raw(self.group)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn handover(path: &Path) -> Handover {
        let found = fs::metadata(path).unwrap();
        let (user, group) = (found.uid(), found.gid());
        Handover { device: found.dev(), inode: found.ino(), user, group, mode: 0o751, files: None }
    }

    #[test]
    fn the_directory_itself_is_given_back_and_none_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("run"), folder.path().join("moved"));
        fs::create_dir(&path).unwrap();
        let handover = handover(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(handover.perform(&path).unwrap(), Undone::Now);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o751);

        fs::rename(&path, &moved).unwrap();
        assert_eq!(handover.perform(&path).unwrap(), Undone::Before);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(handover.perform(&path).unwrap(), Undone::Before);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    }
}
