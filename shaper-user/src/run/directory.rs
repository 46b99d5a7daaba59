//! The run directory: the unit of evidence.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};

/// A directory that holds all of one run.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    owner: Option<(u32, u32)>,
}

impl RunDirectory {
    /// Makes `out`, or `runs/<utc>-<name>`.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or `out` holds something already.
    pub fn create(out: Option<&Path>, name: &str, now: SystemTime) -> anyhow::Result<Self> {
        let path = out.map_or_else(
            || {
                let stamp: String = crate::run::manifest::utc(now).chars().filter(|c| !"-:".contains(*c)).collect();
                Path::new("runs").join(format!("{stamp}-{name}"))
            },
            Path::to_owned,
        );
        let owner = caller();
        let made = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists());
        let made = made.map(Path::to_owned);
        fs::create_dir_all(&path).with_context(|| {
            format!("{}: cannot make the run directory: name another with --out DIR", path.display())
        })?;
        let mut entries = fs::read_dir(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        if entries.next().is_some() {
            bail!("{}: holds something already: name an empty or new directory with --out DIR", path.display());
        }
        let directory = Self { path, owner };
        for made in made.iter().chain([&directory.path]) {
            directory.give(made)?;
        }
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole.
    ///
    /// # Errors
    ///
    /// When the disk is full or the like.
    pub fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.file(name);
        let written = || -> io::Result<()> {
            let mut file = fs::File::create(&path)?;
            file.write_all(contents)?;
            file.sync_all()
        };
        written().with_context(|| {
            format!("{}: cannot be written: free some space or name another directory with --out DIR", path.display())
        })?;
        self.give(&path)
    }

    /// Gives every file in it to the caller, when that is not who we run as.
    ///
    /// # Errors
    ///
    /// When a file cannot be given away.
    pub fn give_all(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.path).with_context(|| format!("{}: cannot be read", self.path.display()))? {
            self.give(&entry.with_context(|| format!("{}: cannot be read", self.path.display()))?.path())?;
        }
        Ok(())
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        match self.owner {
            Some((user, group)) => chown(path, Some(user), Some(group))
                .with_context(|| format!("{}: cannot be given to user {user}", path.display())),
            None => Ok(()),
        }
    }
}

/// Who called sudo, if that is how we came to be root.
fn caller() -> Option<(u32, u32)> {
    let id = |name: &str| std::env::var(name).ok()?.parse().ok();
    id("SUDO_UID").zip(id("SUDO_GID"))
}
