//! `shaper exec`: one command behind a link.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use nix::libc;
use shaper_engine::Site;
use shaper_net::enclosure::{Enclosure, INSIDE};
use shaper_net::role::{Role, RoleSpec};
use shaper_net::signals::Signals;
use shaper_profile::Expectation;

use super::Outcome;
use super::apply::side;
use super::link_flags::LinkFlags;
use super::run_flags::RecordsFlag;
use crate::apply::{Attached, Ended, EngineChoice, HookChoice, Request, Target, expectation, first_lines, last_lines};
use crate::capabilities::Task;
use crate::run::Ground;

/// How long a command may take to end when the link fails.
const GRACE: Duration = Duration::from_secs(5);

/// `shaper exec`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Flags of the link hold for both directions; --up and --down say more of one: a profile, or flags in \
                        quotes, such as --up '--delay 20ms --loss 1%'. Up is from the command, and goes by a profile's way \
                        from a to b; down is to it. What the command prints is all that is on standard output."
)]
pub(crate) struct Args {
    #[command(flatten)]
    link: LinkFlags,
    /// What comes from the command: a preset's name, a TOML file, or flags of the link in quotes
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    up: Option<String>,
    /// What goes to the command
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    down: Option<String>,
    /// The seed of every draw: the same seed gives the same draws to the same packet index
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    recording: RecordsFlag,
    /// What is demanded, such as 'loss.up < 6%': the exit code is 1 where it does not hold and the command's is 0; may be
    /// given again
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    expect: Vec<Expectation>,
    /// What holds packets
    #[arg(long, value_enum, default_value_t)]
    engine: EngineChoice,
    /// Say nothing unless something is wrong
    #[arg(long, short)]
    quiet: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command; its exit code is ours.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let forward = side(&args.link, args.up.as_deref()).context("--up")?;
    let backward = side(&args.link, args.down.as_deref()).context("--down")?;
    let (program, arguments) = args.command.split_first().context("there is no command")?;
    let named = program.to_string_lossy().into_owned();
    let mut request = Request {
        site: Site::Interface(INSIDE.into()),
        target: Target::Own,
        command: Some(named.clone()),
        forward,
        backward,
        seed: args.seed,
        duration: None,
        allow_default_route: false,
        engine: args.engine,
        hook: HookChoice::Tc,
        busy_poll: false,
        recording: args.recording.records,
        expected: args.expect.clone(),
    };
    let worked = request.work_out()?;
    Task::Exec.demand()?;
    let signals = Signals::install()?;
    let ground = Ground::prepare(&format!("exec {named}"))?;
    let enclosure = Enclosure::create(ground.journal()).context("cannot make a namespace for the command")?;
    request.target = Target::Named(enclosure.netns().name().to_owned());
    let say = |lines: Vec<String>| -> io::Result<()> {
        let mut err = io::stderr().lock();
        lines.iter().try_for_each(|line| writeln!(err, "{line}"))
    };
    if !args.quiet {
        say(first_lines(&request, &worked))?;
        if !enclosure.has_way_out() {
            say(vec!["this host has no way out, and so the command has none either".to_owned()])?;
        }
    }
    let journal = ground.journal().clone();
    let mut attached = Attached::up_on(ground, &request, &worked)?;
    if !args.quiet {
        say(vec![attached.engine_line()])?;
    }
    let mut role = RoleSpec::new(named.clone(), arguments).program(program);
    (role.stdin, role.own_group) = (Stdio::inherit(), false);
    role.shown = match (enclosure.resolver(), std::fs::canonicalize("/etc/resolv.conf")) {
        (Some(resolver), Ok(at)) => Some((resolver.to_owned(), at)),
        _ => None,
    };
    let mut role = Role::spawn(&journal, enclosure.netns(), role)?;
    let mut told = 0;
    let ended = attached.wait_for(
        |left| {
            let (count, signal) = signals.latest();
            if count > told {
                told = count;
                // Ctrl-C reaches the command by itself: it is in our group.
                if signal != libc::SIGINT {
                    role.signal(signal)?;
                }
            }
            Ok(role.wait_for(left)?.map(|_| Ended::Over))
        },
        |_| {},
    );
    let status = match ended {
        Ok(Ended::Over | Ended::Told) => role.wait()?,
        // Behind a link that does not do what was asked it is not to go on.
        Ok(Ended::Gone | Ended::Failed) | Err(_) => role.terminate(GRACE)?,
    };
    drop(role);
    let left = enclosure.processes().map_or(0, |processes| processes.len());
    if left > 0 {
        say(vec![format!("{left} processes that {named} left behind have no link any more")])?;
    }
    let finished = attached.down(*ended.as_ref().unwrap_or(&Ended::Failed))?;
    drop(enclosure);
    ended?;
    let findings = finished.findings();
    if !args.quiet {
        say(last_lines(&finished))?;
    } else {
        let failed = finished.judged().into_iter().filter(|judged| !judged.held).map(|judged| judged.to_string());
        say(failed.chain(findings.iter().map(|finding| format!("ERROR: {finding}"))).collect())?;
    }
    let code = code_of(status);
    if code == 0 && !findings.is_empty() {
        bail!("{named} ended well, but not behind the link that was asked for");
    }
    Ok(if code == 0 && !finished.is_good() { Outcome::Failed } else { Outcome::Code(code) })
}

/// A shell's code for how a command ended.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}
