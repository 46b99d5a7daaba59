//! The page as a browser shows it: Debian's package `chromium`, without a screen. Without it the tests say so and pass,
//! except where `CI` is set.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shaper_report::html::report;

/// Seconds until a browser that does not come to an end is ended.
const PATIENCE: &str = "180";
/// A desk and a phone: width and height of the window.
const WINDOWS: [(u32, u32); 2] = [(1200, 5800), (390, 10_500)];

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether there is a browser; where there must be one, its absence fails.
fn there_is_a_browser() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(found || !must, "chromium is needed (Debian package chromium)");
    if !found {
        eprintln!("skipped: there is no chromium (Debian package chromium)");
    }
    found
}

/// Lets the browser open a page; its profile is in the folder.
fn browse(folder: &Path, page: &Path, flags: &[String]) -> Output {
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
fn console(output: &Output) -> Vec<String> {
    let told = String::from_utf8_lossy(&output.stderr);
    told.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect()
}

/// Width and height of a PNG, by its header (W3C, "Portable Network Graphics", 11.2.1).
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(png.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]), "no PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn the_page_is_drawn_at_two_widths_without_a_complaint() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-page");
    let (summary, plots) = common::sample(20_000).unwrap();
    let page = folder.join("report.html");
    fs::write(&page, report(&summary, &plots).unwrap()).unwrap();
    for (width, height) in WINDOWS {
        let picture = folder.join(format!("report-{width}.png"));
        let flags = [format!("--screenshot={}", picture.display()), format!("--window-size={width},{height}")];
        let output = browse(&folder, &page, &flags);
        assert_eq!(console(&output), [""; 0], "at a width of {width}");
        let png = fs::read(&picture).unwrap();
        assert_eq!(size(&png), (width, height));
        // An empty page of this size takes some 10 kB.
        assert!(png.len() > 60_000, "{}: {} bytes: is it empty?", picture.display(), png.len());
    }
}

#[test]
fn nothing_is_wider_than_the_window() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-width");
    let (summary, plots) = common::sample(640).unwrap();
    let inner = report(&summary, &plots).unwrap().replace('&', "&amp;").replace('"', "&quot;");
    for (width, _) in WINDOWS {
        let page = folder.join(format!("frame-{width}.html"));
        let frame = format!(
            "<!DOCTYPE html><meta charset=utf-8><iframe width={width} height=800 srcdoc=\"{inner}\"></iframe><script>\
             onload = () => {{ const page = document.querySelector('iframe').contentDocument.documentElement; \
             document.body.innerHTML = 'wide ' + page.scrollWidth + ' in ' + page.clientWidth + ' wide'; }}</script>"
        );
        fs::write(&page, frame).unwrap();
        let output = browse(&folder, &page, &["--dump-dom".to_owned(), "--window-size=1400,900".to_owned()]);
        let dom = String::from_utf8_lossy(&output.stdout);
        assert!(dom.contains(&format!("wide {width} in {width} wide")), "{dom}");
    }
}

#[test]
fn a_page_that_complains_is_noticed() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-complaint");
    let page = folder.join("page.html");
    fs::write(&page, "<!DOCTYPE html><title>x</title><script>nothing.here()</script>").unwrap();
    let output = browse(&folder, &page, &["--dump-dom".to_owned()]);
    assert_eq!(console(&output).len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
}
