//! Settings of other tools, a target a format.

use shaper_profile::distribution::TableFile;
use shaper_profile::effect::End;
use shaper_profile::exchange::{Beside, Format, Imported, Inputs, Options, Source, export, import, import_with};
use shaper_profile::quantity::Duration;
use shaper_profile::trace::Trace;
use shaper_profile::{Direction, Loss, Profile};

use crate::profile::{compiles, reads_back};

/// What is said beside a text: what a distribution needs.
const OPTIONS: Options = Options {
    delay: Some(Duration::from_millis(20)),
    jitter: Some(Duration::from_millis(5)),
    correlation_time: Some(Duration::from_millis(50)),
};

/// The fastest rate that is written as a trace, in bits per second.
const FASTEST: u64 = 1_000_000;

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident: $format:ident;)*) => {
        $($(#[$doc])* pub fn $name(bytes: &[u8]) {
            take_over(Format::$format, bytes);
        })*
    };
}

targets! {
    /// A profile of Augmented Traffic Control.
    atc: Atc;
    /// Network conditions of DevTools.
    devtools: Devtools;
    /// A distribution of netem's.
    dist: Dist;
    /// The fields of libwebrtc's configuration.
    libwebrtc: Libwebrtc;
    /// A trace of mahimahi's.
    mahimahi: Mahimahi;
    /// A trace of Pensieve's.
    pensieve: Pensieve;
    /// Commands of tc.
    tc: Tc;
    /// What tcshow prints.
    tcconfig: Tcconfig;
    /// A trace of TheaterQ's.
    theaterq: Theaterq;
}

/// Takes the bytes over. What comes of it is a profile that reads back, can be compiled and written for other tools, with
/// files that can be read.
fn take_over(format: Format, bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match import_with(format, Inputs::Link(Source { file: "file", text }), &OPTIONS) {
        Ok(Imported { profile, files, notes }) => {
            assert!(notes.iter().all(|note| !note.to_string().is_empty()));
            reads_back(&profile);
            files.iter().for_each(can_be_read);
            compiles(&profile.link);
            goes_to_netem_and_back(format, &profile);
            goes_elsewhere(&profile.link.a_to_b);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn can_be_read(file: &Beside) {
    if file.suffix.ends_with(".csv") {
        let trace = Trace::parse(file.suffix, &file.text, End::Loop);
        assert!(trace.is_ok(), "{:?} of\n{}", trace.err(), file.text);
    } else {
        let table = TableFile::read_dist(file.suffix, &file.text);
        assert!(table.is_ok(), "{:?} of\n{}", table.err(), file.text);
    }
}

/// What netem can say whole: commands that are taken over as what gives commands for the same again. Of commands
/// themselves that is what they were; other formats have words of their own, such as bursts for a chain of two
/// states, and netem's own correlation is written as such a chain.
fn goes_to_netem_and_back(format: Format, profile: &Profile) {
    let Some(first) = through_netem(profile) else { return };
    let link = &profile.link;
    let correlated = [&link.a_to_b, &link.b_to_a].iter().any(|way| matches!(way.loss, Loss::Correlated { .. }));
    if format == Format::Tc && !correlated {
        assert_eq!(first.link, profile.link);
    }
    if let Some(second) = through_netem(&first) {
        assert_eq!(second.link, first.link);
    }
}

fn through_netem(profile: &Profile) -> Option<Profile> {
    let exported = export::netem(profile, ["eth0", "ifb0"]);
    if !exported.unsaid.is_empty() {
        return None;
    }
    let imported = import(Format::Tc, &exported.text);
    assert!(imported.is_ok(), "{:?} in\n{}", imported.err(), exported.text);
    Some(imported.ok()?.profile)
}

/// The files that a direction names are not written anywhere, so that only one without can go further.
fn goes_elsewhere(direction: &Direction) {
    if direction.trace.is_some() || direction.distribution.is_table() {
        return;
    }
    // Of a faster rate the trace has millions of lines.
    if direction.rate.0.0 <= FASTEST
        && let Ok(exported) = export::mahimahi(direction)
    {
        let again = import(Format::Mahimahi, &exported.text);
        assert!(again.is_ok(), "{:?} in\n{}", again.err(), exported.text);
    }
    if let Ok(exported) = export::dist(direction) {
        let again = TableFile::read_dist("exported", &exported.text);
        assert!(again.is_ok(), "{:?} in\n{}", again.err(), exported.text);
    }
}
