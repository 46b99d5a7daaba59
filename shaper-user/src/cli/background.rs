//! Processes that stay when the command that started them has ended: a lab's, and that of an interface that is impaired.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ROLE_ARGUMENT;
use super::told::in_full;

/// What such a process says, on one line, before it turns to its work.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report<T> {
    /// What it is for stands.
    Up(T),
    /// It does not, and nothing of it is left.
    Failed(String),
}

/// Starts the process of a role, and waits for its word.
///
/// # Errors
///
/// What it says, or that it ended without a word.
pub(super) fn start<T: DeserializeOwned>(role: &str, config: &impl Serialize) -> anyhow::Result<T> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("shaper")
        .args([ROLE_ARGUMENT, role])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the process {role}"))?;
    // Not as an argument, which Linux bounds to 128 KiB: there may be thousands of rules.
    if let Some(mut settings) = child.stdin.take() {
        let told = serde_json::to_vec(config)?;
        // One that ends before it has read them says why below.
        let _ = settings.write_all(&told);
    }
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        BufReader::new(said).read_line(&mut line).with_context(|| format!("cannot hear from the process {role}"))?;
    }
    match serde_json::from_str(&line) {
        Ok(Report::Up(what)) => Ok(what),
        Ok(Report::Failed(why)) => {
            child.wait()?;
            bail!(why)
        }
        Err(_) => {
            let status = child.wait()?;
            bail!("the process {role} ended before it was ready ({status}): try `shaper doctor`")
        }
    }
}

/// What the process is to do, as whoever started it wrote it.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn settings() -> anyhow::Result<String> {
    io::read_to_string(io::stdin().lock()).context("cannot read what is to be done")
}

/// Leaves the terminal, whose signals are for what runs in the foreground, and the folder that it was started in.
pub(super) fn leave() -> anyhow::Result<()> {
    nix::unistd::setsid().context("cannot leave the terminal")?;
    std::env::set_current_dir("/").context("cannot go to /")
}

/// Says that all stands, and lets go of the output of the command that started us: what reads it sees its end.
///
/// # Errors
///
/// When nobody is there to tell, so that nobody would know of it.
pub(super) fn stands<T: Serialize>(what: T) -> anyhow::Result<()> {
    say(&Report::Up(what))?;
    let null = OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Says that it does not.
pub(super) fn failed<T: Serialize>(error: &anyhow::Error) -> anyhow::Result<()> {
    say(&Report::<T>::Failed(in_full(error)))
}

fn say<T: Serialize>(report: &Report<T>) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()?;
    Ok(())
}
