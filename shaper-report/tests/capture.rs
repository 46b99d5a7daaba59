//! The page of captures: whatever is put in, and however much.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use shaper_report::html::capture::{CapturePage, Cell, LoadPlot, PathFate, PathPlot, Plotted, Section, Table, page};
use shaper_report::summary::Severity;

const MS: i64 = 1_000_000;

/// One packet a millisecond, 5 ms on the way; of each ten the last three are lost, and each fifth is two places late.
fn path(packets: u64) -> PathPlot {
    let mut plot = PathPlot::default();
    for number in 0..packets {
        let fate = if number % 10 >= 7 {
            PathFate::Lost
        } else {
            PathFate::Arrived { delay_ns: Some(5 * MS), extent: (number % 5 == 0).then_some(2) }
        };
        plot.push(number * 1_000_000, fate);
    }
    plot
}

fn of(plots: Vec<Plotted>) -> String {
    let section = Section { heading: "The path".to_owned(), plots, ..Section::default() };
    page(&CapturePage { title: "a and b".to_owned(), sections: vec![section], ..CapturePage::default() }).unwrap()
}

fn of_paths(paths: &[(&str, PathPlot)]) -> String {
    of(vec![Plotted::Paths(paths.iter().map(|(name, plot)| ((*name).to_owned(), plot.clone())).collect())])
}

#[test]
fn every_kind_of_plot_is_there_for_each_direction_with_its_figures() {
    let text = of_paths(&[("A to B", path(1_000)), ("B to A", path(100))]);
    assert_eq!(text.matches("<svg ").count(), 10);
    for said in [
        "one-way delay of 700 packets; 300 were lost.",
        "Share of 700 packets with at most so much one-way delay.",
        "100 runs of 300 lost packets, the longest of 3.",
        "200 of 700 packets came after a later one, the largest extent is 2.",
        "Of 1000 packets dropped: outage 0, loss 300",
    ] {
        assert!(text.contains(said), "{said}");
    }
    // The same plot of both directions beside each other.
    let places = ["Delay over time, A to B", "Delay over time, B to A", "Distribution of delay, A to B"];
    assert!(places.map(|title| text.find(title).unwrap()).is_sorted());
}

#[test]
fn what_nobody_knows_is_neither_lost_nor_arrived_and_ends_a_run() {
    let mut plot = PathPlot::default();
    let fates = [PathFate::Lost, PathFate::Unknown, PathFate::Lost, PathFate::Arrived { delay_ns: None, extent: None }];
    for (at, fate) in (0..).zip(fates) {
        plot.push(at * 1_000_000, fate);
    }
    assert_eq!(plot.packets(), 4);
    let text = of_paths(&[("A to B", plot)]);
    assert!(text.contains("2 runs of 2 lost packets, the longest of 1."), "{text}");
    assert!(text.contains("Of 3 packets dropped"), "{text}");
    assert!(!text.contains("Delay over time"), "no delay is known");
}

#[test]
fn delays_that_clocks_do_not_tell_are_called_what_they_are() {
    let mut plot = PathPlot::of_variation();
    (0..10).for_each(|at| plot.push(at, PathFate::Arrived { delay_ns: Some(at as i64 * MS), extent: None }));
    let text = of_paths(&[("A to B", plot)]);
    assert!(text.contains("delay above the smallest in ms") && !text.contains("one-way delay"));
    let mut plot = PathPlot::default();
    [-5, 3].into_iter().for_each(|delay| plot.push(0, PathFate::Arrived { delay_ns: Some(delay), extent: None }));
    assert!(of_paths(&[("A to B", plot)]).contains("1 below 0, within the bound of the clocks, are shown as 0"));
}

#[test]
fn a_page_of_many_packets_is_no_larger_than_one_of_few() {
    let text = of_paths(&[("A to B", path(1_000_000))]);
    assert!(text.len() < 250_000, "{} bytes", text.len());
    assert!(text.contains("median as a line"));
}

#[test]
fn a_rate_is_that_of_the_bytes_and_of_a_moment_there_is_none() {
    let mut load = LoadPlot::default();
    load.push(0, 1250);
    assert!(!of(vec![Plotted::Load(Box::new(load.clone()))]).contains("<svg"));
    // 1,250 bytes each millisecond are 10 Mbit/s.
    (1..=1_000).for_each(|at| load.push(at * 1_000_000, 1250));
    let text = of(vec![Plotted::Load(Box::new(load))]);
    assert!(text.contains("rate in Mbit/s") && text.contains("10.0 Mbit/s over all"), "{text}");
}

#[test]
fn what_a_capture_says_cannot_become_markup_and_what_is_empty_is_left_out() {
    let mut table = Table::new("<i>flows", &["flow", "packets"]);
    table.rows.push(vec![Cell::Name("<b>name".to_owned()), Cell::Count(1)]);
    let empty =
        Section { heading: "Nothing".to_owned(), tables: vec![Table::new("none", &["x"])], ..Section::default() };
    let text = page(&CapturePage {
        title: "<img>".to_owned(),
        about: vec!["<u>path".to_owned()],
        tiles: vec![(Cell::Text("<s>".to_owned()), "<em>".to_owned())],
        findings: vec![(Severity::Warning, "<script>".to_owned())],
        sections: vec![Section { heading: "<h9>".to_owned(), tables: vec![table], ..Section::default() }, empty],
        footer: "<p>end".to_owned(),
    })
    .unwrap();
    for markup in ["<img", "<u>", "<s>", "<em>", "<script", "<h9", "<i>", "<b>name", "<p>end", "Nothing"] {
        assert!(!text.contains(markup), "{markup} came through");
    }
    assert!(text.contains("<li class=\"warning\">"));
}
