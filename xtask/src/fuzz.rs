//! `cargo xtask fuzz`: fuzz targets, built for libFuzzer by the pinned toolchain, and one of them run.
//!
//! The flags are those of `cargo fuzz`, which works here too; by them and a C++ compiler alone no further tool and no
//! other toolchain is needed.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    Repo,
    cargo_messages::{self, Artifact},
    process, setup,
};

const PACKAGE: &str = "shaper-fuzz";

/// Coverage that libFuzzer is led by, and the address sanitizer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Zsanitizer=address",
];

/// What libFuzzer is always told: when an input took too long or too much. Leaks are not looked for: that needs ptrace,
/// which containers forbid.
const LIMITS: [&str; 3] = ["-timeout=25", "-rss_limit_mb=2048", "-detect_leaks=0"];

/// A target as it was built.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    program: PathBuf,
    /// What is kept for it in the repository.
    corpus: PathBuf,
    /// What a run finds beside that.
    pub(crate) found: PathBuf,
    /// Where inputs are put that it does not hold for.
    artifacts: PathBuf,
}

impl Target {
    fn of(repo: &Repo, built: Artifact) -> Self {
        let folder = repo.root.join("fuzz");
        Self {
            program: built.executable,
            corpus: folder.join("corpus").join(&built.name),
            found: repo.target.join("fuzz/found").join(&built.name),
            artifacts: folder.join("artifacts").join(&built.name),
            name: built.name,
        }
    }

    /// The same, with what it finds in another folder.
    pub(crate) fn finding_in(self, folder: &Path) -> Self {
        Self { found: folder.join(&self.name), ..self }
    }

    /// The program with its limits; an input that it does not hold for goes to its folder.
    pub(crate) fn command(&self) -> Result<Command> {
        for folder in [&self.found, &self.artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut prefix = OsString::from("-artifact_prefix=");
        prefix.push(&self.artifacts);
        prefix.push("/");
        let mut command = Command::new(&self.program);
        command.args(LIMITS).arg(prefix).env("ASAN_OPTIONS", "detect_leaks=0");
        Ok(command)
    }

    /// Where inputs come from, behind all flags. What is new goes to the first folder.
    pub(crate) fn folders(&self) -> [&PathBuf; 2] {
        [&self.found, &self.corpus]
    }
}

/// Which targets are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'n> {
    One(&'n str),
    /// But those of WebRTC: with its server they take minutes to build.
    Quick,
    All,
}

/// Builds them, in the order of their names.
pub(crate) fn build(repo: &Repo, which: Which<'_>) -> Result<Vec<Target>> {
    let mut cargo = repo.cargo();
    cargo.args(["build", "--release", "--package", PACKAGE, "--message-format=json-render-diagnostics"]);
    match which {
        Which::One(name) => cargo.args(["--bin", name]),
        Which::Quick | Which::All => cargo.arg("--bins"),
    };
    let needs_webrtc = match which {
        Which::One(name) => name.starts_with("webrtc_"),
        Which::Quick => false,
        Which::All => true,
    };
    if !needs_webrtc {
        cargo.arg("--no-default-features");
    }
    cargo
        // With a target of its own, build scripts and macros are built without these flags.
        .arg(format!("--target={}-unknown-linux-gnu", env::consts::ARCH))
        .arg("--target-dir")
        .arg(repo.target.join("fuzz"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        // Built much sooner, and not much slower under a sanitizer.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    let messages = process::stdout(cargo.stderr(Stdio::inherit()))?;
    let mut targets: Vec<Target> = cargo_messages::executables(&messages)?
        .into_iter()
        .filter(|built| built.kind == "bin")
        .map(|built| Target::of(repo, built))
        .collect();
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    anyhow::ensure!(!targets.is_empty(), "{PACKAGE} has no programs");
    Ok(targets)
}

/// Runs one target: on its corpus and on until it fails, or as libFuzzer is told by `arguments`, which may also name the
/// inputs to take.
pub(crate) fn run(repo: &Repo, name: &str, arguments: &[OsString]) -> Result<ExitCode> {
    setup::run(repo, setup::For::Test)?;
    let targets = build(repo, Which::One(name))?;
    let target = targets.first().with_context(|| format!("{name} was not built"))?;
    let mut command = target.command()?;
    command.args(arguments);
    if arguments.iter().all(|argument| argument.to_string_lossy().starts_with('-')) {
        command.args(target.folders());
    }
    let status = command.status().with_context(|| format!("cannot start `{}`", process::show(&command)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
