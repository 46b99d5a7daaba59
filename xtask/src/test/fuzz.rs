//! The layer of the fuzz targets: each on the inputs that are kept for it, and then on what libFuzzer makes of them.
//!
//! In the ordinary run that is bounded by time and by a number of inputs, from a fixed seed and from what the repository
//! keeps alone, and those of WebRTC, which take minutes to build, have their turn in unit tests with what is kept for them;
//! in the full one each target goes on for minutes, from where it ended the last time that it was free to.

use std::{
    fs, io,
    num::NonZero,
    process::Command,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::summary::{Counts, Outcome};
use crate::{
    Repo,
    fuzz::{self, Target, Which},
    stream::{self, End},
};

/// How long a target goes on, and in the full run.
const SECONDS: u64 = 2;
const SECONDS_FULL: u64 = 120;
/// The most inputs in the ordinary run.
const INPUTS: u64 = 200_000;
/// How much longer a target may take before it is stopped: its first inputs, and one that takes too long.
const BEYOND: Duration = Duration::from_secs(90);
/// Lines of a target's output that are shown where it fails.
const SHOWN: usize = 40;

/// Builds all targets and runs as many at a time as there are CPUs.
pub(crate) fn run(repo: &Repo, full: bool) -> Result<Outcome> {
    let mut targets = fuzz::build(repo, if full { Which::All } else { Which::Quick })?;
    if !full {
        // What is found without bounds stays.
        let bounded = repo.target.join("fuzz/bounded");
        targets = targets.into_iter().map(|target| target.finding_in(&bounded)).collect();
    }
    let mut counts = Counts::default();
    let waiting = Mutex::new(targets.iter());
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let (sender, waiting) = (sender.clone(), &waiting);
            scope.spawn(move || {
                while let Some(target) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
                    let _ = sender.send((target, one(target, full)));
                }
            });
        }
        drop(sender);
        for (target, result) in ended {
            let held = match result {
                Ok(said) => said.tell(&target.name),
                Err(error) => {
                    println!("{}: FAILED: {error:#}", target.name);
                    false
                }
            };
            counts += Counts::check(held);
        }
    });
    anyhow::ensure!(counts.passed + counts.failed == targets.len() as u64, "not every target was run");
    Ok(Outcome::Ran(counts))
}

fn one(target: &Target, full: bool) -> Result<Said> {
    let seconds = if full { SECONDS_FULL } else { SECONDS };
    if !full {
        emptied(target)?;
    }
    let mut command: Command = target.command()?;
    command.arg(format!("-max_total_time={seconds}"));
    if !full {
        command.args(["-seed=1".to_owned(), format!("-runs={INPUTS}")]);
    }
    command.args(target.folders());
    let mut said = Said::default();
    let end = stream::run(&mut command, Duration::from_secs(seconds) + BEYOND, |line| said.line(line))?;
    said.held = end.succeeded();
    if matches!(end, End::TimedOut) {
        said.line("it did not end, and was stopped");
    }
    Ok(said)
}

/// What earlier runs found does not count where the same is to come out again.
fn emptied(target: &Target) -> Result<()> {
    match fs::remove_dir_all(&target.found) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", target.found.display()))
        }
        _ => Ok(()),
    }
}

/// What a target's program wrote, without libFuzzer's news of its progress and the addresses of its stack.
#[derive(Debug, Default)]
struct Said {
    held: bool,
    lines: Vec<String>,
    /// `Done 67153 runs in 13 second(s)`.
    done: Option<String>,
    /// The file with the input that it does not hold for.
    input: Option<String>,
}

impl Said {
    fn line(&mut self, line: &str) {
        if line.starts_with("Done ") {
            self.done = Some(line.to_owned());
        } else if let Some((_, path)) = line.split_once("Test unit written to ")
            && !path.contains("slow-unit-")
        {
            self.input = Some(path.to_owned());
        } else if !line.trim_start().starts_with('#') && !line.starts_with("\tNEW_FUNC") {
            self.lines.push(line.to_owned());
        }
    }

    /// Writes how it ended; for one that failed with the input and how to come back to it. True where all held.
    fn tell(&self, name: &str) -> bool {
        // Without the line of its end, a program that ended well has not done its work.
        if let (true, Some(done)) = (self.held, &self.done) {
            println!("{name}: {done}");
            return true;
        }
        for line in self.lines.iter().take(SHOWN) {
            println!("{name}: {line}");
        }
        match &self.input {
            Some(path) => println!("{name}: FAILED on {path}: `cargo xtask fuzz {name} {path}` does it again"),
            None => println!("{name}: FAILED without an input: `cargo xtask fuzz {name}` starts it"),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(held: bool, text: &str) -> Said {
        let mut said = Said { held, ..Said::default() };
        text.lines().for_each(|line| said.line(line));
        said
    }

    #[test]
    fn a_target_that_went_to_its_end_holds() {
        let said = said(true, "INFO: Seed: 1\n#2\tINITED cov: 3\nDone 200000 runs in 5 second(s)\n");
        assert!(said.tell("filter"));
        assert_eq!(said.lines, ["INFO: Seed: 1"]);
    }

    #[test]
    fn a_target_that_ends_without_saying_so_does_not_hold() {
        assert!(!said(true, "INFO: Seed: 1\n").tell("filter"));
        assert!(!said(false, "Done 5 runs in 5 second(s)\n").tell("filter"));
    }

    #[test]
    fn the_input_that_fails_is_found_and_a_slow_one_is_none() {
        let text = "artifact_prefix='/a/'; Test unit written to /a/slow-unit-1\n\
                    artifact_prefix='/a/'; Test unit written to /a/crash-2\nBase64: eA==\n";
        let said = said(false, text);
        assert_eq!(said.input.as_deref(), Some("/a/crash-2"));
        assert!(!said.tell("filter"));
    }
}
