//! `cargo xtask picture RUN`: the upper part of a run's report as the README shows it, drawn by a browser without a screen.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{Repo, process};

/// Where the README looks for it.
const PICTURE: &str = "docs/images/report.png";
/// Width of a page at a desk, and height down to the plots of the first direction.
const WINDOW: (u32, u32) = (1100, 2260);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The directory of a run, such as that of `cargo xtask demo -- --out RUN`.
    run: PathBuf,
    /// Where the picture goes [default: docs/images/report.png]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Draws the picture.
pub(crate) fn run(repo: &Repo, arguments: &Arguments) -> Result<()> {
    let page = arguments.run.join("report.html");
    let page = page.canonicalize().with_context(|| {
        format!(
            "{}: cannot be read: name the directory of a run, or write the page by `shaper report RUN`",
            page.display()
        )
    })?;
    if process::find("chromium").is_none() {
        bail!("chromium is needed to draw {}: `cargo xtask setup` installs it", page.display());
    }
    let out = arguments.out.clone().unwrap_or_else(|| repo.root.join(PICTURE));
    // The browser's profile stays: a new one takes seconds to make.
    let folder = repo.root.join("target/picture");
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    let drawn = folder.join("report.png");
    draw(&page, &drawn, &folder)?;
    fs::copy(&drawn, &out).with_context(|| format!("{}: cannot be written", out.display()))?;
    println!("{}", out.display());
    Ok(())
}

fn draw(page: &Path, picture: &Path, profile: &Path) -> Result<()> {
    let (width, height) = WINDOW;
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]);
    // The light page, whatever the desktop of who draws it asks for.
    command.args(["--blink-settings=preferredColorScheme=1", "--force-device-scale-factor=1"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("--screenshot={}", picture.display())).arg(format!("--window-size={width},{height}"));
    command.arg(format!("file://{}", page.display())).stdout(Stdio::null()).stderr(Stdio::null());
    // What an earlier call left is not taken for this one's.
    let _ = fs::remove_file(picture);
    process::run(&mut command)?;
    if !picture.is_file() {
        bail!("`{}` left no picture", process::show(&command));
    }
    Ok(())
}
