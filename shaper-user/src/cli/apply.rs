//! `shaper apply`: one interface, both directions.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, Parser};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shaper_net::signals::Signals;
use shaper_profile::quantity::Duration;
use shaper_profile::{Profile, load};

use super::link_flags::LinkFlags;
use super::{Outcome, background};
use crate::apply::{Attached, Ended, Figures, Order, Request, Target, Told, first_lines, last_lines};

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
    #[command(flatten)]
    link: LinkFlags,
    /// What leaves at it: a preset's name, a TOML file, or flags of the link in quotes
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    egress: Option<String>,
    /// What arrives at it
    #[arg(long, value_name = "PROFILE|FLAGS", allow_hyphen_values = true)]
    ingress: Option<String>,
    /// The network namespace that the interface is in, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    netns: Option<String>,
    /// The process, such as a container's, in whose network namespace the interface is
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The seed of every draw: the same seed gives the same draws to the same packet index
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Duration>,
    /// Impair the interface of the default route or of your own ssh session; without --for it is undone after 5 minutes
    #[arg(long)]
    allow_default_route: bool,
    /// Go on in the background: shaper status shows it, shaper clear ends it
    #[arg(long)]
    detach: bool,
    /// Let the delay line spin instead of sleep: least lateness, one CPU gone
    #[arg(long)]
    busy_poll: bool,
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

/// Impairs the interface until Ctrl-C, or as long as was said.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let request = request(args)?;
    let worked = request.work_out()?;
    let mut err = io::stderr().lock();
    for line in first_lines(&request, &worked) {
        writeln!(err, "{line}")?;
    }
    drop(err);
    if args.detach {
        let id: String = background::start(ROLE, &Order::of(&request)?)?;
        let interface = &request.interface;
        writeln!(io::stderr(), "{interface} is impaired in the background ({id}): shaper clear {interface} ends it")?;
        return Ok(Outcome::Held);
    }
    let signals = Signals::install()?;
    let attached = Attached::up(&request, &worked)?;
    let ends = match (args.duration, attached.ends()) {
        (Some(duration), _) => format!("for {duration:#}, or until Ctrl-C"),
        (None, Some(_)) => "until Ctrl-C, and for 5 minutes at most".to_owned(),
        (None, None) => "until Ctrl-C".to_owned(),
    };
    writeln!(io::stderr(), "{} is impaired {ends}", request.interface)?;
    let live = Live::new();
    let ended = attached.wait(signals, |figures| live.show(figures));
    drop(live);
    // Whatever it was that ended it, the interface is put back.
    let finished = attached.down(*ended.as_ref().unwrap_or(&Ended::Failed))?;
    ended?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Told::from(&finished))?)?;
    } else {
        for line in last_lines(&finished) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(if finished.findings().is_empty() { Outcome::Held } else { Outcome::Failed })
}

/// Impairs an interface until a signal says stop, its time is over, or it goes away.
pub(super) fn daemon(order: Order) -> anyhow::Result<()> {
    let signals = Signals::install()?;
    background::leave()?;
    let attached = order.request().and_then(|request| Attached::up(&request, &request.work_out()?));
    let attached = match attached {
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

fn request(args: &Args) -> anyhow::Result<Request> {
    let target = match (&args.netns, args.pid) {
        (Some(name), _) => Target::Named(name.clone()),
        (None, Some(pid)) => Target::Process(pid),
        (None, None) => Target::Own,
    };
    Ok(Request {
        interface: args.interface.clone(),
        target,
        egress: side(&args.link, args.egress.as_deref()).context("--egress")?,
        ingress: side(&args.link, args.ingress.as_deref()).context("--ingress")?,
        seed: args.seed,
        duration: args.duration,
        allow_default_route: args.allow_default_route,
        busy_poll: args.busy_poll,
    })
}

/// What holds in a direction: what holds in both, and over that what is said of this one.
fn side(both: &LinkFlags, own: Option<&str>) -> anyhow::Result<Profile> {
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
    fn new() -> Self {
        let all = MultiProgress::new();
        // Without a style of its own a line is as good.
        let style = ProgressStyle::with_template("{prefix:7}  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |name| all.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(name));
        let lines = if io::stderr().is_terminal() { ["egress", "ingress"].map(line).into() } else { Vec::new() };
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
