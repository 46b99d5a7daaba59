//! Processes in a namespace that never outlive us.
//!
//! A role enters its namespace between fork and exec, before the program (and any runtime in it) exists; it dies with
//! us (PR_SET_PDEATHSIG), and stands in the journal with pid and start time. The kernel binds that death signal to the
//! *thread* that forked, so all roles are started by one thread that lives as long as the process: [`Role::spawn`] may
//! be called from any thread.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::journal::{Entry, Journal, Recorded};
use crate::netns::NetNs;
use crate::process::{ProcessId, Running};
use crate::{Error, Result};

/// What to start.
#[derive(Debug)]
pub struct RoleSpec {
    /// What people call it, in errors and in the journal.
    pub name: String,
    /// The program; by default this same executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to our environment.
    pub env: Vec<(OsString, OsString)>,
    /// Standard input; by default none.
    pub stdin: Stdio,
    /// Standard output; by default ours.
    pub stdout: Stdio,
    /// Standard error; by default ours.
    pub stderr: Stdio,
    /// A file that stands in the place of another for it alone, in a mount namespace of its own: what is shown, and where.
    pub shown: Option<(PathBuf, PathBuf)>,
    /// Whether it gets a process group of its own, so that a Ctrl-C in the terminal reaches us alone, and we stop it.
    /// On by default; off for a program that a person talks to.
    pub own_group: bool,
}

impl RoleSpec {
    /// This executable with `args`.
    pub fn new<I, S>(name: impl Into<String>, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Self {
            name: name.into(),
            program: "/proc/self/exe".into(),
            args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            env: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::inherit(),
            stderr: Stdio::inherit(),
            shown: None,
            own_group: true,
        }
    }

    /// Another program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }
}

/// A running role. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Role {
    name: String,
    child: Child,
    running: Option<Running>,
    recorded: Option<Recorded>,
    status: Option<ExitStatus>,
}

impl Role {
    /// Starts a role in `netns`.
    pub fn spawn(journal: &Journal, netns: &NetNs, spec: RoleSpec) -> Result<Self> {
        let name = spec.name;
        let fd = netns.fd().as_raw_fd();
        let us = std::process::id();
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).envs(spec.env).stdin(spec.stdin).stdout(spec.stdout).stderr(spec.stderr);
        if spec.own_group {
            command.process_group(0);
        }
        let shown = spec.shown.map(|(what, at)| Ok::<_, Error>([as_c(&what)?, as_c(&at)?])).transpose()?;
        // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, getppid, setns, unshare and mount are
        // bare system calls, and an io::Error made of an error number allocates nothing. `fd` is open until spawn
        // returns, since `netns` is borrowed for longer.
        unsafe {
            command.pre_exec(move || {
                bind_and_enter(us, fd)?;
                shown.as_ref().map_or(Ok(()), |[what, at]| show(what, at))
            });
        }
        let child = on_spawner(move || command.spawn())?.map_err(|e| Error::os("start it", &name, e))?;
        let mut role = Self { name, child, running: None, recorded: None, status: None };
        // Should we be killed before this is written, the process dies with us: it is bound to us since its fork.
        let id = ProcessId::of(role.child.id())?;
        role.recorded = Some(journal.record(Entry::Process { id, name: role.name.clone() })?);
        role.running = id.open()?;
        Ok(role)
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pipe to its standard input, if one was asked for; only once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its standard output, if one was asked for; only once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The pipe from its standard error, if one was asked for; only once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let status = self.child.try_wait().map_err(|e| Error::os("wait for it", &self.name, e))?;
            self.ended(status);
        }
        Ok(self.status)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.child.wait().map_err(|e| Error::os("wait for it", &self.name, e))?;
        self.ended(Some(status));
        Ok(status)
    }

    /// Waits for its end, at most for `timeout`.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        if let Some(running) = &self.running
            && self.status.is_none()
            && !running.ended(timeout)?
        {
            return Ok(None);
        }
        self.wait().map(Some)
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&self, signal: i32) -> Result<()> {
        match &self.running {
            Some(running) => running.signal(signal),
            None => Ok(()),
        }
    }

    /// SIGTERM, and after `grace` SIGKILL; says how it ended.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Some(running) = &self.running
            && self.status.is_none()
        {
            running.terminate(grace)?;
        }
        self.wait()
    }

    fn ended(&mut self, status: Option<ExitStatus>) {
        self.status = status;
        if status.is_some()
            && let Some(recorded) = self.recorded.take()
        {
            recorded.taken_back();
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Our own child that was not waited for: the pid cannot be another's.
            let ended = self.child.kill().map_err(|e| Error::os("kill it", &self.name, e)).and_then(|()| self.wait());
            if let Err(e) = ended {
                tracing::warn!("{e}");
            }
        }
    }
}

/// Runs in the child between fork and exec.
fn bind_and_enter(parent: u32, netns: RawFd) -> std::io::Result<()> {
    // SAFETY: bare system calls with integer arguments.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // The parent may have died before the death signal was asked for.
        if libc::getppid() != parent.cast_signed() {
            return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
        }
        if libc::setns(netns, libc::CLONE_NEWNET) != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

fn as_c(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|e| Error::os("name it", path.display().to_string(), std::io::Error::from(e)))
}

/// Puts a file in the place of another, for this process and its children. Runs in the child between fork and exec.
fn show(what: &CStr, at: &CStr) -> std::io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: bare system calls; the pointers are to strings that live over them, or null where that is allowed.
    unsafe {
        let alone = libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_SLAVE, none.cast()) == 0
            && libc::mount(what.as_ptr(), at.as_ptr(), none, libc::MS_BIND, none.cast()) == 0;
        if alone { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs `f` on the thread that starts all roles.
fn on_spawner<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let failed = |e| Error::os("start the thread that starts processes", "this process", e);
    if SPAWNER.get().is_none() {
        let (jobs, to_do) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || to_do.into_iter().for_each(|job| job()))
            .map_err(failed)?;
        // The loser of a race ends with its sender; nothing was started on it.
        let _ = SPAWNER.set(Mutex::new(jobs));
    }
    let gone = || failed(std::io::Error::other("it has ended"));
    let (answer, answered) = mpsc::channel();
    let jobs = SPAWNER.get().ok_or_else(gone)?;
    jobs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Box::new(move || {
            let _ = answer.send(f());
        }))
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())
}
