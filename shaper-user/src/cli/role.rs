//! Hidden subcommands: the processes that `shaper` starts from its own executable.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use shaper_net::guard;
use shaper_toast::StopFlag;

use super::{COULD_NOT_RUN, apply, background, lab, told};
use crate::capabilities::Task;
use crate::workload::probe;

/// What stands before a role's name.
pub(crate) const ARGUMENT: &str = "__role";

/// Runs a hidden subcommand if the arguments name one.
pub(super) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    let first = args.get(1)?.to_str()?;
    if first == guard::ARGUMENT {
        // Nobody reads what it says, and what is changed is to be undone whatever it may still do.
        let _ = Task::Guard.give_up_others();
        return Some(guard::main(args.get(2..).unwrap_or_default().iter().cloned()));
    }
    if first != ARGUMENT {
        return None;
    }
    let name = args.get(2).and_then(|name| name.to_str()).unwrap_or_default();
    let config = args.get(3).and_then(|config| config.to_str()).unwrap_or_default();
    Some(match run(name, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads it, the exit code says so.
            let _ = writeln!(io::stderr(), "shaper {name}: {}", told::in_full(&error));
            ExitCode::from(COULD_NOT_RUN)
        }
    })
}

fn run(name: &str, config: &str) -> anyhow::Result<()> {
    let task = match name {
        lab::ROLE => Task::LabUp,
        apply::ROLE => Task::Apply,
        _ => Task::Workload,
    };
    task.give_up_others()?;
    // These take signals over by themselves: they have more to end than a loop.
    match name {
        lab::ROLE => return lab::daemon(parse(name, &background::settings()?)?),
        apply::ROLE => return apply::daemon(parse(name, &background::settings()?)?),
        _ => {}
    }
    let stop = StopFlag::on_signals().context("cannot take over signals")?;
    match name {
        "toast-controller" => shaper_toast::controller::run(parse(name, config)?, &stop).map(drop)?,
        "toast-peer" => shaper_toast::peer::run(parse(name, config)?, &stop).map(drop)?,
        "probe-sender" => probe::send(&parse(name, config)?, &stop)?,
        "probe-receiver" => probe::receive(&parse(name, config)?, &stop)?,
        other => bail!("no such role: {other}"),
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(role: &str, config: &str) -> anyhow::Result<T> {
    serde_json::from_str(config).with_context(|| format!("the configuration of {role} cannot be read"))
}
