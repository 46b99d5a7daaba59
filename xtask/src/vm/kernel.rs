//! Debian's packaged kernels: downloaded and unpacked, never installed.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{Repo, process, setup};

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` will say it: `6.1.0-50-amd64`.
    pub(crate) release: String,
    /// The image to boot.
    pub(crate) image: PathBuf,
    /// `lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
}

/// The series that are tested.
pub(crate) const SERIES: [&str; 2] = ["6.1", "6.12"];

/// What a caller means by a series' name: it, or all.
pub(crate) fn series(name: &str) -> Vec<String> {
    if name == "all" { SERIES.map(String::from).to_vec() } else { vec![name.to_owned()] }
}

/// The newest kernel of this series (`6.1`) that was unpacked before, or else
/// that this host's package sources offer. An error is the reason why there is
/// none.
pub(crate) fn get(repo: &Repo, series: &str) -> Result<Kernel> {
    let kernels = repo.root.join(".tools/kernels");
    if let Some(release) = newest(&unpacked(&kernels), series) {
        return kernel(&kernels.join(release), release);
    }
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if process::find(tool).is_none() {
            bail!("no Debian kernel {series} here, and no {tool} to get one with");
        }
    }
    fs::create_dir_all(&kernels).with_context(|| format!("cannot make {}", kernels.display()))?;
    let release = match fetch(&kernels, series) {
        Ok(release) => release,
        Err(first) => {
            // Package lists may be missing, or older than what the mirror holds.
            setup::update_package_lists()
                .and_then(|()| fetch(&kernels, series))
                .with_context(|| format!("no Debian kernel {series}: {first:#}"))?
        }
    };
    kernel(&kernels.join(&release), &release)
}

/// Downloads and unpacks; gives the release.
fn fetch(kernels: &Path, series: &str) -> Result<String> {
    let offered = process::stdout(Command::new("apt-cache").args([
        "search",
        "--names-only",
        &format!("^linux-image-{}\\.", series.replace('.', "\\.")),
    ]))?;
    let offered: Vec<String> =
        offered.lines().filter_map(|line| release_of_package(line.split_whitespace().next()?)).collect();
    let release = newest(&offered, series)
        .with_context(|| format!("this host's package sources offer no linux-image-{series}.…-amd64"))?;

    let partial = kernels.join(format!(".partial-{}", std::process::id()));
    let unpacked = download(&partial, release).and_then(|root| {
        let to = kernels.join(release);
        fs::rename(&root, &to).with_context(|| format!("cannot move {} to {}", root.display(), to.display()))
    });
    let removed = fs::remove_dir_all(&partial);
    unpacked?;
    removed.with_context(|| format!("cannot remove {}", partial.display()))?;
    Ok(release.to_owned())
}

fn download(folder: &Path, release: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let package = format!("linux-image-{release}");
    println!("vm: fetching {package}");
    process::stdout(Command::new("apt-get").args(["download", "--quiet", &package]).current_dir(folder))?;
    let archive = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|suffix| suffix == "deb"))
        .with_context(|| format!("`apt-get download {package}` left no package"))?;
    let root = folder.join("root");
    process::run(Command::new("dpkg-deb").arg("-x").args([&archive, &root]))?;
    Ok(root)
}

/// The kernel below `root`, an unpacked package.
fn kernel(root: &Path, release: &str) -> Result<Kernel> {
    let image = root.join("boot").join(format!("vmlinuz-{release}"));
    // Since Debian 13 packages write below /usr.
    let modules = ["lib/modules", "usr/lib/modules"]
        .map(|folder| root.join(folder).join(release))
        .into_iter()
        .find(|folder| folder.is_dir());
    match modules {
        Some(modules) if image.is_file() => Ok(Kernel { release: release.to_owned(), image, modules }),
        _ => bail!("{}: no kernel image or no modules in it: remove that folder and start again", root.display()),
    }
}

/// Releases that were unpacked before.
fn unpacked(kernels: &Path) -> Vec<String> {
    fs::read_dir(kernels).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// `linux-image-6.1.0-50-amd64` gives `6.1.0-50-amd64`. Real-time kernels, and
/// cloud kernels, which lack modules, give nothing.
fn release_of_package(package: &str) -> Option<String> {
    let release = package.strip_prefix("linux-image-")?;
    let version = release.strip_suffix("-amd64")?;
    let other = ["-cloud", "-rt", "unsigned", "-dbg"];
    (!other.iter().any(|word| version.contains(word))).then(|| release.to_owned())
}

fn newest<'a>(releases: &'a [String], series: &str) -> Option<&'a str> {
    releases
        .iter()
        .filter(|release| release.strip_prefix(series).is_some_and(|rest| rest.starts_with('.')))
        .map(String::as_str)
        .max_by(|a, b| compare(a, b))
}

/// Compares the numbers in two releases, one after the other.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_kernels_are_taken() {
        let release = |package| release_of_package(package);
        assert_eq!(release("linux-image-6.1.0-50-amd64").as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(release("linux-image-6.12.117+deb12-amd64").as_deref(), Some("6.12.117+deb12-amd64"));
        for other in [
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-rt-amd64",
            "linux-image-6.1.0-50-amd64-dbg",
            "linux-image-6.1.0-50-amd64-unsigned",
            "linux-headers-6.1.0-50-amd64",
        ] {
            assert_eq!(release(other), None, "{other}");
        }
    }

    #[test]
    fn all_means_every_series() {
        assert_eq!(series("all"), SERIES);
        assert_eq!(series("6.5"), ["6.5"]);
    }

    #[test]
    fn the_newest_of_the_series_is_taken() {
        let releases =
            ["6.1.0-9-amd64", "6.1.0-50-amd64", "6.12.99+deb12-amd64", "6.12.117+deb12-amd64"].map(str::to_owned);
        assert_eq!(newest(&releases, "6.1"), Some("6.1.0-50-amd64"));
        assert_eq!(newest(&releases, "6.12"), Some("6.12.117+deb12-amd64"));
        assert_eq!(newest(&releases, "6.5"), None);
    }
}
