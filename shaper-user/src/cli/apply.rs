//! `shaper apply`: one interface, both directions; and `shaper bridge`: what goes between two.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Parser};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shaper_engine::Site;
use shaper_net::signals::Signals;
use shaper_profile::quantity::Duration;
use shaper_profile::{Expectation, Profile, load};

use super::link_flags::LinkFlags;
use super::run_flags::RecordsFlag;
use super::{Outcome, background};
use crate::apply::{
    Attached, Ended, EngineChoice, Figures, HookChoice, Order, Request, Target, Told, change_running, expectation,
    first_lines, last_lines,
};
use crate::capabilities::Task;

/// `shaper apply`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Flags of the link hold for both directions; --egress and --ingress say more of one: a profile, or flags \
                        in quotes, such as --egress '--delay 20ms --loss 1%'. What leaves at the interface goes by a \
                        profile's way from a to b, what arrives by that from b to a."
)]
pub(crate) struct Args {
    /// The interface, such as eth0
    #[arg(value_name = "IFACE")]
    interface: String,
    /// What leaves at it: a preset's name, a TOML file, or flags of the link in quotes
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    egress: Option<String>,
    /// What arrives at it
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    ingress: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// `shaper bridge`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Flags of the link hold for both directions; --up and --down say more of one: a profile, or flags in \
                        quotes, such as --up '--delay 20ms --loss 1%'. What goes from the first interface to the second \
                        goes by a profile's way from a to b, what comes back by that from b to a."
)]
pub(crate) struct BridgeArgs {
    /// The first interface
    #[arg(value_name = "IF_A")]
    one: String,
    /// The second
    #[arg(value_name = "IF_B")]
    other: String,
    /// What goes from the first to the second: a preset's name, a TOML file, or flags of the link in quotes
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    up: Option<String>,
    /// What goes from the second to the first
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    down: Option<String>,
    /// Where packets are taken
    #[arg(long, value_enum, default_value_t, conflicts_with = "change")]
    hook: HookChoice,
    #[command(flatten)]
    common: Common,
}

/// What both take.
#[derive(Debug, ClapArgs)]
struct Common {
    #[command(flatten)]
    link: LinkFlags,
    /// The network namespace that it is in, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    netns: Option<String>,
    /// The process, such as a container's, in whose network namespace it is
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The seed of every draw: the same seed gives the same draws to the same packet index
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Duration>,
    /// Do it to the interface of the default route or of your own ssh session; without --for it is undone after 5 minutes
    #[arg(long)]
    allow_default_route: bool,
    /// What is demanded, such as 'loss.egress < 6%': the exit code is 1 where it does not hold; may be given again
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation, conflicts_with = "detach")]
    expect: Vec<Expectation>,
    /// Go on in the background: shaper status shows it, shaper clear ends it
    #[arg(long)]
    detach: bool,
    /// Change the settings of what is impaired already, while packets flow: what is not said is clean from then on
    #[arg(
        long,
        conflicts_with_all = [
            "detach", "duration", "json", "engine", "busy_poll", "records", "expect", "seed", "allow_default_route"
        ]
    )]
    change: bool,
    /// What holds packets
    #[arg(long, value_enum, default_value_t)]
    engine: EngineChoice,
    /// Let the delay line spin instead of sleep: least lateness, one CPU gone
    #[arg(long)]
    busy_poll: bool,
    #[command(flatten)]
    recording: RecordsFlag,
    /// Print how it went as JSON, on standard output
    #[arg(long, conflicts_with = "detach")]
    json: bool,
}

/// The name of the process that stays, among the hidden subcommands.
pub(super) const ROLE: &str = "apply-daemon";

/// The flags of one direction.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = true)]
struct Side {
    #[command(flatten)]
    link: LinkFlags,
}

impl Args {
    /// What it is for, as far as its capabilities go.
    pub(super) const fn task(&self) -> Task {
        if self.common.change { Task::Change } else { Task::Apply }
    }
}

impl BridgeArgs {
    /// What it is for, as far as its capabilities go.
    pub(super) const fn task(&self) -> Task {
        if self.common.change { Task::Change } else { Task::Bridge }
    }
}

/// Impairs the interface until Ctrl-C, or as long as was said.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Args { interface, egress, ingress, common } = args;
    let forward = side(&common.link, egress.as_deref()).context("--egress")?;
    let backward = side(&common.link, ingress.as_deref()).context("--ingress")?;
    carry_out(
        args.task(),
        &common.request(Site::Interface(interface.clone()), HookChoice::Tc, forward, backward),
        common,
    )
}

/// Bridges the interfaces until Ctrl-C, or as long as was said.
pub(super) fn bridge(args: &BridgeArgs) -> anyhow::Result<Outcome> {
    let BridgeArgs { one, other, up, down, hook, common } = args;
    let forward = side(&common.link, up.as_deref()).context("--up")?;
    let backward = side(&common.link, down.as_deref()).context("--down")?;
    carry_out(args.task(), &common.request(Site::Between(one.clone(), other.clone()), *hook, forward, backward), common)
}

fn carry_out(task: Task, request: &Request, common: &Common) -> anyhow::Result<Outcome> {
    if common.change {
        for line in change_running(request)? {
            writeln!(io::stdout(), "{line}")?;
        }
        return Ok(Outcome::Held);
    }
    let worked = request.work_out()?;
    task.demand()?;
    let name = request.name();
    for line in first_lines(request, &worked) {
        writeln!(io::stderr(), "{line}")?;
    }
    if common.detach {
        let id: String = background::start(ROLE, &Order::of(request)?)?;
        let first = request.interfaces().first().copied().unwrap_or_default().to_owned();
        writeln!(io::stderr(), "{name}: impaired in the background ({id}); shaper clear {first} ends it")?;
        return Ok(Outcome::Held);
    }
    let signals = Signals::install()?;
    let mut attached = Attached::up(request, &worked)?;
    let ends = match (common.duration, attached.ends()) {
        (Some(duration), _) => format!("for {duration:#}, or until Ctrl-C"),
        (None, Some(_)) => "until Ctrl-C, and for 5 minutes at most".to_owned(),
        (None, None) => "until Ctrl-C".to_owned(),
    };
    writeln!(io::stderr(), "{}", attached.engine_line())?;
    writeln!(io::stderr(), "{name}: impaired {ends}")?;
    let live = Live::new(&request.directions());
    let ended = attached.wait(signals, |figures| live.show(figures));
    drop(live);
    // Whatever it was that ended it, all is put back.
    let finished = attached.down(*ended.as_ref().unwrap_or(&Ended::Failed))?;
    ended?;
    let mut out = io::stdout().lock();
    if common.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Told::from(&finished))?)?;
    } else {
        for line in last_lines(&finished) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(if finished.is_good() { Outcome::Held } else { Outcome::Failed })
}

/// Impairs an interface until a signal says stop, its time is over, or it goes away.
pub(super) fn daemon(order: Order) -> anyhow::Result<()> {
    let signals = Signals::install()?;
    background::leave()?;
    let attached = order.request().and_then(|request| Attached::up(&request, &request.work_out()?));
    let mut attached = match attached {
        Ok(attached) => attached,
        Err(error) => return background::failed::<String>(&error),
    };
    // Without anybody to tell, nobody would know of it.
    let ended = match background::stands(attached.id()) {
        Ok(()) => attached.wait(signals, |_| {}),
        Err(error) => Err(error),
    };
    // Whatever it was that ended it, the interface is put back.
    let (ended, error) = match ended {
        Ok(ended) => (ended, None),
        Err(error) => (Ended::Failed, Some(error)),
    };
    attached.down(ended)?;
    error.map_or(Ok(()), Err)
}

impl Common {
    fn request(&self, site: Site, hook: HookChoice, forward: Profile, backward: Profile) -> Request {
        let target = Target::of(self.netns.as_deref(), self.pid);
        Request {
            site,
            target,
            command: None,
            forward,
            backward,
            seed: self.seed,
            duration: self.duration,
            allow_default_route: self.allow_default_route,
            engine: self.engine,
            hook,
            busy_poll: self.busy_poll,
            recording: self.recording.records,
            expected: self.expect.clone(),
        }
    }
}

/// What holds in a direction: what holds in both, and over that what is said of this one.
pub(super) fn side(both: &LinkFlags, own: Option<&str>) -> anyhow::Result<Profile> {
    let base = |named: Option<&str>| anyhow::Ok(load(named.or(both.named()).unwrap_or("clean"))?);
    let Some(text) = own.map(str::trim) else { return both.apply(&base(None)?) };
    if !text.starts_with('-') {
        return both.apply(&base(Some(text))?);
    }
    let Some(words) = shlex::split(text) else { bail!("{text}: a quote is not closed") };
    let Side { link } = Side::try_parse_from(words).map_err(|error| anyhow::anyhow!(told(&error)))?;
    link.apply(&both.apply(&base(link.named())?)?)
}

/// What clap says, without its usage of a command that nobody can type.
fn told(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    text.trim().trim_start_matches("error: ").to_owned()
}

/// Two lines on a terminal that show how it stands.
struct Live {
    lines: Vec<ProgressBar>,
    _all: MultiProgress,
}

impl Live {
    fn new(names: &[String]) -> Self {
        let all = MultiProgress::new();
        // Without a style of its own a line is as good.
        let style = ProgressStyle::with_template("{prefix:7}  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let line =
            |name: &String| all.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(name.clone()));
        let lines = if io::stderr().is_terminal() { names.iter().map(line).collect() } else { Vec::new() };
        Self { lines, _all: all }
    }

    fn show(&self, figures: &[Figures]) {
        for (line, figures) in self.lines.iter().zip(figures) {
            line.set_message(figures.line());
            line.tick();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for line in &self.lines {
            line.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> LinkFlags {
        Side::try_parse_from(shlex::split(text).unwrap()).unwrap().link
    }

    fn delay_and_loss(both: &str, own: Option<&str>) -> (String, String) {
        let profile = side(&flags(both), own).unwrap();
        (profile.link.a_to_b.delay.to_string(), profile.link.a_to_b.loss.to_string())
    }

    #[test]
    fn a_direction_has_what_both_have_and_what_is_said_of_it() {
        let said = |delay: &str, loss: &str| (delay.to_owned(), loss.to_owned());
        assert_eq!(delay_and_loss("--delay 20ms", None), said("20ms", "0%"));
        assert_eq!(delay_and_loss("--delay 20ms", Some("--loss 1%")), said("20ms", "1%"));
        assert_eq!(delay_and_loss("--delay 20ms", Some("--loss '5% burst 3' --delay 5ms")), said("5ms", "5% burst 3"));
        let wifi = load("wifi").unwrap().link.a_to_b;
        assert_eq!(delay_and_loss("", Some("wifi")), said(&wifi.delay.to_string(), &wifi.loss.to_string()));
        assert_eq!(delay_and_loss("--delay 7ms", Some("wifi")), said("7ms", &wifi.loss.to_string()));
    }

    #[test]
    fn what_is_wrong_in_a_direction_is_said_with_an_example() {
        for (own, words) in [
            ("--delay 20", "ms"),
            ("--delay '20ms", "quote"),
            ("--delays 20ms", "--delay"),
            ("nosuch", "nosuch"),
            ("--loss 5% extra", "extra"),
        ] {
            let error = format!("{:#}", side(&LinkFlags::default(), Some(own)).unwrap_err());
            assert!(error.contains(words) && !error.contains("Usage"), "{own}: {error}");
        }
    }
}
