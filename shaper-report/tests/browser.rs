//! The page as a browser shows it: Debian's package `chromium`, without a screen. Without it the tests say so and pass,
//! except where `CI` is set.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::fs;

use browser::{browse, console, fits, folder, is_drawn, there_is_a_browser};
use shaper_report::html::report;

/// A desk and a phone: width and height of the window.
const WINDOWS: [(u32, u32); 2] = [(1200, 5800), (390, 10_500)];

#[test]
fn the_page_is_drawn_at_two_widths_without_a_complaint() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-page");
    let (summary, plots) = common::sample(20_000).unwrap();
    let page = folder.join("report.html");
    fs::write(&page, report(&summary, &plots).unwrap()).unwrap();
    for window in WINDOWS {
        is_drawn(&folder, &page, window);
    }
}

#[test]
fn nothing_is_wider_than_the_window() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("browser-width");
    let (summary, plots) = common::sample(640).unwrap();
    let page = report(&summary, &plots).unwrap();
    for (width, _) in WINDOWS {
        fits(&folder, &page, width);
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
