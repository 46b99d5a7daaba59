//! The command line: one file a subcommand. Exit codes: 0 held, 1 a stated expectation failed, 2 could not run, or
//! not on all of its input.

mod analyze;
#[cfg(feature = "live")]
mod apply;
#[cfg(feature = "live")]
mod background;
#[cfg(feature = "live")]
mod capture;
#[cfg(feature = "live")]
mod clear;
mod compare;
#[cfg(feature = "live")]
mod doctor;
#[cfg(feature = "live")]
mod exchange;
#[cfg(feature = "live")]
mod exec;
mod fit;
#[cfg(feature = "live")]
mod lab;
#[cfg(feature = "live")]
mod link_flags;
#[cfg(feature = "live")]
mod preview;
#[cfg(feature = "live")]
mod profile;
mod report;
#[cfg(feature = "live")]
mod role;
#[cfg(feature = "live")]
mod run;
#[cfg(feature = "live")]
mod run_flags;
#[cfg(feature = "live")]
mod scenario;
#[cfg(feature = "live")]
mod status;
#[cfg(feature = "live")]
mod toast;
mod told;
#[cfg(feature = "webrtc")]
mod webrtc;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(feature = "live")]
use crate::capabilities::Task;

/// What stands before a role's name in the hidden arguments.
#[cfg(feature = "live")]
pub(crate) use role::ARGUMENT as ROLE_ARGUMENT;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything held.
    Held,
    /// A stated expectation failed.
    Failed,
    /// A command that was run for the user ended with this code.
    Code(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Held => Self::SUCCESS,
            Outcome::Failed => Self::from(1),
            Outcome::Code(code) => Self::from(code),
        }
    }
}

/// The code for what could not run.
const COULD_NOT_RUN: u8 = 2;

/// Impairs real network links in the kernel, knows the fate of every packet, and shows what that did to the application.
#[derive(Debug, Parser)]
#[command(name = "shaper", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what this host can do, and what to do about what it cannot
    #[cfg(feature = "live")]
    Doctor(doctor::Args),
    /// Impair an interface of this host or of a container, in both directions
    #[cfg(feature = "live")]
    Apply(Box<apply::Args>),
    /// Join two interfaces by an impaired link, transparently
    #[cfg(feature = "live")]
    Bridge(Box<apply::BridgeArgs>),
    /// Run a command behind an impaired link
    #[cfg(feature = "live")]
    Exec(Box<exec::Args>),
    /// Say how the interfaces stand that are impaired
    #[cfg(feature = "live")]
    Status(status::Args),
    /// Run a whole experiment: lab, impairment, workload, capture, correlation, judgement
    #[cfg(feature = "live")]
    Run(Box<run::Args>),
    /// Build, use and remove test beds of network namespaces
    #[cfg(feature = "live")]
    Lab(lab::Args),
    /// Put an impaired interface back as it was, and undo what did not end in order
    #[cfg(feature = "live")]
    Clear(clear::Args),
    /// List, show and check link profiles, and take over or write those of other tools
    #[cfg(feature = "live")]
    Profile(profile::Args),
    /// Be one end of the TOAST workload on an interface of this host
    #[cfg(feature = "live")]
    Toast(toast::Args),
    /// Be one end of the WebRTC workload: no root needed
    #[cfg(feature = "webrtc")]
    Webrtc(webrtc::Args),
    /// Capture interfaces into one file, in order of time
    #[cfg(feature = "live")]
    Capture(Box<capture::Args>),
    /// Analyse captures from one point or from two: no root needed
    Analyze(Box<analyze::Args>),
    /// Write the page of a run again from its directory: no root needed
    Report(report::Args),
    /// Say what changed from one run to another, or from one series of benchmarks to another: no root needed
    Compare(compare::Args),
    /// Make a profile of what was measured: from the captures of two points, a run, or delays: no root needed
    Fit(fit::Args),
}

#[cfg(feature = "live")]
impl Command {
    /// What it is for, as far as its capabilities go.
    const fn task(&self) -> Task {
        match self {
            Self::Doctor(args) => args.task(),
            Self::Apply(args) => args.task(),
            Self::Bridge(args) => args.task(),
            Self::Exec(_) => Task::Exec,
            Self::Status(_) => Task::Status,
            Self::Capture(_) => Task::Capture,
            Self::Run(_) => Task::Run,
            Self::Lab(args) => args.task(),
            Self::Clear(_) => Task::Clear,
            Self::Toast(_) => Task::Workload,
            #[cfg(feature = "webrtc")]
            Self::Webrtc(args) => args.task(),
            Self::Profile(_) | Self::Analyze(_) | Self::Report(_) | Self::Compare(_) | Self::Fit(_) => Task::Files,
        }
    }
}

/// Runs the command line and says how it ended.
#[must_use]
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    #[cfg(feature = "live")]
    tell_warnings();
    #[cfg(feature = "live")]
    if let Some(code) = role::dispatch(&args) {
        return code;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, and are no error; a closed pipe is none either.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(COULD_NOT_RUN) } else { ExitCode::SUCCESS };
        }
    };
    #[cfg(feature = "live")]
    if let Err(error) = cli.command.task().give_up_others() {
        return could_not_run(&error);
    }
    let outcome = match cli.command {
        #[cfg(feature = "live")]
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "live")]
        Command::Apply(args) => apply::run(&args),
        #[cfg(feature = "live")]
        Command::Bridge(args) => apply::bridge(&args),
        #[cfg(feature = "live")]
        Command::Exec(args) => exec::run(&args),
        #[cfg(feature = "live")]
        Command::Status(args) => status::run(&args),
        #[cfg(feature = "live")]
        Command::Run(args) => run::run(*args),
        #[cfg(feature = "live")]
        Command::Lab(args) => lab::run(args),
        #[cfg(feature = "live")]
        Command::Clear(args) => clear::run(&args),
        #[cfg(feature = "live")]
        Command::Profile(args) => profile::run(&args),
        #[cfg(feature = "live")]
        Command::Toast(args) => toast::run(args),
        #[cfg(feature = "webrtc")]
        Command::Webrtc(args) => webrtc::run(args),
        #[cfg(feature = "live")]
        Command::Capture(args) => capture::run(*args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Fit(args) => fit::run(&args),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => could_not_run(&error),
    }
}

fn could_not_run(error: &anyhow::Error) -> ExitCode {
    // Where even this cannot be written, the exit code says it.
    let _ = writeln!(io::stderr(), "shaper: {}", told::in_full(error));
    ExitCode::from(COULD_NOT_RUN)
}

/// What goes wrong where no error can be handed up, in clean-up above all, is said on standard error.
#[cfg(feature = "live")]
fn tell_warnings() {
    let warnings = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(io::stderr);
    // Where standard error is closed there is nobody to tell, and no reason to end by a panic.
    let warnings = warnings.log_internal_errors(false);
    // Somebody who uses this as a library may listen already.
    let _ = warnings.without_time().with_target(false).try_init();
}

/// Whether the reader of our output went away, as `head` does: that is its right.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe))
}
