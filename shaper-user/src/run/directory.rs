//! The run directory: the unit of evidence.
//!
//! While a run goes on the directory is root's alone, so that nobody can put a link where a file is to be made. At the
//! end its files, and then it, are given to the caller of sudo; unless the run came to an end, they are removed. Of a
//! run that was killed what it had written so far stays, and is the caller's too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, geteuid, unlinkat};
use shaper_net::handover::Handover;
use shaper_net::journal::{Entry, Journal, Recorded};

/// What a directory is opened with: itself, never what a link in its place points at.
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Nobody but root while the run goes on.
const PRIVATE: Mode = Mode::S_IRWXU;

/// A directory that holds all of one run. Dropped before [`RunDirectory::finish`] it removes what was made.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The directory itself, wherever its path leads by now.
    handle: OwnedFd,
    /// The directories that were made, each inside the one before; the last is the run's. None if that stood.
    made: Vec<Made>,
    /// The directory, and those that were made above it, as long as they are ours alone.
    taken: Mutex<Vec<Taken>>,
    /// Keeps other runs out of the directory.
    _lock: Option<Flock<OwnedFd>>,
    caller: Option<(Uid, Gid)>,
    /// Nothing more is made here, and nothing removed.
    closed: AtomicBool,
}

/// A directory that was taken over, and whose it is afterwards.
#[derive(Debug)]
struct Taken {
    directory: OwnedFd,
    to: Handover,
    recorded: Recorded,
}

#[derive(Debug)]
struct Made {
    parent: OwnedFd,
    name: OsString,
    handle: OwnedFd,
}

impl RunDirectory {
    /// Makes `out`, or `runs/<utc>-<name>`.
    ///
    /// # Errors
    ///
    /// When it cannot be made, `out` holds something already, or another run writes there.
    pub fn create(out: Option<&Path>, name: &str, now: SystemTime, journal: &Journal) -> anyhow::Result<Self> {
        let path = out.map_or_else(|| default_directory(now, name), Path::to_owned);
        let failed = || format!("{}: cannot make the run directory: name another with --out DIR", path.display());
        let stands = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new(""));
        let missing = path.strip_prefix(stands).unwrap_or(&path).to_owned();
        let stands = if stands.as_os_str().is_empty() { Path::new(".") } else { stands };
        // Up to here the path is the caller's own words, links and all.
        let handle =
            openat(AT_FDCWD, stands, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).with_context(failed)?;
        let mut directory = Self {
            path: path.clone(),
            handle,
            made: Vec::new(),
            taken: Mutex::default(),
            _lock: None,
            caller: caller(),
            closed: AtomicBool::new(false),
        };
        for component in missing.components() {
            directory.enter(component).with_context(failed)?;
        }
        directory._lock = match Flock::lock(directory.handle.try_clone()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Some(lock),
            Err((_, Errno::EWOULDBLOCK)) => {
                directory.closed.store(true, Ordering::Release);
                bail!("{}: another run writes there: name another directory with --out DIR", path.display());
            }
            Err((_, error)) => return Err(error).with_context(failed),
        };
        if directory.entries()?.is_empty() {
            directory.take_over(&fs::canonicalize(&path).with_context(failed)?, journal).with_context(failed)?;
        }
        // Also what somebody put there before we had it to ourselves.
        if !directory.entries()?.is_empty() {
            directory.closed.store(true, Ordering::Release);
            let _ = directory.give_back(false);
            bail!("{}: holds something already: name an empty or new directory with --out DIR", path.display());
        }
        Ok(directory)
    }

    fn enter(&mut self, component: Component<'_>) -> io::Result<()> {
        match component {
            Component::Normal(name) => {
                mkdirat(&self.handle, name, Mode::S_IRWXU | Mode::from_bits_truncate(0o055))?;
                let handle = openat(&self.handle, name, DIRECTORY, Mode::empty())?;
                if fstat(&handle)?.st_uid != geteuid().as_raw() || !names(&handle)?.is_empty() {
                    return Err(io::Error::other("somebody put another directory in its place"));
                }
                let parent = std::mem::replace(&mut self.handle, handle.try_clone()?);
                self.made.push(Made { parent, name: name.to_owned(), handle });
            }
            Component::ParentDir => self.handle = openat(&self.handle, "..", DIRECTORY, Mode::empty())?,
            _ => {}
        }
        Ok(())
    }

    /// Makes the directory at `path` ours alone.
    fn take_over(&mut self, path: &Path, journal: &Journal) -> anyhow::Result<()> {
        let before = fstat(&self.handle)?;
        let to = Handover {
            files: self.caller.map(|(user, group)| (user.as_raw(), group.as_raw())),
            ..self.handover(&before, self.made.is_empty())
        };
        let mut directories = vec![(self.handle.try_clone()?, path, to)];
        for (made, path) in self.made.iter().rev().zip(path.ancestors()).skip(1) {
            directories.push((made.handle.try_clone()?, path, self.handover(&fstat(&made.handle)?, false)));
        }
        let entries = directories.iter().map(|(_, path, to)| Entry::Handover { path: path.into(), to: *to }).collect();
        let recorded = journal.record_all(entries)?;
        let taken = directories.into_iter().zip(recorded);
        let taken = taken.map(|((directory, _, to), recorded)| Taken { directory, to, recorded }).collect();
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        if before.st_uid != geteuid().as_raw() {
            fchown(&self.handle, Some(geteuid()), None)?;
        }
        Ok(fchmod(&self.handle, PRIVATE)?)
    }

    /// Whose a directory is after the run: its owner's if it `stood` before, the caller's otherwise.
    fn handover(&self, found: &FileStat, stood: bool) -> Handover {
        let (user, group) = match self.caller {
            Some((user, group)) if !stood => (user.as_raw(), group.as_raw()),
            _ => (found.st_uid, found.st_gid),
        };
        let mode = found.st_mode & !SFlag::S_IFMT.bits();
        Handover { device: found.st_dev, inode: found.st_ino, user, group, mode, files: None }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    ///
    /// When there is something of this name, or the disk is full.
    pub fn make(&self, name: &str) -> anyhow::Result<File> {
        self.open_new(name).with_context(|| self.unwritten(name))
    }

    /// Writes a file that is not there yet, whole.
    ///
    /// # Errors
    ///
    /// When there is something of this name, or the disk is full.
    pub fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let written = || -> io::Result<()> {
            let mut file = self.open_new(name)?;
            file.write_all(contents)?;
            file.sync_all()
        };
        written().with_context(|| self.unwritten(name))
    }

    fn open_new(&self, name: &str) -> io::Result<File> {
        if self.closed.load(Ordering::Acquire) {
            return Err(io::Error::other("the run was given up"));
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::from_bits_truncate(0o644))?.into())
    }

    /// What is said when a file in it cannot be written.
    pub(super) fn unwritten(&self, name: &str) -> String {
        let path = self.file(name);
        format!("{}: cannot be written: free some space or name another directory with --out DIR", path.display())
    }

    /// The run came to its end: its files stay, and are the caller's when that is not who we run as.
    ///
    /// # Errors
    ///
    /// When they cannot be given away, or the path leads elsewhere by now. They stay all the same.
    pub fn finish(&self) -> anyhow::Result<()> {
        self.closed.store(true, Ordering::Release);
        let given = self.give_back(true);
        let checked = || -> anyhow::Result<()> {
            given?;
            let leads_to = fs::metadata(&self.path)?;
            let here = fstat(&self.handle)?;
            if (leads_to.dev(), leads_to.ino()) != (here.st_dev, here.st_ino) {
                bail!("somebody put another directory in its place: the run is in the one that was here before");
            }
            Ok(())
        };
        checked().with_context(|| format!("{}: cannot be given to its owner", self.path.display()))
    }

    /// Removes what was made; what is made afterwards fails.
    pub fn remove(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        // What cannot be removed stays: an error is on its way up already, and this would hide it.
        if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            for name in self.entries().unwrap_or_default() {
                let _ = unlinkat(&self.handle, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            }
        }
        for made in self.made.iter().rev() {
            let same = fstatat(&made.parent, made.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .and_then(|found| Ok((found.st_dev, found.st_ino) == identity(&made.handle)?));
            if same == Ok(true) {
                let _ = unlinkat(&made.parent, made.name.as_os_str(), UnlinkatFlags::RemoveDir);
            }
        }
        let _ = self.give_back(false);
    }

    /// Gives what was taken over to whom it belongs, with the `files` in the run's directory or without.
    fn give_back(&self, files: bool) -> io::Result<()> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        let mut given = Ok(());
        for Taken { directory, to, recorded } in taken {
            let to = if files { to } else { Handover { files: None, ..to } };
            given = given.and(to.give(&directory));
            // Also when it was refused: it would be once more.
            recorded.taken_back();
        }
        given
    }

    fn entries(&self) -> anyhow::Result<Vec<OsString>> {
        names(&self.handle).with_context(|| format!("{}: cannot be read", self.path.display()))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// `<utc>-<name>`: what no other run is called.
/// Where a run's directory is made if nobody says.
pub(crate) fn default_directory(started: SystemTime, name: &str) -> PathBuf {
    Path::new("runs").join(run_name(started, name))
}

pub(super) fn run_name(started: SystemTime, name: &str) -> String {
    let stamp: String = crate::run::manifest::utc(started).chars().filter(|c| !"-:".contains(*c)).collect();
    format!("{stamp}-{name}")
}

/// What an open directory holds.
fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))?.map(|entry| Ok(entry?.file_name())).collect()
}

fn identity(handle: &OwnedFd) -> Result<(u64, u64), Errno> {
    fstat(handle).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Who called sudo, if that is how we came to be root.
pub(crate) fn caller() -> Option<(Uid, Gid)> {
    let id = |name: &str| std::env::var(name).ok()?.parse().ok();
    geteuid().is_root().then_some(())?;
    Some((Uid::from_raw(id("SUDO_UID")?), Gid::from_raw(id("SUDO_GID")?)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn create(out: &Path) -> anyhow::Result<RunDirectory> {
        RunDirectory::create(Some(out), "test", SystemTime::UNIX_EPOCH, &journal())
    }

    /// A journal that is undone by hand only.
    fn journal() -> Journal {
        let folder = tempfile::tempdir().unwrap().keep();
        Journal::create_in(&folder, "test").unwrap()
    }

    #[test]
    fn a_run_that_was_killed_gives_its_directory_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o751)).unwrap();
        let journal = journal();
        let directory = RunDirectory::create(Some(folder.path()), "test", SystemTime::UNIX_EPOCH, &journal).unwrap();
        directory.write("manifest.json", b"{}").unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        // Nothing of the run's own does anything any more.
        std::mem::forget(directory);
        assert_eq!(journal.undo().unwrap().undone.len(), 1);
        assert_eq!(mode(folder.path()), 0o751);
        assert!(folder.path().join("manifest.json").exists());
    }

    #[test]
    fn two_runs_do_not_share_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let first = create(&path).unwrap();
        let message = format!("{:#}", create(&path).unwrap_err());
        assert!(message.contains("another run writes there") && message.contains("--out"), "{message}");
        first.write("manifest.json", b"{}").unwrap();
        first.finish().unwrap();
        assert!(path.join("manifest.json").exists());
    }

    #[test]
    fn a_run_that_came_to_nothing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = create(&folder.path().join("x/y/z")).unwrap();
        directory.write("manifest.json", b"{}").unwrap();
        fs::write(directory.file("a.jsonl"), "of a role").unwrap();
        drop(directory);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_directory_stays_and_is_empty_again() {
        let folder = tempfile::tempdir().unwrap();
        let before = mode(folder.path());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o751)).unwrap();
        let directory = create(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        directory.write("manifest.json", b"{}").unwrap();
        directory.remove();
        assert!(directory.write("summary.json", b"{}").is_err());
        assert_eq!((fs::read_dir(folder.path()).unwrap().count(), mode(folder.path())), (0, 0o751));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(before)).unwrap();
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "mine").unwrap();
        let before = mode(folder.path());
        let message = format!("{:#}", create(folder.path()).unwrap_err());
        assert!(message.contains("holds something already") && message.contains("--out"), "{message}");
        assert_eq!(fs::read_to_string(folder.path().join("mine")).unwrap(), "mine");
        assert_eq!(mode(folder.path()), before);
        let message = format!("{:#}", create(&folder.path().join("mine")).unwrap_err());
        assert!(message.contains("Not a directory") && message.contains("--out"), "{message}");
    }

    #[test]
    fn a_run_that_came_to_its_end_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let directory = create(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        directory.write("summary.json", b"{}").unwrap();
        directory.finish().unwrap();
        drop(directory);
        assert_eq!(fs::read(path.join("summary.json")).unwrap(), b"{}");
        assert_eq!(mode(&path) & 0o700, 0o700);
    }

    #[test]
    fn a_link_where_a_file_is_to_be_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let directory = create(&folder.path().join("run")).unwrap();
        symlink(&victim, directory.file("summary.json")).unwrap();
        assert!(directory.write("summary.json", b"{}").is_err());
        assert!(directory.make("summary.json").is_err());
        directory.finish().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }

    #[test]
    fn a_directory_that_was_moved_away_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("run"), folder.path().join("moved"));
        let directory = create(&path).unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        directory.write("summary.json", b"{}").unwrap();
        assert!(moved.join("summary.json").exists());
        let message = format!("{:#}", directory.finish().unwrap_err());
        assert!(message.contains("another directory"), "{message}");
    }
}
