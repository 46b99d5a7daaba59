//! `shaper analyze --html` as it is typed: the pages of one capture and of two, as a browser shows them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../shaper-report/tests/common/browser.rs"]
mod browser;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use browser::{fits, folder, is_drawn, there_is_a_browser};

/// A desk and a phone: width and height of the window.
const WINDOWS: [(u32, u32); 2] = [(1200, 4200), (390, 6000)];

fn shaper(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).current_dir(folder).output().unwrap()
}

fn captures(name: &str) -> [String; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    ["a", "b"].map(|point| folder.join(format!("{name}-{point}.pcapng")).to_str().unwrap().to_owned())
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = shaper(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Pages of two captures, of one, and of two without addresses.
fn pages(folder: &Path) -> [PathBuf; 3] {
    let [a, b] = captures("wifi");
    succeeds(folder, &["analyze", &a, &b, "--html", "two.html"]);
    succeeds(folder, &["analyze", &a, "--html", "one.html"]);
    succeeds(folder, &["analyze", &a, &b, "--anonymize", "--html", "hidden.html"]);
    ["two.html", "one.html", "hidden.html"].map(|name| folder.join(name))
}

#[test]
fn pages_of_captures_are_drawn_at_two_widths_without_a_complaint() {
    if !there_is_a_browser() {
        return;
    }
    let folder = folder("analyze-page");
    let [two, one, _] = pages(&folder);
    for page in [two, one] {
        for window in WINDOWS {
            is_drawn(&folder, &page, window);
        }
        fits(&folder, &fs::read_to_string(&page).unwrap(), 390);
    }
}

#[test]
fn a_page_has_the_findings_first_and_a_plot_of_each_kind() {
    let folder = tempfile::tempdir().unwrap();
    let [two, one, hidden] = pages(folder.path()).map(|page| fs::read_to_string(page).unwrap());
    for page in [&two, &one, &hidden] {
        for reference in ["http", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(reference), "the page refers to something by {reference}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf "));
    }
    let place = |text: &str| two.find(text).unwrap_or_else(|| panic!("{text} is not in the page"));
    let order = ["Findings", "Both directions", "Delay over time, A to B", "Delay over time, B to A", "<h2>Flows"];
    assert!(order.map(place).is_sorted(), "{:?}", order.map(place));
    for plot in ["Distribution of delay", "Losses in a row", "Reordering"] {
        place(&format!("{plot}, A to B"));
    }
    assert!(one.contains("Rate over time") && one.contains("TOAST") && one.contains("Conversations"));
    assert!(!hidden.contains("wifi") && two.contains("wifi-a.pcapng"));
    assert_eq!(two.matches("<svg ").count(), hidden.matches("<svg ").count());
}

#[test]
fn findings_of_one_capture_have_their_severity_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = captures("wifi");
    let whole = fs::read(&a).unwrap();
    // Cut within its last block.
    fs::write(folder.path().join("cut.pcapng"), &whole[..whole.len() - 7]).unwrap();
    let output = shaper(folder.path(), &["analyze", "cut.pcapng", "--html", "cut.html"]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(folder.path().join("cut.html")).unwrap();
    let grave = |class: &str, words: &str| {
        let rows = page.split("<li class=\"").skip(1);
        rows.filter(|row| row.starts_with(&format!("{class}\">"))).any(|row| row.contains(words))
    };
    assert!(grave("warning", "cut off at byte") && grave("note", "Packets recognised"), "{page}");
}

#[test]
fn what_a_page_is_of_is_chosen_as_for_any_other_output() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = captures("wifi");
    let arguments =
        ["analyze", &a, &b, "--json", "--filter", "src host 10.77.0.1", "--html", "some.html", "--csv", "some.csv"];
    let analysis: serde_json::Value = serde_json::from_str(&succeeds(folder.path(), &arguments)).unwrap();
    let page = fs::read_to_string(folder.path().join("some.html")).unwrap();
    assert!(!page.contains("UDP 10.77.0.2") && page.contains("UDP 10.77.0.1"));
    let sent = analysis["total"]["sent"].as_u64().unwrap();
    let rows = fs::read_to_string(folder.path().join("some.csv")).unwrap();
    assert!(rows.lines().count() as u64 > sent && sent > 0);
    // Neither an input nor anything else that is there is written over; a folder that is not there is told.
    let before = fs::read(&a).unwrap();
    for (path, said) in
        [(a.as_str(), "cannot be written"), ("no/page.html", "cannot be written"), ("some.html", "exists")]
    {
        for inputs in [&[a.as_str(), &b][..], &[a.as_str()]] {
            let output = shaper(folder.path(), &[&["analyze"], inputs, &["--html", path]].concat());
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{path}: {stderr}");
            assert!(stderr.contains(path) && stderr.contains(said), "{stderr}");
        }
    }
    assert_eq!(fs::read(&a).unwrap(), before);
    // What could not be made to the end does not stay.
    let output = shaper(folder.path(), &["analyze", "absent.pcapng", "--html", "absent.html"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("absent.html").exists());
    let output = shaper(folder.path(), &["analyze", "-", "--html", "stdin.html"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--html reads the capture more than once"));
}
