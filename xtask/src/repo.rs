//! The repository: its folders, its pinned toolchain, and cargo as called in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::process;

/// The package that is built for the BPF target only.
pub(crate) const BPF_PACKAGE: &str = "shaper-ebpf";

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    /// The folder with the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// cargo's target folder (CARGO_TARGET_DIR, or `target`).
    pub(crate) target: PathBuf,
    /// Version of the toolchain in use, which is the pinned one.
    pub(crate) toolchain: String,
    /// The toolchain's folder.
    pub(crate) sysroot: PathBuf,
}

impl Repo {
    /// Finds the repository this task runner belongs to and checks that the
    /// toolchain in use is the pinned one.
    pub(crate) fn find() -> Result<Self> {
        let manifest_dir =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .with_context(|| format!("{} has no parent folder", manifest_dir.display()))?
            .to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => root.join(folder),
            None => root.join("target"),
        };

        let pinned_in = root.join("rust-toolchain.toml");
        let text = fs::read_to_string(&pinned_in).with_context(|| format!("cannot read {}", pinned_in.display()))?;
        let pinned = channel(&text).with_context(|| format!("{}: no line `channel = \"…\"`", pinned_in.display()))?;
        let version = rustc(&root, &["--version"])?;
        let version = version
            .split_whitespace()
            .nth(1)
            .ok_or_else(|| anyhow!("`rustc --version` wrote {version:?}: no version in it"))?;
        if version != pinned {
            bail!(
                "rustc {version} is in use, and {} pins {pinned}: \
                 `rustup toolchain install {pinned}`, and call cargo without `+toolchain`",
                pinned_in.display()
            );
        }
        let sysroot = rustc(&root, &["--print", "sysroot"])?;
        Ok(Self { target, toolchain: version.to_owned(), sysroot: PathBuf::from(sysroot.trim()), root })
    }

    /// Programs that this repository builds for itself, kept by toolchain.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools").join(&self.toolchain)
    }

    /// Python with the packages that tests need. Its place does not depend on
    /// the toolchain: tests look for it.
    pub(crate) fn python(&self) -> PathBuf {
        self.root.join(".tools/python")
    }

    /// The BPF object that the `shaper` binary embeds. Its place does not
    /// depend on CARGO_TARGET_DIR, so that a plain `cargo build` finds it too.
    pub(crate) fn bpf_object(&self) -> PathBuf {
        self.root.join("target/bpf/shaper.bpf.o")
    }

    /// The `shaper` binary of the one profile that demo and tests use.
    pub(crate) fn shaper(&self) -> PathBuf {
        self.target.join("release/shaper")
    }

    /// cargo in the repository's root, with the environment of a fresh shell:
    /// what `cargo run` set for this process would leak into build scripts.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).env_remove("LD_LIBRARY_PATH").env("SHAPER_BPF_OBJECT", self.bpf_object());
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&key);
            }
        }
        command
    }
}

fn rustc(root: &Path, arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    process::stdout(Command::new(rustc).args(arguments).current_dir(root))
}

/// The value of `channel` in a rust-toolchain.toml.
fn channel(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "channel").then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_channel_is_read() {
        let text = "[toolchain]\nchannel = \"1.95.0\"\ncomponents = [\"rust-src\"]\n";
        assert_eq!(channel(text), Some("1.95.0"));
        assert_eq!(channel("[toolchain]\n"), None);
    }
}
