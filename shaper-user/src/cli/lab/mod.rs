//! `shaper lab`: test beds that stay up while people and their programs use them.
//!
//! `up` starts a process of its own that keeps the lab and impairs its links, `daemon`; the others find it
//! by the state that it writes down.

mod daemon;
mod standing;
mod up;

use std::ffi::OsString;

use clap::{Args as ClapArgs, Subcommand};

use super::Outcome;
use crate::capabilities::Task;
pub(super) use daemon::{ROLE, daemon};

/// `shaper lab`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build hosts in network namespaces and impair the links between them, until `lab down`
    Up(Box<up::Args>),
    /// List the labs that stand
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command on a host of a lab; its exit code is ours
    Exec {
        /// The host, such as a
        host: String,
        /// The lab; may be left out where there is only one
        #[arg(long, value_name = "ID")]
        lab: Option<String>,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Take a lab down
    Down {
        /// Which one; may be left out where there is only one
        #[arg(value_name = "ID")]
        lab: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "lab")]
        all: bool,
    },
}

impl Args {
    /// What it is for, as far as its capabilities go.
    pub(super) const fn task(&self) -> Task {
        match self.action {
            Action::Up(_) => Task::LabUp,
            Action::List { .. } => Task::Files,
            Action::Exec { .. } => Task::LabExec,
            Action::Down { .. } => Task::LabDown,
        }
    }
}

/// Does what is asked.
pub(super) fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.action {
        Action::Up(args) => up::run(&args),
        Action::List { json } => standing::list(json),
        Action::Exec { host, lab, command } => standing::exec(&host, lab.as_deref(), &command),
        Action::Down { lab, all } => standing::down(lab.as_deref(), all),
    }
}
