//! A browser without a screen: Debian's package `chromium`. Without it tests say so and pass, except where `CI` is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds until a browser that does not come to an end is ended.
const PATIENCE: &str = "180";

/// An empty folder of that name for a test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether there is a browser; where there must be one, its absence fails.
pub(crate) fn there_is_a_browser() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(found || !must, "chromium is needed (Debian package chromium)");
    if !found {
        eprintln!("skipped: there is no chromium (Debian package chromium)");
    }
    found
}

/// Lets the browser open a page; its profile is in the folder.
pub(crate) fn browse(folder: &Path, page: &Path, flags: &[String]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", PATIENCE, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]);
    command.args(["--hide-scrollbars", "--enable-logging=stderr", "--v=0", "--disable-dev-shm-usage"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display())).args(flags);
    let output = command.arg(format!("file://{}", page.display())).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    output
}

/// What the page said on its console.
pub(crate) fn console(output: &Output) -> Vec<String> {
    let told = String::from_utf8_lossy(&output.stderr);
    told.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect()
}

/// Width and height of a PNG, by its header (W3C, "Portable Network Graphics", 11.2.1).
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(png.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]), "no PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// Draws a page in a window of that size, and sees that it says nothing on its console and is not empty.
pub(crate) fn is_drawn(folder: &Path, page: &Path, (width, height): (u32, u32)) {
    let picture = page.with_extension(format!("{width}.png"));
    let flags = [format!("--screenshot={}", picture.display()), format!("--window-size={width},{height}")];
    let output = browse(folder, page, &flags);
    assert_eq!(console(&output), [""; 0], "at a width of {width}");
    let png = fs::read(&picture).unwrap();
    assert_eq!(size(&png), (width, height));
    // An empty page of this size takes some 10 kB.
    assert!(png.len() > 60_000, "{}: {} bytes: is it empty?", picture.display(), png.len());
}

/// Sees that nothing of a page is wider than a window of that width.
pub(crate) fn fits(folder: &Path, page: &str, width: u32) {
    let inner = page.replace('&', "&amp;").replace('"', "&quot;");
    let page = folder.join(format!("frame-{width}.html"));
    let frame = format!(
        "<!DOCTYPE html><meta charset=utf-8><iframe width={width} height=800 srcdoc=\"{inner}\"></iframe><script>\
         onload = () => {{ const page = document.querySelector('iframe').contentDocument.documentElement; \
         document.body.innerHTML = 'wide ' + page.scrollWidth + ' in ' + page.clientWidth + ' wide'; }}</script>"
    );
    fs::write(&page, frame).unwrap();
    let output = browse(folder, &page, &["--dump-dom".to_owned(), "--window-size=1400,900".to_owned()]);
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains(&format!("wide {width} in {width} wide")), "{dom}");
}
