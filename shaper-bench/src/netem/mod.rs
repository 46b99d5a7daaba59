//! netem and our engines beside each other: what each does to the same packets on the same kernel, in one run.
//!
//! Two hosts with a plain cable; one after another impairs what leaves the first: nothing, netem, each engine.

mod batch;
pub(crate) mod bed;
mod contender;
pub(crate) mod engine;
mod figures;
mod flood;
mod probe;
mod setting;
mod tc;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::Session;
use crate::host::Host;
use bed::Bed;
use contender::{Contender, NOT_PUT_UP};
use engine::Shaper;
use setting::Setting;

/// What the lines begin with that hold results, each a line of JSON: those of a guest come over a console.
const LINE: &str = "SHAPER-COMPARE ";

/// Datagrams that are sent before any counts, one a millisecond.
const WARM: u32 = 300;

/// What a caller may ask for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The `shaper` that is compared; that beside this program where nothing is said.
    #[arg(long, value_name = "FILE")]
    shaper: Option<PathBuf>,
    /// Our engines, by the names that `shaper apply --engine` knows; one that cannot be put up is reported with the reason.
    /// Flags of `apply` may follow: xsk+busy-poll, edt+records=off.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "xsk,xsk+busy-poll,edt,edt+records=off")]
    engines: Vec<String>,
    /// Numbers of rules.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16,256,4096,65534")]
    rules: Vec<u32>,
    /// This setting alone, by its name in the page: 'delay 20 ms'; may be given again.
    #[arg(long, value_name = "SETTING")]
    only: Vec<String>,
    /// Datagrams of a setting with delay; those with loss get twice as many.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    probes: u32,
    /// How often each flood is repeated.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Seconds after which no further setting is begun.
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// The processor is emulated: figures of time are good for ratios only.
    #[arg(long)]
    emulated: bool,
}

/// The first line.
#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    host: &'a Host,
    emulated: bool,
    probes: u32,
    repeats: u32,
}

/// A figure's name, and its value.
type Figures = BTreeMap<&'static str, f64>;

/// What one contender did with one setting.
#[derive(Serialize)]
struct Row<'a> {
    setting: &'a str,
    contender: &'a str,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    figures: Figures,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let begin = Instant::now();
    let shaper = Shaper::find(arguments.shaper.as_deref())?;
    let head = Head {
        schema: 1,
        host: &Host::read(),
        emulated: arguments.emulated,
        probes: arguments.probes,
        repeats: arguments.repeats,
    };
    tell(&head)?;
    let bed = Bed::up(session)?;
    let mut failed = 0;
    for setting in Setting::all(&arguments.rules) {
        let name = setting.name();
        if !arguments.only.is_empty() && !arguments.only.contains(&name) {
            continue;
        }
        for contender in Contender::all(setting, &arguments.engines) {
            session.check()?;
            let label = contender.name();
            let measured = if begin.elapsed() > Duration::from_secs(arguments.limit) {
                Err(anyhow::anyhow!("not begun within {} s", arguments.limit))
            } else {
                measure(session, arguments, &bed, &shaper, setting, &contender)
            };
            let (reason, figures) = match measured {
                Ok(figures) => (None, figures),
                Err(error) => (Some(reason(&error)), Figures::new()),
            };
            session.tell(&match &reason {
                None => format!("{name}, {label}: {}", words(&figures)),
                Some(reason) => format!("{name}, {label}: {reason}"),
            });
            failed += u32::from(reason.as_ref().is_some_and(|reason| !reason.starts_with(NOT_PUT_UP)));
            tell(&Row { setting: &name, contender: &label, reason, figures })?;
        }
    }
    bed.down()?;
    ensure!(failed == 0, "{failed} settings could not be measured");
    Ok(())
}

fn measure(
    session: &Session,
    arguments: &Arguments,
    bed: &Bed,
    shaper: &Shaper,
    setting: Setting,
    contender: &Contender,
) -> Result<Figures> {
    let start = Instant::now();
    let applied = contender.apply(bed, shaper, setting)?;
    let mut figures = Figures::from([("setup_s", start.elapsed().as_secs_f64())]);
    // What was started a moment ago comes to rest meanwhile.
    let ahead = contender.ahead();
    probe::run(bed, &Setting::Delay.schedule(WARM), ahead)?;
    let probed = probe::run(bed, &setting.schedule(arguments.probes), ahead)?;
    figures::of_probes(setting, contender, &probed, &mut figures)?;
    if setting.is_flooded() {
        session.check()?;
        flood::run(bed, ahead, arguments.repeats, &mut figures)?;
        if setting == Setting::Delay {
            flood::at_ease(bed, ahead, &mut figures)?;
        }
        if setting == Setting::Delay && matches!(contender, Contender::Engine(_)) {
            flood::count_programs(bed, &mut figures)?;
        }
    }
    applied.undo()?;
    Ok(figures)
}

/// An error's words, without those that say it again.
fn reason(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !words.contains(&cause) {
            words.push_str(if words.is_empty() { "" } else { ": " });
            words.push_str(&cause);
        }
    }
    words
}

/// Writes a result.
fn tell(line: &impl Serialize) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{LINE}{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}

fn words(figures: &Figures) -> String {
    figures.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join(", ")
}
