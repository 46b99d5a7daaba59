//! The files that a run's profile names, kept in its directory, so that it can be decided again anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, absolute};

use anyhow::Context;
use shaper_profile::Profile;

/// What the names of kept files begin with: no other file of a run does.
const PREFIX: &str = "profile-";

/// A profile and all that it is read from.
pub(super) struct Inputs {
    /// The profile, with the names of the kept files in place of the paths.
    pub(super) profile: Profile,
    /// Name in the run directory, and contents.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Where each was found, by its name in the run directory.
    pub(super) found_at: BTreeMap<String, String>,
}

impl Inputs {
    /// Reads the files that the profile names.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub(super) fn of(profile: &Profile) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut found_at = BTreeMap::new();
        let mut names = BTreeMap::new();
        for path in profile.files() {
            let contents = fs::read(&path).with_context(|| format!("{path}: cannot be read again"))?;
            let name = unlike(&found_at, &path);
            found_at.insert(name.clone(), absolute(&path)?.to_string_lossy().into_owned());
            files.push((name.clone(), contents));
            names.insert(path, name);
        }
        let kept = profile.with_files(|path| names.get(path).map_or_else(|| path.to_owned(), Clone::clone));
        Ok(Self { profile: kept, files, found_at })
    }
}

/// A name for the file at `path` that no other has. It ends as the file's own does, which says of what format a table is.
fn unlike(taken: &BTreeMap<String, String>, path: &str) -> String {
    let own = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = format!("{PREFIX}{own}");
    let mut number = 1;
    while taken.contains_key(&name) {
        number += 1;
        name = format!("{PREFIX}{number}-{own}");
    }
    name
}

#[cfg(test)]
mod tests {
    use shaper_profile::presets;

    use super::*;

    #[test]
    fn files_of_the_same_name_are_kept_apart_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        for (path, contents) in [("x", "of x"), ("y", "of y")] {
            fs::create_dir(folder.path().join(path)).unwrap();
            fs::write(folder.path().join(path).join("d.dist"), contents).unwrap();
        }
        let text = "distribution = \"table x/d.dist\"\n[b_to_a]\ndistribution = \"table y/d.dist\"\n\
                    [[rule]]\nmatch = \"tcp\"\ndistribution = \"table x/d.dist\"\n";
        let inputs = Inputs::of(&presets::parse_in(folder.path(), "test", "test", text).unwrap()).unwrap();
        let kept = [("profile-d.dist", "of x"), ("profile-2-d.dist", "of y")];
        assert_eq!(inputs.files, kept.map(|(name, contents)| (name.to_owned(), contents.as_bytes().to_vec())));
        let found = inputs.found_at.iter().map(|(name, path)| (name.as_str(), Path::new(path).to_owned()));
        let at = |path: &str| folder.path().join(path);
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("profile-2-d.dist", at("y/d.dist")), ("profile-d.dist", at("x/d.dist"))]
        );
        let expected = text.replace("x/d", "profile-d").replace("y/d", "profile-2-d");
        assert_eq!(inputs.profile, presets::parse("test", "test", &expected).unwrap());
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let profile = presets::parse("test", "test", "trace = \"gone.csv\"\n").unwrap();
        let error = Inputs::of(&profile).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("gone.csv: cannot be read"), "{error}");
    }
}
