//! Programs that run while they are measured: their processor time, their memory, and their end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::Session;

/// How long a program may take to end once it was asked to.
const GOODBYE: Duration = Duration::from_secs(30);
/// From one look whether it has ended to the next.
const LOOK: Duration = Duration::from_millis(20);

/// A program that runs; it is killed when this is dropped.
pub(super) struct Running {
    name: &'static str,
    child: Killed,
    out: Lines,
    err: Lines,
}

/// What a program says, as it comes: a program whose pipe is full would stand still until somebody reads.
struct Lines(Receiver<String>);

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Result<Self> {
        let (said, lines) = channel();
        let drain = move || {
            // What nobody waits for any more is read too.
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let _ = said.send(String::from_utf8_lossy(&line).into_owned());
            }
        };
        thread::Builder::new().name("pipe".to_owned()).spawn(drain).context("cannot start a thread that reads")?;
        Ok(Self(lines))
    }

    /// The next line, once it is there; none at the end.
    fn line(&self) -> Option<String> {
        self.0.recv().ok()
    }

    /// All that comes until the end.
    fn rest(&self) -> Vec<String> {
        self.0.iter().collect()
    }
}

impl Running {
    /// Starts a program on some processors.
    pub(super) fn start(name: &'static str, program: &Path, arguments: &[String], on: &CpuSet) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = spawn_on(&mut command, on).with_context(|| format!("cannot start {name}, {}", program.display()));
        let mut child = Killed(child?);
        let out = Lines::of(child.0.stdout.take().context("a program without standard output")?)?;
        let err = Lines::of(child.0.stderr.take().context("a program without standard error")?)?;
        Ok(Self { name, child, out, err })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The next line of what it says.
    pub(super) fn says(&mut self) -> Result<String> {
        let line = self.out.line();
        self.some(line)
    }

    /// The next line of what it says on standard error.
    pub(super) fn warns(&mut self) -> Result<String> {
        let line = self.err.line();
        self.some(line)
    }

    fn some(&mut self, line: Option<String>) -> Result<String> {
        if let Some(line) = line {
            return Ok(line);
        }
        let status = self.child.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let complaint = self.complaint();
        bail!("{} has ended: {status}: {complaint}", self.name);
    }

    /// What it said last on standard error.
    fn complaint(&self) -> String {
        self.err.rest().pop().unwrap_or_else(|| "without a word".to_owned())
    }

    /// Asks it to end, waits for that, and gives back what it still said, and whether it succeeded.
    pub(super) fn end(mut self, session: &Session) -> Result<(String, bool)> {
        // One that has ended by itself needs no signal.
        let _ = kill(pid(self.child.0.id()), Signal::SIGTERM);
        let until = Instant::now() + GOODBYE;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().with_context(|| format!("{}: cannot wait", self.name))? {
                break status;
            }
            ensure!(Instant::now() < until, "{} does not end within {} s", self.name, GOODBYE.as_secs());
            pause(session, LOOK)?;
        };
        let said = self.out.rest().join("\n");
        // A load that misses its expectations ends with 1.
        let complaint = self.complaint();
        ensure!(matches!(status.code(), Some(0 | 1)), "{} failed: {status}: {complaint}", self.name);
        Ok((said, status.success()))
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a child ended, if it did. Its number stays its own until somebody waits for it.
pub(super) fn ended(child: u32) -> Result<Option<WaitStatus>> {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let status = waitid(Id::Pid(pid(child)), look).with_context(|| format!("cannot look whether {child} runs"))?;
    Ok((status != WaitStatus::StillAlive).then_some(status))
}

/// Waits; an error once somebody asked to stop.
pub(super) fn pause(session: &Session, time: Duration) -> Result<()> {
    session.signals.wait(Some(time))?;
    session.check()
}

pub(super) fn pid(of: u32) -> Pid {
    // The kernel has no larger ones than 2^22.
    Pid::from_raw(i32::try_from(of).unwrap_or(i32::MAX))
}

/// Processor time of a process with all its threads, those that have ended among them, in the program and in the kernel
/// for it (clock_getcpuclockid(3)).
pub(super) fn processor_time(of: u32) -> Result<Duration> {
    let time = clock_getcpuclockid(pid(of))
        .and_then(nix::time::clock_gettime)
        .with_context(|| format!("cannot read the processor time of process {of}"))?;
    Ok(Duration::new(time.tv_sec().unsigned_abs(), u32::try_from(time.tv_nsec()).unwrap_or(0)))
}

/// What a process has in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// All pages (RSS).
    pub(super) resident: u64,
    /// Each page divided by those who have it (PSS).
    pub(super) proportional: u64,
}

impl Memory {
    pub(super) fn of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).ok_or_else(|| anyhow!("{path} has no Rss and Pss"))
    }

    fn parse(text: &str) -> Option<Self> {
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self { resident: of("Rss:")?, proportional: of("Pss:")? })
    }
}

/// All processes of a process group.
pub(super) fn group(leader: u32) -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_of_group = |process: &u32| {
        fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| group_of(&stat) == Some(leader))
    };
    numbers.filter(is_of_group).collect()
}

/// The process group in a line of `/proc/PID/stat`: the third field behind the name, which may hold blanks and brackets
/// of its own (proc(5)).
fn group_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// Which processors the server has, and which all others.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) server: CpuSet,
    pub(super) tester: CpuSet,
    pub(super) all: CpuSet,
    /// The number of the server's.
    pub(super) processor: usize,
    pub(super) are_apart: bool,
}

impl Places {
    /// The last processor that this thread may run on is the server's: the first ones have most of the interrupts.
    pub(super) fn find() -> Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0)).context("cannot read which processors are to be had")?;
        let numbers: Vec<usize> = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false)).collect();
        let processor = *numbers.last().ok_or_else(|| anyhow!("there is no processor to run on"))?;
        let mut server = CpuSet::new();
        server.set(processor).context("no such processor")?;
        let are_apart = numbers.len() > 1;
        let mut tester = all;
        if are_apart {
            tester.unset(processor).context("no such processor")?;
        }
        Ok(Self { server, tester, all, processor, are_apart })
    }
}

/// Starts a program that stays on some processors: it has them from this thread, which has its own again afterwards.
pub(super) fn spawn_on(command: &mut Command, on: &CpuSet) -> Result<Child> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this).context("cannot read which processors are to be had")?;
    sched_setaffinity(this, on).context("cannot choose processors")?;
    // Nothing goes on where this program is killed.
    let with_us = || Ok(set_pdeathsig(Signal::SIGKILL)?);
    // SAFETY: between fork and exec it makes one system call (prctl(2)), and allocates nothing.
    unsafe { command.pre_exec(with_us) };
    let child = command.spawn();
    sched_setaffinity(this, &before).context("cannot have all processors again")?;
    Ok(child?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "5581a0000000-7ffd00000000 ---p 00000000 00:00 0    [rollup]\nRss:                5132 kB\n\
                    Pss:                1021 kB\nPss_Dirty:            88 kB\n";
        let read = Memory { resident: 5132 * 1024, proportional: 1021 * 1024 };
        assert_eq!(Memory::parse(text), Some(read));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
        let this = Memory::of(std::process::id()).unwrap();
        assert!(this.resident >= this.proportional && this.proportional > 0, "{this:?}");
    }

    #[test]
    fn the_group_of_a_process_is_read_behind_its_name() {
        assert_eq!(group_of("71 (a) (b c) S 1 70 70 0 -1 4194560 1 2"), Some(70));
        assert_eq!(group_of("71 (a"), None);
        let of_this = group(nix::unistd::getpgrp().as_raw().unsigned_abs());
        assert!(of_this.contains(&std::process::id()), "{of_this:?}");
    }

    #[test]
    fn processor_time_of_another_process_is_what_it_used() {
        let mut busy = Command::new("/bin/sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let mut used = Duration::ZERO;
        while used < Duration::from_millis(50) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
            used = processor_time(busy.id()).unwrap();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used >= Duration::from_millis(50), "{used:?}");
        assert!(processor_time(busy.id()).is_err(), "it is gone");
    }

    #[test]
    fn a_program_that_says_much_does_not_wait_for_its_reader() {
        // A pipe has 64 KiB.
        let script = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo line $i of what it says; echo line $i of errors >&2; \
                      done";
        let arguments = ["-c", script].map(String::from);
        let on = Places::find().unwrap().all;
        let mut running = Running::start("the shell", Path::new("/bin/sh"), &arguments, &on).unwrap();
        assert_eq!(running.says().unwrap(), "line 1 of what it says");
        let until = Instant::now() + Duration::from_secs(60);
        while ended(running.pid()).unwrap().is_none() {
            assert!(Instant::now() < until, "it waits for us");
            thread::sleep(Duration::from_millis(5));
        }
        let said = running.out.rest();
        assert_eq!((said.len(), said.last().unwrap().as_str()), (3_999, "line 4000 of what it says"));
        assert_eq!(running.complaint(), "line 4000 of errors");
        let over = running.says().unwrap_err().to_string();
        assert!(over.starts_with("the shell has ended: exit status: 0"), "{over}");
    }

    #[test]
    fn a_child_that_has_ended_keeps_its_number_until_it_is_waited_for() {
        let mut child =
            Command::new("/bin/sh").args(["-c", "read line; exit 3"]).stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(ended(child.id()).unwrap(), None);
        drop(child.stdin.take());
        let until = Instant::now() + Duration::from_secs(60);
        while ended(child.id()).unwrap().is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let status = Some(WaitStatus::Exited(pid(child.id()), 3));
        assert_eq!((ended(child.id()).unwrap(), ended(child.id()).unwrap()), (status, status));
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert!(ended(child.id()).is_err(), "it is gone");
    }

    #[test]
    fn a_program_starts_where_it_is_told() {
        let places = Places::find().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "grep Cpus_allowed_list /proc/self/status"]).stdout(Stdio::piped());
        let output = spawn_on(&mut command, &places.server).unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.trim_end().ends_with(&format!("\t{}", places.processor)), "{said}");
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), places.all);
    }
}
