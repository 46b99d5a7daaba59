//! Test binaries: which there are, and running them, as root where they need it.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    libtest::{self, Reader},
    summary::{Counts, Outcome},
};
use crate::{
    Repo,
    cargo_messages::{self, Artifact},
    process,
    repo::BPF_PACKAGE,
    root::Root,
    stream::{self, End},
};

/// What a test binary belongs to, by its file's name in `tests/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unit tests, and integration tests that need nothing special.
    Plain,
    /// `tests/bpf_*.rs`: load programs, as root.
    Bpf,
    /// `tests/ns_*.rs`: make network namespaces, as root, one test of a binary at a time.
    Namespace,
}

impl Kind {
    pub(crate) fn of(artifact: &Artifact) -> Self {
        let name = artifact.name.as_str();
        match artifact.kind.as_str() {
            "test" if name.starts_with("bpf_") => Self::Bpf,
            "test" if name.starts_with("ns_") => Self::Namespace,
            _ => Self::Plain,
        }
    }
}

/// How test binaries are run.
#[derive(Clone, Debug)]
pub(crate) struct Runner<'a> {
    repo: &'a Repo,
    full: bool,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(repo: &'a Repo, full: bool) -> Self {
        Self { repo, full }
    }

    /// The longest that one binary may take.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(if self.full { 2 * 3600 } else { 10 * 60 })
    }

    /// Builds all tests but those of the BPF package, and the programs that they start, as the caller and with one set
    /// of features. What could be built is handed back also when something could not.
    pub(crate) fn build(&self) -> Result<(Vec<Artifact>, bool)> {
        let mut cargo = self.repo.cargo();
        cargo.args(["build", "--release", "--workspace", "--exclude", BPF_PACKAGE]);
        cargo.args(["--lib", "--bins", "--tests", "--keep-going"]);
        build(&mut cargo)
    }

    /// Runs the binaries that need no root and whose Cargo.toml is `wanted`.
    pub(crate) fn plain(&self, all: &[Artifact], wanted: impl Fn(&Path) -> bool) -> Result<Counts> {
        let mut chosen: Vec<&Artifact> =
            all.iter().filter(|one| Kind::of(one) == Kind::Plain && wanted(&one.manifest)).collect();
        let waits = |artifact: &Artifact| WAITING.contains(&artifact.name.as_str());
        chosen.sort_by_key(|artifact| !waits(artifact));
        side_by_side(&chosen, 2, |artifact, told| {
            let mut command = Command::new(&artifact.executable);
            command.envs(self.environment(artifact)?);
            let arguments: &[&str] = if waits(artifact) { &["--test-threads=6"] } else { &[] };
            self.run_telling(artifact, command, arguments, told)
        })
    }

    /// Runs the binaries of one kind as root.
    pub(crate) fn as_root(&self, all: &[Artifact], kind: Kind, arguments: &[&str]) -> Result<Outcome> {
        let chosen: Vec<&Artifact> = all.iter().filter(|one| Kind::of(one) == kind).collect();
        if chosen.is_empty() {
            return Ok(Outcome::CannotRun { reason: "no test file of this layer was built".into(), tests: 0 });
        }
        let root = match Root::find() {
            Ok(root) => root,
            Err(error) => {
                let mut tests = 0;
                for artifact in chosen {
                    let mut list = Command::new(&artifact.executable);
                    list.args(["--list", "--format", "terse"]);
                    tests += libtest::listed(&process::stdout(&mut list)?);
                }
                return Ok(Outcome::CannotRun { reason: error.to_string(), tests });
            }
        };
        let one = |artifact: &Artifact, told: &mut dyn FnMut(&str)| {
            let environment = self.environment(artifact)?;
            let command = root.command(&artifact.executable, &environment);
            self.run_telling(artifact, command, arguments, told)
        };
        let place = |artifact: &&Artifact| QUIET.iter().position(|name| *name == artifact.name);
        let (mut quiet, others): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|artifact| place(artifact).is_some());
        quiet.sort_by_key(place);
        let mut counts = side_by_side(&quiet, 3, one)?;
        for artifact in others {
            counts += one(artifact, &mut |line| println!("{line}"))?;
        }
        Ok(Outcome::Ran(counts))
    }

    /// Runs one binary and counts its tests.
    fn run_telling(
        &self,
        artifact: &Artifact,
        mut command: Command,
        arguments: &[&str],
        told: &mut dyn FnMut(&str),
    ) -> Result<Counts> {
        let package = package_folder(artifact)?;
        let shown = package.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        told(&format!("--- {shown}: {} ({})", artifact.name, artifact.kind));
        command.args(arguments).current_dir(package);
        self.count_telling(&mut command, told)
    }

    /// Runs anything that writes closing lines of the test harness.
    pub(crate) fn count(&self, command: &mut Command) -> Result<Counts> {
        self.count_telling(command, &mut |line| println!("{line}"))
    }

    fn count_telling(&self, command: &mut Command, told: &mut dyn FnMut(&str)) -> Result<Counts> {
        let mut reader = Reader::default();
        let end = stream::run(command, self.limit(), |line| {
            told(line);
            reader.line(line);
        })?;
        match end {
            End::TimedOut => told(&format!("stopped after {} s", self.limit().as_secs())),
            End::Exited(status) if !status.success() => told(&format!("ended with {status}")),
            End::Exited(_) => {}
        }
        Ok(reader.finish(end.succeeded()))
    }

    /// What cargo would set for the binary, and what the tests look at.
    fn environment(&self, artifact: &Artifact) -> Result<Vec<(&'static str, OsString)>> {
        let mut environment = vec![
            ("CARGO_MANIFEST_DIR", package_folder(artifact)?.as_os_str().to_owned()),
            ("RUST_BACKTRACE", "1".into()),
        ];
        if self.full {
            environment.push(("SHAPER_TEST_FULL", "1".into()));
        }
        Ok(environment)
    }
}

/// Binaries without root that wait for most of their time, for sessions that live in real time: more of their tests than
/// there are processors run at once, and they begin first.
const WAITING: [&str; 2] = ["shaper_webrtc", "cli_webrtc_load"];

/// Test binaries that have hosts of their own, send little, and wait for most of the time: for what was sent to arrive, and
/// for what was started to end; those that take longest first. Others fill links, and have the machine to themselves: where
/// a delay line's thread waits for a processor there, packets find no room.
const QUIET: [&str; 13] = [
    "ns_webrtc",
    "ns_run",
    "ns_presets",
    "ns_scenarios",
    "ns_kill",
    "ns_preview",
    "ns_apply_kill",
    "ns_scenario_file",
    "ns_toast",
    "ns_errors",
    "ns_capabilities",
    "ns_lab",
    "ns_webrtc_load",
];

/// Runs binaries a few at once. What one says stands together, once it has ended.
fn side_by_side(
    binaries: &[&Artifact],
    lanes: usize,
    one: impl Fn(&Artifact, &mut dyn FnMut(&str)) -> Result<Counts> + Sync,
) -> Result<Counts> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut counts = Counts::default();
        while let Some(artifact) = binaries.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut said = String::new();
            let ran = one(artifact, &mut |line| {
                said.push_str(line);
                said.push('\n');
            });
            print!("{said}");
            counts += ran?;
        }
        Ok(counts)
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
    })
}

/// Runs a cargo command that builds tests: what was built, and whether all was.
fn build(cargo: &mut Command) -> Result<(Vec<Artifact>, bool)> {
    cargo.arg("--message-format=json-render-diagnostics");
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", process::show(cargo)))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut built = cargo_messages::executables(&messages)?;
    // A binary that integration tests call is built beside its own unit tests.
    built.retain(|artifact| artifact.test);
    built.sort_by(|a, b| (&a.manifest, &a.name).cmp(&(&b.manifest, &b.name)));
    Ok((built, output.status.success()))
}

fn package_folder(artifact: &Artifact) -> Result<&Path> {
    artifact.manifest.parent().with_context(|| format!("{} has no folder", artifact.manifest.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_belongs_to_the_layer_its_file_names() {
        let kind = |name: &str, kind: &str| {
            Kind::of(&Artifact {
                name: name.into(),
                kind: kind.into(),
                manifest: "/r/a/Cargo.toml".into(),
                executable: "/t/x".into(),
                test: true,
            })
        };
        assert_eq!(kind("bpf_oracle", "test"), Kind::Bpf);
        assert_eq!(kind("ns_cleanup", "test"), Kind::Namespace);
        assert_eq!(kind("cli", "test"), Kind::Plain);
        assert_eq!(kind("ns_tool", "bin"), Kind::Plain);
        assert_eq!(kind("shaper_xsk", "lib"), Kind::Plain);
    }
}
