//! The pinned toolchain's components, and the standard libraries of other platforms.

use std::process::Command;

use anyhow::{Result, bail};

use super::{Done, announce};
use crate::{Repo, process};

/// Adds the components that the toolchain lacks, looked for by their files.
pub(crate) fn components(repo: &Repo) -> Result<Done> {
    let missing = missing(repo);
    if missing.is_empty() {
        return Ok(Done::AlreadyThere);
    }
    if process::find("rustup").is_none() {
        bail!(
            "the toolchain in {} lacks {}, and there is no rustup to add that with: \
             install them by the way the toolchain came, or use rustup",
            repo.sysroot.display(),
            missing.join(", ")
        );
    }
    announce(&format!("adding {}", missing.join(", ")));
    process::run(
        Command::new("rustup")
            .current_dir(&repo.root)
            .args(["component", "add", "--toolchain", &repo.toolchain])
            .args(&missing),
    )?;
    if let Some(component) = self::missing(repo).first() {
        bail!(
            "rustup holds {component} for installed, and its files are not in {}: \
             `rustup component remove {component}`, then start again",
            repo.sysroot.display()
        );
    }
    Ok(Done::Installed)
}

/// Platforms beside the host's that `shaper` without its feature `live` is checked for: what Windows, macOS and a Linux
/// without glibc on another processor lack shows in these.
pub(crate) const OTHER_PLATFORMS: [&str; 3] =
    ["x86_64-pc-windows-gnu", "aarch64-apple-darwin", "aarch64-unknown-linux-musl"];

/// Adds the standard libraries of [`OTHER_PLATFORMS`] that the toolchain lacks.
pub(crate) fn other_platforms(repo: &Repo) -> Result<Done> {
    let lacking = |platform: &&str| !repo.sysroot.join("lib/rustlib").join(platform).join("lib").exists();
    let missing: Vec<_> = OTHER_PLATFORMS.into_iter().filter(lacking).collect();
    if missing.is_empty() {
        return Ok(Done::AlreadyThere);
    }
    if process::find("rustup").is_none() {
        bail!(
            "the toolchain in {} lacks the standard libraries of {}, and there is no rustup to add them with: \
             install them by the way the toolchain came, or use rustup",
            repo.sysroot.display(),
            missing.join(", ")
        );
    }
    announce(&format!("adding the standard libraries of {}", missing.join(", ")));
    process::run(
        Command::new("rustup")
            .current_dir(&repo.root)
            .args(["target", "add", "--toolchain", &repo.toolchain])
            .args(&missing),
    )?;
    Ok(Done::Installed)
}

/// The components without which something here fails, and whose files are not
/// there.
fn missing(repo: &Repo) -> Vec<&'static str> {
    let places = [
        ("rust-src", "lib/rustlib/src/rust/library/Cargo.lock"),
        ("clippy", "bin/cargo-clippy"),
        ("rustfmt", "bin/rustfmt"),
    ];
    places.into_iter().filter(|(_, file)| !repo.sysroot.join(file).exists()).map(|(component, _)| component).collect()
}
