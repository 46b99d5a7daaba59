//! `cargo xtask build-ebpf`: the BPF object that the `shaper` binary embeds.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Repo,
    cargo_messages::{self, Artifact},
    process,
    repo::BPF_PACKAGE,
};

/// Builds the BPF package and puts its object where the binary's build looks
/// for it.
pub(crate) fn build(repo: &Repo) -> Result<()> {
    let mut cargo = cargo(repo, "build");
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = process::stdout(cargo.stderr(Stdio::inherit()))?;
    let objects: Vec<PathBuf> =
        cargo_messages::executables(&messages)?.into_iter().map(|Artifact { executable, .. }| executable).collect();
    let [object] = objects.as_slice() else {
        bail!("{BPF_PACKAGE} gave {} objects and one is embedded: it wants exactly one [[bin]]", objects.len());
    };
    let embedded = repo.bpf_object();
    let changed = put(object, &embedded)?;
    println!("build-ebpf: {} {}", embedded.display(), if changed { "written" } else { "unchanged" });
    Ok(())
}

/// clippy on the BPF package, warnings denied.
pub(crate) fn clippy(repo: &Repo) -> Command {
    let mut cargo = cargo(repo, "clippy");
    cargo.args(["--", "--deny", "warnings"]);
    cargo
}

/// cargo for the BPF package: core built from source by the pinned stable
/// toolchain, linked by the repository's own bpf-linker, with BTF.
fn cargo(repo: &Repo, subcommand: &str) -> Command {
    let tools = repo.tools().join("bin");
    let mut path = vec![tools.clone()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        format!("-Clinker={}", tools.join("bpf-linker").display()),
        "-Clink-arg=--btf".to_owned(),
        // 32-bit registers: half of the draws' arithmetic is of 32 bits. Kernels have them since 5.1.
        "-Ctarget-cpu=v3".to_owned(),
        // Headers lie at odd places. Otherwise each word of one is put together byte by byte.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned(),
        "-Cdebuginfo=2".to_owned(),
    ];
    let mut cargo = repo.cargo();
    cargo
        .args([subcommand, "--release", "--package", BPF_PACKAGE, "--bins"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(repo.target.join("bpf"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if let Ok(path) = env::join_paths(path) {
        cargo.env("PATH", path);
    }
    cargo
}

/// Copies `from` to `to` by a rename, so that nobody reads half a file, and
/// only when the bytes differ, so that cargo does not rebuild what embeds it.
fn put(from: &Path, to: &Path) -> Result<bool> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    match fs::read(to) {
        Ok(old) if old == new => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", to.display()));
        }
        _ => {}
    }
    let folder = to.parent().with_context(|| format!("{} has no folder", to.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let partial = to.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, new).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, to).with_context(|| format!("cannot move {} to {}", partial.display(), to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_object_keeps_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("out/b.o"));
        fs::write(&from, b"one").unwrap();
        assert!(put(&from, &to).unwrap());
        let written = to.metadata().unwrap().modified().unwrap();
        assert!(!put(&from, &to).unwrap());
        assert_eq!(to.metadata().unwrap().modified().unwrap(), written);
        fs::write(&from, b"two").unwrap();
        assert!(put(&from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"two");
        assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 1);
    }
}
