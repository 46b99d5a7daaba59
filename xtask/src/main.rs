//! The repository's task runner: `cargo xtask …`.

mod bench;
mod bpf;
mod build;
mod cargo_messages;
mod compare;
mod demo;
mod fuzz;
mod matrix;
mod picture;
mod process;
mod repo;
mod root;
mod setup;
mod stream;
mod test;
mod vm;

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
    /// Run the benchmarks, setting up what they need.
    Bench(bench::Arguments),
    /// Run every layer of tests, setting up what they need.
    Test {
        /// Also the long ones: soaks, hundreds of SIGKILLs, every kernel, minutes of each fuzz target.
        #[arg(long)]
        full: bool,
    },
    /// Run a fuzz target until it fails, or on one input; without a target all but those of WebRTC, for seconds
    /// each.
    Fuzz {
        /// The target: the name of a folder in fuzz/corpus.
        target: Option<String>,
        /// Inputs to take, instead of the corpus, and flags of libFuzzer's, such as -max_total_time=60.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a program of this host's on one of Debian's kernels, in qemu.
    Vm(vm::Arguments),
    /// Draw the README's picture of a report from a run.
    Picture(picture::Arguments),
    /// Compare netem and our engines in one run, here or on Debian's kernels in qemu.
    CompareNetem(compare::Arguments),
}

fn main() -> ExitCode {
    if vm::init::started_by_kernel() {
        eprintln!("init: {:#}", vm::init::run());
        return ExitCode::FAILURE;
    }
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
        Task::Bench(arguments) => return bench::run(&repo, &arguments),
        Task::Test { full } => return test::run(&repo, full),
        Task::Fuzz { target: Some(target), arguments } => return fuzz::run(&repo, &target, &arguments),
        Task::Fuzz { target: None, arguments: _ } => return test::fuzz_alone(&repo),
        Task::Vm(arguments) => return vm::run(&repo, &arguments),
        Task::Picture(arguments) => picture::run(&repo, &arguments)?,
        Task::CompareNetem(arguments) => return compare::run(&repo, &arguments),
    }
    Ok(ExitCode::SUCCESS)
}
