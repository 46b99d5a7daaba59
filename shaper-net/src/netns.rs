//! Named network namespaces, compatible with `ip netns`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::journal::{Entry, Journal, Recorded};
use crate::rtnl::Rtnl;
use crate::{Error, Result, sysctl};

/// Where `ip netns` keeps its names.
pub const NETNS_DIR: &str = "/run/netns";

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. One made by [`NetNs::create`] goes away, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct NetNs {
    name: String,
    file: File,
    made: Option<Recorded>,
}

impl NetNs {
    /// Makes a namespace called `name`, with its loopback device up.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, [`Error::BadName`] when it is no file name.
    pub fn create(journal: &Journal, name: &str) -> Result<Self> {
        Self::create_with(journal, name, &[])
    }

    /// Makes a namespace, and writes `sysctls` (names with slashes, and values) in it before anything else.
    pub fn create_with(journal: &Journal, name: &str, sysctls: &[(&str, &str)]) -> Result<Self> {
        check_name(name)?;
        prepare_dir()?;
        let path = path_of(name);
        // Looked at before it is journalled, so that a name taken by somebody else never stands in our journal.
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { what: "network namespace", name: name.into() });
        }
        let recorded = journal.record(Entry::NetNs { name: name.into() })?;
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o444).open(&path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                recorded.taken_back();
                return Err(Error::Exists { what: "network namespace", name: name.into() });
            }
            Err(e) => return Err(Error::os("create the namespace", name, e)),
        }
        // From here on the name is ours, and goes on every way out.
        let unmake = Unmake(Some((name, recorded)));
        // A thread of its own, for a thread that has left its namespace is of no use to anybody else.
        let file = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::os("create the namespace", name, e))?;
            for (key, value) in sysctls {
                sysctl::write_unjournalled(key, value)?;
            }
            let rtnl = Rtnl::open()?;
            rtnl.set_up(rtnl.link("lo")?.index, true)?;
            mount(Some(OWN), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(|e| Error::os("keep the namespace (bind mount)", name, e))?;
            File::open(OWN).map_err(|e| Error::os("open the namespace", name, e))
        })??;
        let made = unmake.keep();
        Ok(Self { name: name.into(), file, made })
    }

    /// Opens a namespace that stands; dropping the answer leaves it standing.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none of this name.
    pub fn open(name: &str) -> Result<Self> {
        check_name(name)?;
        let missing = || Error::Missing { what: "network namespace", name: name.into(), within: NETNS_DIR.into() };
        let file = match File::open(path_of(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(e) => return Err(Error::os("open the namespace", name, e)),
        };
        // A name without its mount is what is left of one that was being made or removed.
        let kind = nix::sys::statfs::fstatfs(&file).map_err(|e| Error::os("open the namespace", name, e))?;
        if kind.filesystem_type() != nix::sys::statfs::NSFS_MAGIC {
            return Err(missing());
        }
        Ok(Self { name: name.into(), file, made: None })
    }

    /// The namespace of a process, under `name` for as long as the answer lives, which keeps it there.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such process, [`Error::Exists`] when the name is taken.
    pub fn of_process(journal: &Journal, pid: u32, name: &str) -> Result<Self> {
        check_name(name)?;
        prepare_dir()?;
        let namespace = format!("/proc/{pid}/ns/net");
        let file = match File::open(&namespace) {
            Ok(file) => file,
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                return Err(Error::Missing { what: "process", name: pid.to_string(), within: String::new() });
            }
            Err(e) => return Err(Error::os("open the namespace of process", pid.to_string(), e)),
        };
        let path = path_of(name);
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { what: "network namespace", name: name.into() });
        }
        let recorded = journal.record(Entry::NetNs { name: name.into() })?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path)
            .map_err(|e| Error::os("name the namespace", name, e))?;
        let unmake = Unmake(Some((name, recorded)));
        let through = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(through.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| Error::os("keep the namespace (bind mount)", name, e))?;
        let made = unmake.keep();
        Ok(Self { name: name.into(), file, made })
    }

    /// The namespace with this inode, as long as a name in `/run/netns` or a process leads to it.
    ///
    /// # Errors
    /// [`Error::Missing`] when nothing does.
    pub fn by_inode(inode: u64) -> Result<Self> {
        let is_it = |file: &File| file.metadata().is_ok_and(|found| found.ino() == inode);
        let names = fs::read_dir(NETNS_DIR).into_iter().flatten().flatten();
        let named = names.filter_map(|entry| Self::open(entry.file_name().to_str()?).ok());
        if let Some(found) = named.into_iter().find(|found| is_it(&found.file)) {
            return Ok(found);
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut files = processes.filter_map(|entry| File::open(entry.path().join("ns/net")).ok());
        let file = files.find(|file| is_it(file)).ok_or_else(|| Error::Missing {
            what: "network namespace",
            name: inode.to_string(),
            within: String::new(),
        })?;
        Ok(Self { name: String::new(), file, made: None })
    }

    /// Whether it is that of the calling thread.
    pub fn is_current(&self) -> Result<bool> {
        let failed = |e| Error::os("look at the namespace", &self.name, e);
        let (ours, this) = (fs::metadata(OWN).map_err(failed)?, self.file.metadata().map_err(failed)?);
        Ok((ours.dev(), ours.ino()) == (this.dev(), this.ino()))
    }

    /// What tells it from any other, as long as it stands.
    pub fn inode(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| Error::os("look at the namespace", &self.name, e))?.ino())
    }

    /// The namespace of the calling thread; it has no name.
    pub fn current() -> Result<Self> {
        let file = File::open(OWN).map_err(|e| Error::os("open the namespace", OWN, e))?;
        Ok(Self { name: String::new(), file, made: None })
    }

    /// Another handle on the same namespace; dropping it leaves the namespace standing.
    pub fn another(&self) -> Result<Self> {
        let file = self.file.try_clone().map_err(|e| Error::os("open the namespace", &self.name, e))?;
        Ok(Self { name: self.name.clone(), file, made: None })
    }

    /// Its name in `/run/netns`; empty for [`NetNs::current`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file in `/run/netns`.
    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }

    /// The descriptor that stands for it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Runs `f` inside, on a fresh thread; a panic of `f` goes on in the caller.
    ///
    /// # Errors
    /// When the namespace cannot be entered; `f` has not run then.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        on_thread(|| {
            self.enter()?;
            Ok(f())
        })?
    }

    /// Moves the calling thread inside, for good: for engine threads and role processes. Threads it starts later are
    /// inside too.
    pub fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::os("enter the namespace", &self.name, e))
    }

    /// A handle on its links, addresses and routes.
    pub fn rtnl(&self) -> Result<Rtnl> {
        self.run(Rtnl::open)?
    }

    /// The processes inside, by pid, as far as they can be seen; each keeps the namespace alive when its name is gone.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let failed = |e| Error::os("list the processes inside", &self.name, e);
        let ours = self.file.metadata().map_err(failed)?.ino();
        let mut inside = Vec::new();
        for entry in fs::read_dir("/proc").map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that ended meanwhile, or that we may not look into, is left out.
            if fs::metadata(entry.path().join("ns/net")).is_ok_and(|found| found.ino() == ours) {
                inside.push(pid);
            }
        }
        Ok(inside)
    }

    /// Removes the namespace if [`NetNs::create`] made it.
    pub fn delete(mut self) -> Result<()> {
        self.unmake()
    }

    fn unmake(&mut self) -> Result<()> {
        let Some(made) = self.made.take() else { return Ok(()) };
        // On failure the journal still says that it stands.
        remove(&self.name)?;
        made.taken_back();
        Ok(())
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if let Err(e) = self.unmake() {
            tracing::warn!("{e}");
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// Removes a name that was created when what follows fails.
struct Unmake<'a>(Option<(&'a str, Recorded)>);

impl Unmake<'_> {
    fn keep(mut self) -> Option<Recorded> {
        self.0.take().map(|(_, recorded)| recorded)
    }
}

impl Drop for Unmake<'_> {
    fn drop(&mut self) {
        if let Some((name, recorded)) = self.0.take()
            && remove(name).is_ok()
        {
            recorded.taken_back();
        }
    }
}

/// The names that stand.
pub fn list() -> Result<Vec<String>> {
    let failed = |e| Error::os("list the namespaces", NETNS_DIR, e);
    let entries = match fs::read_dir(NETNS_DIR) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Removes a name, and with it the namespace once no process is inside.
pub(crate) fn remove(name: &str) -> Result<crate::journal::Undone> {
    check_name(name)?;
    let path = path_of(name);
    match umount2(&path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(e) => return Err(Error::os("remove the namespace (unmount)", name, e)),
    }
    match fs::remove_file(&path) {
        Ok(()) => Ok(crate::journal::Undone::Now),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(crate::journal::Undone::Before),
        Err(e) => Err(Error::os("remove the namespace", name, e)),
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() || name.len() > 255 {
        "it must have 1 to 255 bytes"
    } else if name == "." || name == ".." || name.contains(['/', '\0']) {
        "it must be a plain file name"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.into(), what: "a network namespace", why })
}

/// Makes `/run/netns` a shared mount point, as `ip netns` does, so that a name removed in one mount namespace does not
/// keep its namespace alive in another. Like there, the folder stays.
fn prepare_dir() -> Result<()> {
    let failed = |e: Errno| Error::os("make it a shared mount", NETNS_DIR, e);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(NETNS_DIR)
        .map_err(|e| Error::os("create it", NETNS_DIR, e))?;
    // Two that do this at once would mount twice; `ip netns` takes this same lock.
    let dir = File::open(NETNS_DIR).map_err(|e| Error::os("open it", NETNS_DIR, e))?;
    let _lock = Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, e)| failed(e))?;
    let share = || mount(None::<&str>, NETNS_DIR, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    match share() {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL) => {
            mount(Some(NETNS_DIR), NETNS_DIR, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .map_err(failed)?;
            share().map_err(failed)
        }
        Err(e) => Err(failed(e)),
    }
}

fn on_thread<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, f)
            .map_err(|e| Error::os("start a thread", "namespace", e))?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
