//! The profile that a fit comes to, with what is known of it as comments, and the files that it names.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use shaper_offline::fit::{
    ChosenLoss, DelayFit, DelayModel, Fate, Fit, LossFit, LossModel, Observed, OrderVerdict, Parameter, Series, Shape,
    TablePoint,
};
use shaper_offline::stats::Interval;
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, Loss};

use super::measured::Measured;

/// Names of the directions, as profiles have them.
const WAYS: [&str; 2] = ["a_to_b", "b_to_a"];
/// A probability below this is none: less than half a draw in 2^32.
const NEVER: f64 = 1.2e-10;

/// Both directions, fitted where enough was measured.
pub(crate) type Both = [Option<Fit>; 2];

/// Where a fit is written.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    pub(crate) profile: &'a Path,
    pub(crate) trace: Option<&'a Path>,
    /// The profile's name; else that of its file.
    pub(crate) name: Option<&'a str>,
}

/// Writes the profile and the files that it names, and reads it again: all that were written, the profile first.
///
/// # Errors
///
/// When a file cannot be written, and when what was fitted cannot be said in a profile.
pub(crate) fn write(measured: &Measured, fits: &Both, outputs: &Outputs<'_>) -> anyhow::Result<Vec<PathBuf>> {
    let stem = outputs.profile.file_stem().map_or_else(|| "fitted".into(), |stem| stem.to_string_lossy());
    let mut files = Vec::new();
    let mut text = head(measured, outputs.name.unwrap_or(&stem), outputs.trace.is_some());
    let both = fits.iter().all(Option::is_some);
    for ((way, fit), series) in WAYS.into_iter().zip(fits).zip(&measured.series) {
        let Some(fit) = fit else { continue };
        let _ = writeln!(text, "\n[{way}]");
        comment(&mut text, &counts(fit));
        fit.not_fitted().iter().for_each(|line| comment(&mut text, line));
        hints(fit).iter().for_each(|line| comment(&mut text, line));
        let (loss, mut about) = (loss_words(&fit.loss.chosen)?, about_loss(&fit.loss));
        about.extend(fit.loss_is_of().iter().map(|line| format!("  {line}")));
        if let Some(trace) = outputs.trace {
            let path = if both { beside(trace, way) } else { trace.to_owned() };
            let (rows, notes) = trace_rows(series);
            save(&path, &rows)?;
            let named = named(&path, outputs.profile)?;
            // What was fitted stands there to be read; what the trace says holds.
            comment(&mut text, &format!("fitted: loss = {}", quoted(&loss)));
            about.iter().chain(&notes).for_each(|line| comment(&mut text, line));
            if let Some(delay) = &fit.delay {
                about_delay(delay).iter().for_each(|line| comment(&mut text, line));
            }
            let _ = writeln!(text, "trace = {}", quoted(&format!("{named} loop")));
            files.push(path);
        } else {
            about.iter().for_each(|line| comment(&mut text, line));
            let _ = writeln!(text, "loss = {}", quoted(&loss));
            match &fit.delay {
                Some(delay) => {
                    about_delay(delay).iter().for_each(|line| comment(&mut text, line));
                    files.extend(delay_keys(&mut text, delay, way, outputs.profile)?);
                }
                None => comment(&mut text, "too few delays are known: none was fitted"),
            }
        }
        if let Some(delay) = &fit.delay {
            comment(&mut text, &about_order(delay));
            let order = if delay.order.verdict == OrderVerdict::Kept { "keep" } else { "free" };
            let _ = writeln!(text, "order = \"{order}\"");
        }
    }
    save(outputs.profile, &text)?;
    files.insert(0, outputs.profile.to_owned());
    let again = || format!("{}: what was fitted is no profile", outputs.profile.display());
    let path = outputs.profile.to_string_lossy();
    let path = if path.contains('/') || path.ends_with(".toml") { path.into_owned() } else { format!("./{path}") };
    let profile = shaper_profile::load(&path).with_context(again)?;
    let run = Compile { seed: 1, link: 0, horizon: Duration::from_millis(1) };
    profile.link.compile(&run).with_context(again)?;
    Ok(files)
}

fn head(measured: &Measured, name: &str, traced: bool) -> String {
    let mut text = String::new();
    comment(&mut text, &format!("Fitted by shaper {} to {}.", env!("CARGO_PKG_VERSION"), measured.from));
    if let Some(first) = measured.first_ns {
        comment(&mut text, &format!("The first packet was sent at {}.", utc(first)));
    }
    measured.notes.iter().for_each(|note| comment(&mut text, note));
    let told = if traced { "Candidates were" } else { "Settings were" };
    comment(
        &mut text,
        &format!(
            "{told} chosen, and distances (KS, TV, Wasserstein) taken, on blocks in time that none was fitted on."
        ),
    );
    let _ = writeln!(text, "name = {}", quoted(name));
    let _ = writeln!(text, "description = \"A link as it was measured\"");
    let _ = writeln!(text, "source = {}", quoted(&format!("shaper fit of {}", measured.from)));
    text
}

/// A line behind `#`. Names of files may hold what would end it.
fn comment(text: &mut String, line: &str) {
    let plain: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let _ = writeln!(text, "# {plain}");
}

/// As TOML writes it: JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| *c != '\u{7f}').collect();
    serde_json::Value::String(plain).to_string()
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

/// The path with the direction before its ending.
fn beside(path: &Path, way: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map_or_else(String::new, |ending| format!(".{}", ending.to_string_lossy()));
    path.with_file_name(format!("{stem}-{way}{ending}"))
}

/// A file as the profile names it: alone where it lies beside the profile, else from the root.
fn named(path: &Path, profile: &Path) -> anyhow::Result<String> {
    let folder = |path: &Path| std::path::absolute(path).map(|path| path.parent().map(Path::to_owned));
    let failed = || format!("{}: no path", path.display());
    let name = if folder(path).with_context(failed)? == folder(profile).with_context(failed)? {
        path.file_name().map_or_else(|| path.to_owned(), PathBuf::from)
    } else {
        std::path::absolute(path).with_context(failed)?
    };
    match name.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{}: a profile names files in UTF-8: write it to another path", path.display()),
    }
}

fn counts(fit: &Fit) -> String {
    let span = fit.span_ns.map_or_else(String::new, |span| format!(" over {:.1} s", span as f64 / 1e9));
    let unknown = if fit.unknown > 0 {
        format!(", {} of unknown fate or of a link that was down", fit.unknown)
    } else {
        String::new()
    };
    format!("{} packets{span}: {} arrived, {} lost{unknown}", fit.packets, fit.arrived, fit.lost)
}

/// Keys that would say what is not fitted, to be weighed by whoever wants them.
fn hints(fit: &Fit) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(outages) = &fit.outages {
        let (rate, length) = (percent(outages.per_second.min(1.0)), duration(outages.mean_ns as f64));
        let key = match (outages.every_ns, outages.found.first()) {
            (Some(every), Some(first)) => format!(
                "scheduled = [{{ at = \"{}\", length = \"{length}\", every = \"{}\" }}]",
                duration(first.from_ns as f64),
                duration(every as f64)
            ),
            _ => format!("rate = \"{rate}/s\", length = \"{length}\""),
        };
        lines.push(format!("  [outages] {key} would say so; their losses are not in the loss below"));
    }
    if let Some(bottleneck) = &fit.bottleneck
        && let Some(rate) = bottleneck.rate_bps
    {
        let (queue, full) = match bottleneck.queue_ns {
            Some(queue) => {
                (format!(", queue = \"{}\"", duration(queue as f64)), ", and what met a full queue is not in the loss")
            }
            None => (String::new(), ""),
        };
        let rate = (rate / 1e3).round();
        lines.push(format!("  rate = \"{rate}kbit\"{queue} would say so; the waiting is in the delay below{full}"));
    }
    lines
}

fn percent(fraction: f64) -> String {
    if fraction < NEVER {
        return "0%".to_owned();
    }
    let text = format!("{:.8}", (fraction * 100.0).min(100.0));
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The loss as profiles write it.
fn loss_words(chosen: &ChosenLoss) -> anyhow::Result<String> {
    let words = match chosen.model {
        LossModel::None => "0%".to_owned(),
        LossModel::Independent { ratio } => percent(ratio),
        LossModel::Bursts { ratio, burst } => format!("{} burst {burst:.3}", percent(ratio)),
        LossModel::GilbertElliott { p, r, bad, good } => {
            format!("gemodel {} {} {} {}", percent(p), percent(r), percent(bad), percent(good))
        }
        LossModel::FourState { p13, p31, p32, p23, p14 } => {
            format!("state {} {} {} {} {}", percent(p13), percent(p31), percent(p32), percent(p23), percent(p14))
        }
    };
    words.parse::<Loss>().with_context(|| format!("the fitted loss, \"{words}\", cannot be said in a profile"))?;
    Ok(words)
}

fn interval(parameter: &Parameter, of: impl Fn(f64) -> String) -> String {
    let between = |Interval { low, high }| format!(" (95 %: {} to {})", of(low), of(high));
    format!("{} {}{}", parameter.name, of(parameter.value), parameter.interval.map_or_else(String::new, between))
}

fn about_loss(fit: &LossFit) -> Vec<String> {
    let parameters: Vec<String> = fit
        .chosen
        .parameters
        .iter()
        .map(|parameter| {
            let is_length = parameter.name == "burst";
            interval(
                parameter,
                |value| if is_length { format!("{value:.3}") } else { format!("{:.4} %", value * 100.0) },
            )
        })
        .collect();
    let mut lines = vec![format!("loss, {}: {}", fit.chosen.kind.name(), parameters.join(", "))];
    if let (LossModel::None, Some(interval)) = (fit.chosen.model, fit.ratio_interval) {
        lines = vec![format!("loss: none was seen (95 %: up to {:.4} %)", interval.high * 100.0)];
    }
    if let Some(candidate) = fit.candidates.iter().find(|candidate| candidate.chosen) {
        let held = &candidate.held_out;
        for (name, distance) in [("bursts", held.bursts), ("gaps", held.gaps)] {
            if let Some(distance) = distance {
                lines.push(format!(
                    "  {name}: KS {:.4}, TV {:.4}, of {} held out",
                    distance.ks, distance.variation, distance.runs
                ));
            }
        }
    }
    if let (1.., Some(mean)) = (fit.longest_burst, fit.burst) {
        lines.push(format!("  the longest burst is of {} packets, the mean of {mean:.2}", fit.longest_burst));
    }
    if let Some(which) = fit.not_judged() {
        lines.push(format!("  not judged by {which}: one half of the blocks has no whole one, as where an outage is"));
    }
    if fit.accepted == Some(false) {
        lines.push("  further away than chance takes them: no candidate is this link; --trace is faithful".to_owned());
    }
    lines
}

fn about_delay(fit: &DelayFit) -> Vec<String> {
    let ms = |value: f64| format!("{:.4} ms", value / 1e6);
    let parameters: Vec<String> = fit.parameters.iter().map(|parameter| interval(parameter, ms)).collect();
    let chosen = match &fit.chosen {
        DelayModel::Shaped { shape, .. } => {
            format!("delay, {}: {}", shape.name(), parameters.join(", ").replace("_ns", ""))
        }
        DelayModel::Table { delay_ns, points } => {
            format!("delay, table: smallest {}, {} points above it", ms(*delay_ns as f64), points.len())
        }
    };
    let mut lines = vec![chosen];
    if let Some(candidate) = fit.candidates.iter().find(|candidate| candidate.chosen) {
        lines.push(format!(
            "  KS {:.4} (chance alone: up to {:.4}; differences up to {} not counted), Wasserstein {:.4} ms",
            candidate.ks,
            fit.noise,
            ms(fit.resolution_ns as f64),
            candidate.wasserstein_ms
        ));
    }
    if !fit.accepted {
        lines.push("  further away than chance takes it: the link changes, or depends on its load".to_owned());
    }
    if !fit.absolute {
        lines.push(
            "  clocks were not known against each other: the delay is above the smallest one, which is not known"
                .to_owned(),
        );
    }
    if let Some(share) = fit.cut_share {
        lines.push(format!("  {:.1} % of packets lie at the smallest delay: jitter was cut there", share * 100.0));
    }
    match (fit.correlation.time_ns, fit.correlation.interval_ns) {
        (Some(time), Some(Interval { low, high })) => {
            lines.push(format!("  correlation time {} (95 %: {} to {})", ms(time), ms(low), ms(high)));
        }
        _ => lines.push("  no correlation in time was found".to_owned()),
    }
    lines
}

fn about_order(fit: &DelayFit) -> String {
    let expected = fit.order.expected_if_free.map_or("-".to_owned(), |expected| format!("{expected:.0}"));
    match fit.order.verdict {
        OrderVerdict::Free => format!("order: {} packets were overtaken", fit.order.reordered),
        OrderVerdict::Kept => {
            let off = if fit.order.leaves_too_little() {
                "; packets that waited for no other are too few to go by: measure with packets further apart"
            } else if fit.order.taken_off {
                "; what packets waited for those before them is not in the delay"
            } else {
                ""
            };
            format!("order: no packet was overtaken, where a free order would have made {expected}{off}")
        }
        OrderVerdict::NotTold => "order: not told by what was measured".to_owned(),
    }
}

/// Writes the keys of the delay, and its table beside the profile.
fn delay_keys(text: &mut String, fit: &DelayFit, way: &str, profile: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut file = None;
    let has_jitter = match &fit.chosen {
        DelayModel::Shaped { shape, delay_ns, jitter_ns } => {
            let _ = writeln!(text, "delay = \"{}\"", duration(*delay_ns));
            if *shape != Shape::Constant {
                let _ = writeln!(text, "jitter = \"{}\"", duration(*jitter_ns));
                let _ = writeln!(text, "distribution = \"{}\"", shape.name());
            }
            *shape != Shape::Constant
        }
        DelayModel::Table { delay_ns, points } => {
            let path = beside(&profile.with_extension("txt"), way);
            save(&path, &table(points))?;
            let _ = writeln!(text, "delay = \"{}\"", duration(*delay_ns as f64));
            let _ = writeln!(text, "distribution = {}", quoted(&format!("table {}", named(&path, profile)?)));
            file = Some(path);
            true
        }
    };
    if let (Some(time), true) = (fit.correlation.time_ns, has_jitter) {
        let _ = writeln!(text, "correlation_time = \"{}\"", duration(time));
    }
    Ok(file)
}

fn duration(nanos: f64) -> String {
    let nanos = nanos.round().max(0.0) as u64;
    format!("{}.{:06}ms", nanos / 1_000_000, nanos % 1_000_000)
}

/// A table of quantiles as profiles read it.
fn table(points: &[TablePoint]) -> String {
    let mut text = "# probability, and delay above the profile's\n".to_owned();
    let points = match points {
        // A quantile function needs both ends.
        [only] => vec![TablePoint { probability: 0.0, ..*only }, TablePoint { probability: 1.0, ..*only }],
        points => points.to_vec(),
    };
    for TablePoint { probability, delay_ns } in points {
        let _ = writeln!(text, "{probability} {}", duration(delay_ns as f64));
    }
    text
}

/// A row a packet: its delay, and whether it was lost; and what is to be said of it. One between others has a row
/// whatever is known of it, so that all behind it meet theirs.
fn trace_rows(series: &Series) -> (String, Vec<String>) {
    let least = series.packets.iter().filter_map(|packet| packet.fate.delay_ns()).min().unwrap_or(0);
    let shift = if series.absolute { 0 } else { least };
    let mut text = "delay_us,lost\n".to_owned();
    let mut last = least.saturating_sub(shift);
    let (mut rows, mut untimed, mut unknown) = (0u64, 0u64, 0u64);
    let is_known = |packet: &Observed| packet.fate != Fate::Unknown;
    let from = series.packets.iter().position(is_known).unwrap_or(series.packets.len());
    let to = series.packets.iter().rposition(is_known).map_or(from, |last| last + 1);
    for packet in series.packets.get(from..to).unwrap_or_default() {
        let lost = match packet.fate {
            Fate::Arrived(delay) => {
                last = delay.saturating_sub(shift);
                0
            }
            Fate::Untimed => {
                untimed += 1;
                0
            }
            // An outage is as it was, too.
            Fate::Lost | Fate::Down => 1,
            Fate::Unknown => {
                unknown += 1;
                0
            }
        };
        rows += 1;
        let delay = if lost == 1 { 0 } else { last.max(0) };
        let _ = writeln!(text, "{}.{:03},{lost}", delay / 1_000, delay % 1_000);
    }
    let mut notes =
        vec![format!("trace: {rows} packets as they were, over and over; the n-th packet meets the n-th row")];
    if untimed > 0 {
        notes.push(format!("  {untimed} that arrived nobody knows when have the delay of the one before"));
    }
    if unknown > 0 {
        notes.push(format!("  {unknown} of unknown fate are taken to have arrived, with the delay of the one before"));
    }
    let ends = series.packets.len() - (to - from);
    if ends > 0 {
        notes.push(format!("  {ends} of unknown fate, before and behind all others, have no row"));
    }
    (text, notes)
}

/// A time since 1970 as a date: days by eras of 400 years from March on, so that leap days are at the end.
fn utc(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_764_521_479, "2025-11-30T16:51:19Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), date);
        }
    }

    #[test]
    fn fractions_are_percentages_that_a_profile_reads() {
        for (fraction, text) in
            [(0.05, "5%"), (0.000_123_4, "0.01234%"), (1.0, "100%"), (1e-11, "0%"), (1.0 / 3.0, "33.33333333%")]
        {
            assert_eq!(percent(fraction), text);
            assert!(text.parse::<shaper_profile::quantity::Percent>().is_ok());
        }
    }
}
