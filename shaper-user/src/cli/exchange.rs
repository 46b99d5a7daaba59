//! `shaper profile import` and `export`: settings of other tools.

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, ValueEnum};
use shaper_profile::exchange::export::{self, Exported, Target};
use shaper_profile::exchange::{Format, Imported, Inputs, Options, Source, import_with};
use shaper_profile::presets;
use shaper_profile::quantity::Duration;

use super::{COULD_NOT_RUN, Outcome};

/// `shaper profile import`.
#[derive(Debug, ClapArgs)]
pub(super) struct Import {
    /// The tool: mahimahi, dist, theaterq, tcconfig, atc, libwebrtc, devtools, pensieve or tc
    #[arg(long, value_name = "FORMAT")]
    from: Format,
    /// What it wrote; - reads standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["up", "down"], conflicts_with_all = ["up", "down"])]
    file: Option<String>,
    /// For a to b alone; with --down for each direction its own
    #[arg(long, value_name = "FILE")]
    up: Option<String>,
    /// For b to a alone
    #[arg(long, value_name = "FILE")]
    down: Option<String>,
    /// Write the profile here, and what belongs to it beside it, instead of standard output
    #[arg(short, long, value_name = "NAME.toml")]
    output: Option<PathBuf>,
    /// The base delay for a distribution, such as 20ms
    #[arg(long)]
    delay: Option<Duration>,
    /// The jitter for a distribution, such as 5ms
    #[arg(long)]
    jitter: Option<Duration>,
    /// What stands for netem's correlation of jitter, such as 50ms
    #[arg(long, value_name = "TIME")]
    correlation_time: Option<Duration>,
}

/// `shaper profile export`.
#[derive(Debug, ClapArgs)]
pub(super) struct Export {
    /// The format: netem, dist or mahimahi
    #[arg(long, value_name = "FORMAT")]
    to: Target,
    /// A preset's name or a TOML file
    #[arg(value_name = "NAME|FILE")]
    profile: String,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The direction that dist and mahimahi describe
    #[arg(long, value_enum, default_value_t = Side::Up)]
    direction: Side,
    /// The device of netem's command for a to b
    #[arg(long, value_name = "DEVICE", default_value = "eth0")]
    up_device: String,
    /// The device of netem's command for b to a, such as the ifb that incoming packets are led through
    #[arg(long, value_name = "DEVICE", default_value = "ifb0")]
    down_device: String,
    /// Write nothing, and exit with 2, where the format does not say all of the profile
    #[arg(long)]
    strict: bool,
}

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    /// From a to b
    Up,
    /// From b to a
    Down,
}

/// Takes over, and says what is worth knowing.
pub(super) fn import(args: &Import) -> anyhow::Result<Outcome> {
    for (given, flag) in [(args.delay, "--delay"), (args.jitter, "--jitter")] {
        if given.is_some() && args.from != Format::Dist {
            bail!("{flag} is for --from dist alone: {} says its own", args.from);
        }
    }
    let [link, up, down] = [&args.file, &args.up, &args.down].map(|name| given(args.from, name.as_ref()));
    let (link, up, down) = (link?, up?, down?);

    let inputs = match (&link, &up, &down) {
        (Some(link), ..) => Inputs::Link(source(link)),
        (None, Some(up), Some(down)) => Inputs::Each { up: source(up), down: source(down) },
        (None, Some(up), None) => Inputs::Up(source(up)),
        (None, None, Some(down)) => Inputs::Down(source(down)),
        (None, None, None) => bail!("give a file, or --up and --down"),
    };
    let options = Options { delay: args.delay, jitter: args.jitter, correlation_time: args.correlation_time };
    let mut imported = import_with(args.from, inputs, &options)?;
    let first = [&link, &up, &down].into_iter().flatten().map(|(name, _)| *name).next().unwrap_or_default();
    if imported.profile.name.is_empty() {
        imported.profile.name = stem(args.output.as_deref().unwrap_or(Path::new(first)));
    }
    for note in &imported.notes {
        writeln!(io::stderr(), "note: {note}")?;
    }
    match &args.output {
        Some(path) => write(imported, path),
        None if imported.files.is_empty() => {
            io::stdout().write_all(text(&imported, "standard output")?.as_bytes())?;
            Ok(Outcome::Held)
        }
        None => bail!(
            "{first}: the profile has files of its own: say where they go, with -o {}.toml",
            stem(Path::new(first))
        ),
    }
}

fn write(imported: Imported, path: &Path) -> anyhow::Result<Outcome> {
    let stem = stem(path);
    let imported = imported.named(&stem);
    let text = text(&imported, &path.display().to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for file in &imported.files {
        let beside = folder.join(format!("{stem}{}", file.suffix));
        fs::write(&beside, &file.text).with_context(|| format!("{}: cannot write it", beside.display()))?;
    }
    fs::write(path, text).with_context(|| format!("{}: cannot write it", path.display()))?;
    Ok(Outcome::Held)
}

/// The profile as TOML, which was read again.
fn text(imported: &Imported, file: &str) -> anyhow::Result<String> {
    let text = toml::to_string(&imported.profile)?;
    presets::parse(file, "", &text).context("the profile does not read back; this is an error of shaper's")?;
    Ok(text)
}

/// Writes, and lists what is not said.
pub(super) fn export(args: &Export) -> anyhow::Result<Outcome> {
    let profile = shaper_profile::load(&args.profile)?;
    let direction = match args.direction {
        Side::Up => &profile.link.a_to_b,
        Side::Down => &profile.link.b_to_a,
    };
    let Exported { text, unsaid } = match args.to {
        Target::Netem => export::netem(&profile, [&args.up_device, &args.down_device]),
        Target::Dist => export::dist(direction)?,
        Target::Mahimahi => export::mahimahi(direction)?,
    };
    for line in &unsaid {
        writeln!(io::stderr(), "not said: {line}")?;
    }
    if args.strict && !unsaid.is_empty() {
        return Ok(Outcome::Code(COULD_NOT_RUN));
    }
    match &args.output {
        Some(path) => fs::write(path, text).with_context(|| format!("{}: cannot write it", path.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(Outcome::Held)
}

fn read(name: &str) -> anyhow::Result<String> {
    if name == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input: cannot read it as text")?;
        return Ok(text);
    }
    fs::read_to_string(name).with_context(|| format!("{name}: cannot read it as text"))
}

/// A file that was given, and its text; or the name of a preset of `DevTools`, which is a text by itself.
fn given(format: Format, name: Option<&String>) -> anyhow::Result<Option<(&str, String)>> {
    let Some(name) = name else { return Ok(None) };
    let is_text = format == Format::Devtools && name != "-" && !Path::new(name).exists();
    Ok(Some((name, if is_text { name.clone() } else { read(name)? })))
}

fn source<'t>((file, text): &'t (&'t str, String)) -> Source<'t> {
    Source { file, text }
}

/// A file's name without its ending.
fn stem(path: &Path) -> String {
    match path.file_stem() {
        Some(stem) if stem != "-" => stem.to_string_lossy().into_owned(),
        _ => "imported".to_owned(),
    }
}
