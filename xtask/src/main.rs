//! The repository's task runner: `cargo xtask …`.

mod bpf;
mod build;
mod cargo_messages;
mod demo;
mod process;
mod repo;
mod root;
mod setup;
mod stream;
mod test;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::repo::Repo;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, build, run and test shaper")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing; a second call changes nothing.
    Setup {
        /// What to make ready for.
        #[arg(long = "for", value_enum, default_value = "test")]
        purpose: setup::For,
    },
    /// Build the BPF object that the binary embeds.
    BuildEbpf,
    /// Build `target/release/shaper`, setting up what that needs.
    Build {
        /// Accepted for habit's sake: the release profile is the only one.
        #[arg(long)]
        release: bool,
    },
    /// Build, then run the main job: 20 s of multicast sync over an impaired link.
    Demo {
        /// More arguments for `shaper run toast`.
        #[arg(last = true)]
        extra: Vec<OsString>,
    },
    /// Run every layer of tests, setting up what they need.
    Test {
        /// Also the long ones: soaks, hundreds of SIGKILLs, every kernel.
        #[arg(long)]
        full: bool,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn perform(task: Task) -> anyhow::Result<ExitCode> {
    let repo = Repo::find()?;
    root::refuse_cargo_under_sudo(&repo.root)?;
    match task {
        Task::Setup { purpose } => setup::run(&repo, purpose)?,
        Task::BuildEbpf => {
            setup::run(&repo, setup::For::Demo)?;
            bpf::build(&repo)?;
        }
        Task::Build { release: _ } => build::run(&repo)?,
        Task::Demo { extra } => return demo::run(&repo, &extra),
        Task::Test { full } => return test::run(&repo, full),
    }
    Ok(ExitCode::SUCCESS)
}
