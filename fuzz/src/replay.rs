//! Inputs from files, without libFuzzer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use crate::Target;

/// Gives the target the files that the program's arguments name. Exit code 2 for one that cannot be read, and for none.
#[must_use]
pub fn arguments(target: Target) -> ExitCode {
    let mut count = 0;
    for path in env::args_os().skip(1).map(PathBuf::from) {
        match fs::read(&path) {
            Ok(bytes) => target(&bytes),
            Err(error) => {
                eprintln!("{}: cannot read it: {error}", path.display());
                return ExitCode::from(2);
            }
        }
        println!("{}: holds", path.display());
        count += 1;
    }
    if count == 0 {
        eprintln!("name files to take as input, such as those in fuzz/corpus");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// The inputs that are kept for a target, in the order of their names.
///
/// # Errors
/// A folder that cannot be read.
pub fn kept(name: &str) -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::TARGETS;

    #[test]
    fn every_target_holds_for_every_input_that_is_kept_for_it() {
        for (name, target) in TARGETS {
            let kept = kept(name).unwrap();
            assert!(!kept.is_empty(), "corpus/{name} holds nothing");
            for path in kept {
                // The last line before a panic names the input.
                println!("{}", path.display());
                target(&fs::read(&path).unwrap());
            }
        }
    }

    #[test]
    fn targets_programs_and_folders_go_by_the_same_names() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = |folder: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(root.join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("fuzz_targets"), targets);
        assert_eq!(names("corpus"), targets);
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let programs: BTreeSet<String> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
            .map(str::to_owned)
            .collect();
        assert_eq!(programs, targets);
    }
}
