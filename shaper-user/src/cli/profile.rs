//! `shaper profile`: what link profiles there are, what one comes to, whether a file is one, and those of other tools.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;
use shaper_net::lab::Shape;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompiledLink, Configured, Profile, presets};

use super::Outcome;
use super::exchange::{self, Export, Import};
use super::preview;
use crate::run::told;

/// `shaper profile`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the presets
    List {
        /// Print them whole, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a profile as TOML, and what it comes to as comments: a start for one of your own
    Show(Show),
    /// Say what comes out of a link: a steady stream, decided packet by packet as the kernel does, without root
    Preview(Box<preview::Args>),
    /// Say whether files are profiles, and if not, what is wrong where
    Check {
        /// TOML files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Take over settings of another tool as a profile
    Import(Box<Import>),
    /// Write a profile for another tool, and list what that cannot say
    Export(Export),
}

#[derive(Debug, ClapArgs)]
struct Show {
    /// A preset's name or a TOML file
    #[arg(value_name = "NAME|FILE")]
    profile: String,
    #[command(flatten)]
    windows: Windows,
    /// Print settings, figures and outage windows as JSON
    #[arg(long)]
    json: bool,
}

/// What outage windows are made from.
#[derive(Clone, Copy, Debug, ClapArgs)]
struct Windows {
    /// The seed that random outages are shown for
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The length of the run that they are shown for
    #[arg(long, default_value = "60s", value_parser = Duration::parse_nonzero)]
    duration: Duration,
}

/// Lists, shows, checks, imports or exports.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    match &args.action {
        Action::List { json } => list(*json),
        Action::Show(args) => show(args),
        Action::Preview(args) => preview::run(args),
        Action::Check { files } => check(files),
        Action::Import(args) => exchange::import(args),
        Action::Export(args) => exchange::export(args),
    }
}

fn list(json: bool) -> anyhow::Result<Outcome> {
    let profiles = shaper_profile::list()?;
    let mut out = io::stdout().lock();
    if json {
        write_json(&mut out, &profiles)?;
        return Ok(Outcome::Held);
    }
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or(0);
    for profile in &profiles {
        writeln!(out, "{:width$}  {}", profile.name, profile.description)?;
    }
    writeln!(out, "\nfigures: shaper profile show NAME")?;
    Ok(Outcome::Held)
}

/// A profile and what it comes to.
#[derive(Serialize)]
struct Shown<'a> {
    profile: &'a Profile,
    seed: u64,
    directions: BTreeMap<&'static str, Configured>,
}

fn show(args: &Show) -> anyhow::Result<Outcome> {
    let profile = shaper_profile::load(&args.profile)?;
    let link = compile(&profile, args.windows)?;
    let mut out = io::stdout().lock();
    if args.json {
        let directions = BTreeMap::from([
            ("a_to_b", link.a_to_b.expected.configured(None)),
            ("b_to_a", link.b_to_a.expected.configured(None)),
        ]);
        write_json(&mut out, &Shown { profile: &profile, seed: args.windows.seed, directions })?;
        return Ok(Outcome::Held);
    }
    out.write_all(text(&args.profile, &profile)?.trim_end().as_bytes())?;
    writeln!(out, "\n")?;
    for line in told(&link, None, Shape::Pair) {
        writeln!(out, "# {line}")?;
    }
    if !link.windows.is_empty() {
        writeln!(out, "# with seed {}, down within {:#}:", args.windows.seed, args.windows.duration)?;
        for window in &link.windows {
            let seconds = |nanos: shaper_common::units::Nanos| Duration(nanos).as_secs_f64();
            writeln!(out, "#   {:9.3} s to {:9.3} s", seconds(window.start), seconds(window.end))?;
        }
    }
    Ok(Outcome::Held)
}

fn check(files: &[String]) -> anyhow::Result<Outcome> {
    let mut sound = true;
    for file in files {
        match sound_profile(file) {
            Ok(profile) => writeln!(io::stdout(), "{file}: ok: profile {}", profile.name)?,
            Err(error) => {
                sound = false;
                writeln!(io::stderr(), "shaper: {error}")?;
            }
        }
    }
    Ok(if sound { Outcome::Held } else { Outcome::Code(super::COULD_NOT_RUN) })
}

/// A profile that can be read and compiled: with the tables and traces that it names, and its rules.
fn sound_profile(file: &str) -> anyhow::Result<Profile> {
    let profile = shaper_profile::load(file)?;
    // So short a run has room for any outages.
    let run = Compile { seed: 1, link: 0, horizon: Duration::from_millis(1) };
    profile.link.compile(&run)?;
    Ok(profile)
}

fn compile(profile: &Profile, windows: Windows) -> anyhow::Result<CompiledLink> {
    let run = Compile { seed: windows.seed, link: 0, horizon: windows.duration };
    profile.link.compile(&run).with_context(|| format!("profile {}", profile.name))
}

/// The text as somebody wrote it, with its comments, where somebody did.
fn text(name_or_path: &str, profile: &Profile) -> anyhow::Result<String> {
    if let Some(text) = presets::text(name_or_path) {
        return Ok(text.to_owned());
    }
    if std::path::Path::new(name_or_path).is_file() {
        return std::fs::read_to_string(name_or_path).with_context(|| format!("{name_or_path}: cannot read it again"));
    }
    Ok(toml::to_string(profile)?)
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    out.write_all(text.as_bytes())?;
    Ok(())
}
