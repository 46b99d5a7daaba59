//! The `shaper` that is measured, called as its users call it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shaper_net::netns::NetNs;

/// What is asked of an engine.
pub(crate) enum Asked {
    /// Flags for what leaves, or a profile.
    Egress(&'static str, Option<String>),
    /// Flags for both directions.
    Both(&'static str),
}

/// The program.
pub(crate) struct Shaper {
    path: PathBuf,
}

/// What stands between an engine's name and flags of `shaper apply`, without their hyphens.
pub(super) const WITH: char = '+';

impl Shaper {
    /// The given one, or that beside this program.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::env::current_exe().context("cannot find this program's own file")?.with_file_name("shaper"),
        };
        let version = Command::new(&path).arg("--version").output();
        version.with_context(|| format!("cannot start {}: --shaper names another", path.display()))?;
        Ok(Self { path })
    }

    /// Impairs an interface in a namespace by an engine, for as long as the answer lives.
    pub(crate) fn apply(&self, engine: &str, netns: &NetNs, device: &str, asked: &Asked) -> Result<Running> {
        let mut words = engine.split(WITH);
        let engine = words.next().unwrap_or(engine);
        let mut command = Command::new(&self.path);
        command.args(["apply", device, "--seed", "1", "--engine", engine]);
        command.args(words.map(|flag| format!("--{flag}")));
        if !netns.name().is_empty() {
            command.args(["--netns", netns.name()]);
        }
        let mut folder = None;
        match asked {
            Asked::Both(flags) => {
                command.args(flags.split_whitespace());
            }
            Asked::Egress(flags, None) => {
                command.args(["--egress", flags]);
            }
            Asked::Egress(_, Some(profile)) => {
                // Of a name that nobody could foresee: others write there too.
                let made = tempfile::tempdir().context("cannot make a folder for the profile")?;
                let path = made.path().join("profile.toml");
                fs::write(&path, profile).with_context(|| format!("cannot write {}", path.display()))?;
                command.arg("--egress").arg(&path);
                folder = Some(made);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let running = child.context("cannot start shaper").and_then(|child| Running { child }.once_it_impairs());
        if let Some(folder) = folder {
            folder.close().context("cannot remove the profile's folder")?;
        }
        running
    }

    /// What `shaper status --json` says of an interface.
    pub(crate) fn status(&self, device: &str) -> Result<serde_json::Value> {
        let output = Command::new(&self.path).args(["status", device, "--json"]).output();
        let output = output.context("cannot start shaper")?;
        serde_json::from_slice(&output.stdout).context("shaper status --json did not write JSON")
    }
}

/// A `shaper` that impairs an interface.
pub(crate) struct Running {
    child: Child,
}

/// What it says once it does.
const IMPAIRED_NOW: &str = ": impaired ";
/// How long what is held may take to come out.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

impl Running {
    /// Waits until it says so; where it ends instead, what it said last is why.
    fn once_it_impairs(mut self) -> Result<Self> {
        let mut said = BufReader::new(self.child.stderr.take().context("shaper has no standard error")?);
        let (mut line, mut last) = (String::new(), String::from("shaper did not say why"));
        while said.read_line(&mut line).context("cannot read what shaper says")? > 0 {
            if line.contains(IMPAIRED_NOW) {
                // What else it says, nobody reads; it is not to wait for that.
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                return Ok(self);
            }
            if !line.trim().is_empty() {
                line.trim().clone_into(&mut last);
            }
            line.clear();
        }
        self.child.wait().context("cannot wait for shaper")?;
        bail!("{last}")
    }

    /// Asks it to end, and waits until the interface is as before. What it found at the end, lost packets of a flood among
    /// it, is no error here.
    pub(crate) fn end(mut self) -> Result<()> {
        let code = self.ended()?;
        ensure!(matches!(code, Some(0 | 1)), "shaper did not end in order: exit code {code:?}");
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<i32>> {
        let since = Instant::now();
        if self.child.try_wait()?.is_none() {
            kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).context("cannot end shaper")?;
        }
        loop {
            match self.child.try_wait().context("cannot wait for shaper")? {
                Some(status) => return Ok(status.code()),
                None if since.elapsed() < GRACE => std::thread::sleep(LOOK),
                None => {
                    self.child.kill().context("cannot kill shaper")?;
                    self.child.wait().context("cannot wait for shaper")?;
                    bail!("shaper did not end within {} s", GRACE.as_secs());
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.ended() {
            eprintln!("bench: {error:#}");
        }
    }
}
