//! The files that a profile's settings name: tables of delays and traces.

use std::collections::BTreeSet;

use super::{Direction, Link, Profile};
use crate::effect::Distribution;

impl Profile {
    /// The paths of all files that the settings name, as they are opened.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let _ = self.with_files(|path| {
            files.insert(path.to_owned());
            path.to_owned()
        });
        files
    }

    /// The same with other paths in the place of those of the files that the settings name.
    #[must_use]
    pub fn with_files(&self, mut other: impl FnMut(&str) -> String) -> Self {
        let mut profile = self.clone();
        each(&mut profile.link, &mut |path| *path = other(path));
        profile
    }
}

fn each(link: &mut Link, visit: &mut impl FnMut(&mut String)) {
    let changed = link.changes.iter_mut().flat_map(|change| [&mut change.a_to_b, &mut change.b_to_a]);
    for direction in [&mut link.a_to_b, &mut link.b_to_a].into_iter().chain(changed) {
        let Direction { distribution, trace, .. } = direction;
        if let Distribution::Table(path) = distribution {
            visit(path);
        }
        if let Some(trace) = trace {
            visit(&mut trace.path);
        }
    }
    for rule in &mut link.rules {
        each(&mut rule.link, visit);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_place_that_can_name_a_file_is_found_and_renamed() {
        let text = "distribution = \"table a.txt\"\n[up]\ntrace = \"b.csv loop\"\n[[change]]\nat = \"1s\"\n\
                    distribution = \"table c.txt\"\n[[rule]]\nmatch = \"tcp\"\ntrace = \"/d e.csv\"\n";
        let read = |folder: &str| crate::presets::parse_in(Path::new(folder), "test", "test", text).unwrap();
        let profile = read("");
        let files: Vec<String> = profile.files().into_iter().collect();
        assert_eq!(files, ["/d e.csv", "a.txt", "b.csv", "c.txt"]);
        let absolute = profile.with_files(|path| Path::new("/links").join(path).to_string_lossy().into_owned());
        assert_eq!(absolute, read("/links"));
        let again = toml::to_string(&absolute).unwrap();
        assert_eq!(crate::presets::parse("test", "test", &again).unwrap(), absolute, "{again}");
    }
}
