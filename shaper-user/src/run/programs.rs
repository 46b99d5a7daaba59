//! The commands of a scenario: started when they are due, ended when their time is over, and what became of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use shaper_common::units::Nanos;
use shaper_engine::clock;
use shaper_net::lab::Lab;
use shaper_net::role::{Role, RoleSpec};
use shaper_profile::scenario::Command;

use super::directory::RunDirectory;
use super::stage::Stage;

/// How long one may take to end once it was told to, before it is killed.
const GRACE: Nanos = Nanos(3_000_000_000);
/// The names by which hosts of a lab know each other.
const HOSTS: &str = "/etc/hosts";

/// All of them.
pub(super) struct Programs {
    all: Vec<Program>,
    start: Nanos,
    end: Nanos,
    /// What stands in the place of `/etc/hosts` for them.
    hosts: Option<PathBuf>,
}

struct Program {
    spec: Command,
    state: State,
    started: Option<Nanos>,
}

enum State {
    Due,
    Running {
        role: Box<Role>,
        told: Option<Nanos>,
    },
    Ended {
        at: Nanos,
        status: ExitStatus,
        told: bool,
    },
    /// It could not be started.
    Failed(String),
}

/// What became of one.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) spec: Command,
    /// Since the start of the run.
    pub(super) started: Option<Nanos>,
    pub(super) ended: Option<Nanos>,
    pub(super) status: Option<ExitStatus>,
    /// Whether we ended it.
    pub(super) told: bool,
    /// Why it could not be started.
    pub(super) failure: Option<String>,
}

impl Programs {
    pub(super) fn new(
        commands: &[Command],
        start: Nanos,
        duration: Nanos,
        stage: &Stage,
        directory: &RunDirectory,
    ) -> anyhow::Result<Self> {
        let hosts = match stage {
            Stage::Lab(bed) if !commands.is_empty() && Path::new(HOSTS).exists() => {
                directory.write("hosts", names(bed.lab()?).as_bytes())?;
                Some(absolute(directory.file("hosts"))?)
            }
            _ => None,
        };
        let program = |spec: &Command| Program { spec: spec.clone(), state: State::Due, started: None };
        let all = commands.iter().map(program).collect();
        Ok(Self { all, start, end: start.saturating_add(duration), hosts })
    }

    /// Starts those that are due, tells those to end whose time is over, and sees which have ended.
    pub(super) fn tick(
        &mut self,
        now: Nanos,
        stage: &Stage,
        directory: &RunDirectory,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        for program in &mut self.all {
            let due = self.start.saturating_add(program.spec.at.0);
            if matches!(program.state, State::Due) && now >= due && now < self.end {
                program.started = Some(now);
                program.state = match spawn(&program.spec, stage, directory, self.hosts.as_deref()) {
                    Ok(role) => State::Running { role: Box::new(role), told: None },
                    Err(error) => {
                        // Errors of processes carry their cause's words already.
                        say(&error.to_string());
                        State::Failed(error.to_string())
                    }
                };
            }
            let over = program.spec.lasts.map(|lasts| due.saturating_add(lasts.0));
            if let State::Running { role, told } = &mut program.state {
                if let Some(status) = role.try_wait()? {
                    program.state = State::Ended { at: now, status, told: told.is_some() };
                } else if told.is_none() && over.is_some_and(|over| now >= over) {
                    tell(role, told, now)?;
                } else if told.is_some_and(|told| now >= told.saturating_add(GRACE)) {
                    role.signal(Signal::SIGKILL as i32)?;
                }
            }
        }
        Ok(())
    }

    /// Whether all have ended that are not in the background; not if there are none.
    pub(super) fn are_over(&self) -> bool {
        let mut awaited = self.all.iter().filter(|program| !program.spec.background).peekable();
        awaited.peek().is_some()
            && awaited.all(|program| matches!(program.state, State::Ended { .. } | State::Failed(_)))
    }

    /// Whether there is none to wait for.
    pub(super) fn are_none(&self) -> bool {
        self.all.iter().all(|program| program.spec.background)
    }

    /// Whether there are any at all.
    pub(super) fn are_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Tells all that run to end, first those that the run was to wait for.
    pub(super) fn tell_awaited(&mut self) -> anyhow::Result<()> {
        let now = Nanos(clock::monotonic());
        for program in self.all.iter_mut().filter(|program| !program.spec.background) {
            if let State::Running { role, told } = &mut program.state
                && told.is_none()
            {
                tell(role, told, now)?;
            }
        }
        Ok(())
    }

    /// Ends all; what became of them.
    pub(super) fn end(self) -> anyhow::Result<Vec<Ran>> {
        let mut running = self.all;
        let now = Nanos(clock::monotonic());
        // All are told before any is waited for.
        for program in &mut running {
            if let State::Running { role, told } = &mut program.state
                && role.try_wait()?.is_none()
                && told.is_none()
            {
                tell(role, told, now)?;
            }
        }
        let since = |at: Nanos| at.saturating_sub(self.start);
        let mut ran = Vec::new();
        for Program { spec, state, started } in running {
            let mut found =
                Ran { spec, started: started.map(since), ended: None, status: None, told: false, failure: None };
            match state {
                State::Due => {}
                State::Failed(why) => found.failure = Some(why),
                State::Ended { at, status, told } => {
                    (found.ended, found.status, found.told) = (Some(since(at)), Some(status), told);
                }
                State::Running { mut role, told } => {
                    let status = role.terminate(Duration::from_nanos(GRACE.0))?;
                    let ended = Some(since(Nanos(clock::monotonic())));
                    (found.ended, found.status, found.told) = (ended, Some(status), told.is_some());
                }
            }
            ran.push(found);
        }
        Ok(ran)
    }
}

fn tell(role: &Role, told: &mut Option<Nanos>, now: Nanos) -> anyhow::Result<()> {
    role.signal(Signal::SIGTERM as i32)?;
    *told = Some(now);
    Ok(())
}

fn spawn(spec: &Command, stage: &Stage, directory: &RunDirectory, hosts: Option<&Path>) -> anyhow::Result<Role> {
    let (program, arguments) = spec.command.split_first().map_or(("", &[][..]), |(program, rest)| (program, rest));
    let netns = stage.netns(spec.on.as_deref())?;
    let mut role = RoleSpec::new(spec.name.clone(), arguments).program(program);
    role.stdout = directory.make(&output_name(&spec.name))?.into();
    role.stderr = directory.make(&error_name(&spec.name))?.into();
    role.shown = hosts.map(|hosts| (hosts.to_owned(), HOSTS.into()));
    Ok(Role::spawn(stage.journal(), &netns, role)?)
}

/// The file of a command's standard output.
pub(super) fn output_name(name: &str) -> String {
    format!("{name}.out")
}

/// The file of a command's standard error.
pub(super) fn error_name(name: &str) -> String {
    format!("{name}.err")
}

/// The hosts of a lab by name, as `/etc/hosts` has them.
fn names(lab: &Lab) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for host in lab.hosts() {
        let _ = writeln!(text, "{} {}\n{} {}", host.ipv4, host.name, host.ipv6, host.name);
    }
    text
}
