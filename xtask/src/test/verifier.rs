//! Every BPF program through a kernel's verifier, with its instruction count
//! against the budget.
//!
//! `shaper doctor --verifier` does that and writes a line a program, which ends
//! with `within budget` or `OVER BUDGET`.

use std::time::Duration;

use anyhow::Result;

use super::{
    binaries::Runner,
    summary::{Counts, Outcome},
};
use crate::{
    Repo, process,
    root::Root,
    stream::{self, End},
    vm::{self, Guest},
};

/// How `shaper` is asked.
const ARGUMENTS: &[&str] = &["doctor", "--verifier"];

/// The longest that a guest may take, software emulation included.
const GUEST_LIMIT: Duration = Duration::from_secs(5 * 60);
const WITHIN: &str = "within budget";
const OVER: &str = "OVER BUDGET";
/// `shaper` says by this exit code that it could not run.
const COULD_NOT_RUN: i32 = 2;

/// The programs on the kernel that runs this.
pub(crate) fn host(repo: &Repo, runner: &Runner<'_>) -> Result<Outcome> {
    if let Some(outcome) = not_built(repo) {
        return Ok(outcome);
    }
    let root = match Root::find() {
        Ok(root) => root,
        Err(error) => {
            return Ok(Outcome::CannotRun { reason: error.to_string(), tests: 1 });
        }
    };
    let mut command = root.command(repo.shaper(), &[]);
    command.args(ARGUMENTS).current_dir(&repo.root);
    println!("{}", process::show(&command));
    let mut reader = Reader::default();
    let end = stream::run(&mut command, runner.limit(), |line| {
        println!("{line}");
        reader.line(line);
    })?;
    let code = match end {
        End::Exited(status) => status.code(),
        End::TimedOut => None,
    };
    Ok(reader.finish(code))
}

/// The programs on a Debian kernel of this series, in qemu.
pub(crate) fn guest(repo: &Repo, series: &str) -> Result<Outcome> {
    if let Some(outcome) = not_built(repo) {
        return Ok(outcome);
    }
    let kernel = match vm::get(repo, series) {
        Ok(kernel) => kernel,
        Err(error) => {
            return Ok(Outcome::CannotRun { reason: format!("{error:#}"), tests: 1 });
        }
    };
    let mut reader = Reader::default();
    let arguments: Vec<_> = ARGUMENTS.iter().map(Into::into).collect();
    let shaper = repo.shaper();
    let code = vm::boot(repo, &kernel, &Guest::new(&shaper, &arguments, GUEST_LIMIT), |line| {
        println!("{line}");
        reader.line(line);
    })?;
    Ok(reader.finish(Some(code)))
}

fn not_built(repo: &Repo) -> Option<Outcome> {
    let shaper = repo.shaper();
    (!shaper.is_file()).then(|| Outcome::CannotRun { reason: format!("{} was not built", shaper.display()), tests: 1 })
}

/// Adds up what `shaper doctor --verifier` writes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counts: Counts,
    /// The first line that is no program's: the reason, when nothing could run.
    said: Option<String>,
}

impl Reader {
    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str) {
        if line.ends_with(WITHIN) {
            self.counts.passed += 1;
        } else if line.ends_with(OVER) {
            self.counts.failed += 1;
        } else if !line.trim().is_empty() {
            self.said.get_or_insert_with(|| line.trim().to_owned());
        }
    }

    /// The sum, given the exit code. No program at all is a failure: an empty
    /// object would pass otherwise.
    pub(crate) fn finish(self, code: Option<i32>) -> Outcome {
        let mut counts = self.counts;
        if code == Some(COULD_NOT_RUN) && counts == Counts::default() {
            return Outcome::CannotRun {
                reason: self.said.unwrap_or_else(|| "`shaper` did not say why".into()),
                tests: 1,
            };
        }
        if counts.failed == 0 && (code != Some(0) || counts.passed == 0) {
            counts.failed = 1;
        }
        Outcome::Ran(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, code: Option<i32>) -> Outcome {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.finish(code)
    }

    fn counts(passed: u64, failed: u64) -> Outcome {
        Outcome::Ran(Counts { passed, failed, ..Counts::default() })
    }

    #[test]
    fn each_program_counts() {
        let text = "kernel 6.1.0-56-amd64: all programs accepted\n  \
                    link     70000 of 60000 instructions verified, OVER BUDGET\n  \
                    probe    30970 of 60000 instructions verified, within budget\n";
        assert_eq!(read(text, Some(1)), counts(1, 1));
    }

    #[test]
    fn a_refusal_is_a_failure() {
        assert_eq!(read("kernel 6.1: refused: program link\n", Some(1)), counts(0, 1));
    }

    #[test]
    fn no_program_at_all_is_a_failure() {
        assert_eq!(read("nothing to load\n", Some(0)), counts(0, 1));
    }

    #[test]
    fn an_end_without_an_exit_code_is_a_failure() {
        assert_eq!(read("  a 1 of 2 instructions verified, within budget\n", None), counts(1, 1));
    }

    #[test]
    fn exit_code_2_with_no_program_says_why_it_could_not_run() {
        assert_eq!(
            read("\nno BPF on this kernel\nSHAPER-VM exit=2\npower down\n", Some(2)),
            Outcome::CannotRun { reason: "no BPF on this kernel".into(), tests: 1 }
        );
    }
}
