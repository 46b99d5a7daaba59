//! A run directory, read back: its summary, its packets, and what its page plots. Without root, on any platform.

mod captures;
mod configured;
mod packets;
mod plots;
pub(crate) mod records;
mod samples;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use shaper_report::summary::Summary;

#[cfg(feature = "live")]
pub(crate) use configured::configured_cdf;
pub(crate) use samples::Sampled;

/// The file that makes a directory one of a run.
pub(crate) const SUMMARY: &str = "summary.json";

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) summary: Summary,
}

impl Stored {
    /// Reads the summary in a run's directory.
    ///
    /// # Errors
    ///
    /// When there is no such directory, when it is none of a run, or when its summary cannot be read.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => bail!("{name}: is a file: name the directory of a run, such as runs/mine"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{name}: there is no such directory: name that of a run, such as runs/mine")
            }
            Err(error) => return Err(error).with_context(|| format!("{name}: cannot be read")),
        }
        let file = path.join(SUMMARY);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "{name}: is no directory of a run that came to its end: it has no {SUMMARY}; one that goes on or was \
                 killed has none"
            ),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
        };
        let summary = Summary::from_json(&text).with_context(|| file.display().to_string())?;
        Ok(Self { path: path.to_owned(), summary })
    }

    /// The name of a direction by the host at its far end and which way it is, where that says it.
    fn name_of(&self, place: captures::Place<'_>, dir: u16) -> Option<&str> {
        let directions = &self.summary.directions;
        let known = |name: String| directions.get_key_value(&name).map(|(name, _)| name.as_str());
        let host = place.host;
        if let Some(up) = known(format!("{host}_up")) {
            return if dir == 0 { Some(up) } else { known(format!("{host}_down")) };
        }
        let names: Vec<&str> = directions.keys().map(String::as_str).collect();
        let [first, second] = names[..] else { return None };
        // The forward direction is the one that begins at the end A; of one interface it is what leaves the host.
        let from_here = format!("{host}_to_");
        let is_forward_second = match (first.starts_with(&from_here), second.starts_with(&from_here)) {
            (true, false) => !place.is_a,
            (false, true) => place.is_a,
            _ if first == "egress" => false,
            _ => return None,
        };
        Some(if (dir == 0) == is_forward_second { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::captures::Place;
    use super::*;

    fn run(names: [&str; 2]) -> Stored {
        let mut summary = Summary::from_json(include_str!("../../../captures/wifi.run.json")).unwrap();
        let both = std::mem::take(&mut summary.directions).into_values();
        summary.directions = names.map(str::to_owned).into_iter().zip(both).collect();
        Stored { path: PathBuf::new(), summary }
    }

    #[test]
    fn a_direction_is_named_by_the_point_that_its_packets_enter_or_leave_at() {
        let named = |names: [&str; 2], host: &str, is_a: bool| {
            let run = run(names);
            [0, 1].map(|dir| run.name_of(Place { host, link: 0, is_a }, dir).map(str::to_owned))
        };
        let both = |forward: &str, back: &str| [Some(forward.to_owned()), Some(back.to_owned())];
        for (host, is_a) in [("a", true), ("b", false)] {
            assert_eq!(named(["a_to_b", "b_to_a"], host, is_a), both("a_to_b", "b_to_a"));
        }
        // The forward direction does not come first in the alphabet.
        for (host, is_a) in [("west", true), ("east", false)] {
            assert_eq!(named(["east_to_west", "west_to_east"], host, is_a), both("west_to_east", "east_to_west"));
        }
        assert_eq!(named(["east_to_west", "west_to_east"], "west-wire", false), [None, None]);
        assert_eq!(named(["egress", "ingress"], "wire", false), both("egress", "ingress"));
        assert_eq!(named(["b_down", "b_up"], "b", true), both("b_up", "b_down"));
        assert_eq!(named(["b_down", "b_up"], "c", true), [None, None]);
    }
}
