//! The page: one file, complete, whatever the run.

mod common;

use shaper_report::html::{DirectionPlot, Outcome, PacketPoint, Plots, Treated, Treatment, report};
use shaper_report::summary::Severity;

/// How often a text occurs in another.
fn occurrences(text: &str, of: &str) -> usize {
    text.matches(of).count()
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let (summary, plots) = common::sample(640).unwrap();
    let page = report(&summary, &plots).unwrap();
    for reference in ["http", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert_eq!(occurrences(&page, reference), 0, "the page refers to something by {reference}");
    }
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
}

#[test]
fn every_plot_has_a_title_and_words_for_those_who_do_not_see_it() {
    let (summary, plots) = common::sample(640).unwrap();
    let page = report(&summary, &plots).unwrap();
    // Seven plots a direction, the commands over time, and the latency split.
    assert_eq!(occurrences(&page, "<svg "), 16);
    assert_eq!(occurrences(&page, "</svg>"), 16);
    for each in ["role=\"img\"", "<desc>", "<figcaption>"] {
        assert_eq!(occurrences(&page, each), 16, "{each}");
    }
    // One a plot, and the page's own.
    assert_eq!(occurrences(&page, "<title>"), 17);
}

#[test]
fn what_a_run_says_of_itself_cannot_become_markup() {
    let (mut summary, mut plots) = common::sample(64).unwrap();
    summary.run.name = "<img name>".to_owned();
    summary.find(Severity::Error, "<b>bold</b> & more");
    let direction = summary.directions.remove("a_to_b").unwrap();
    summary.directions.insert("<i>\"x\"".to_owned(), direction);
    let plot = plots.directions.remove("a_to_b").unwrap();
    plots.directions.insert("<i>\"x\"".to_owned(), plot);
    let page = report(&summary, &plots).unwrap();
    for markup in ["<img", "<b>bold", "<i>"] {
        assert_eq!(occurrences(&page, markup), 0, "{markup} came through");
    }
    assert!(page.contains("&lt;b&gt;bold&lt;/b&gt; &amp; more"));
}

#[test]
fn a_run_without_packets_still_has_a_page() {
    let (mut summary, _) = common::sample(64).unwrap();
    let page = report(&summary, &Plots::default()).unwrap();
    assert_eq!(occurrences(&page, "<svg "), 1, "only the latency split is left");
    summary.directions.clear();
    summary.latency_split = None;
    summary.commands = None;
    summary.run.duration_s = 0.0;
    assert_eq!(occurrences(&report(&summary, &Plots::default()).unwrap(), "<svg "), 0);
}

#[test]
fn plots_of_one_packet_or_of_none_that_came_through_are_drawn() {
    let (summary, _) = common::sample(64).unwrap();
    let one = |outcome| DirectionPlot::from_iter(&[PacketPoint { at_ns: 0, outcome }]);
    // Delay and fates over time, the latency split; and the backlog of one, or the run of one.
    for plot in [one(Outcome::Delivered { delay_ns: 0 }), one(Outcome::Dropped { cause: "loss".into() })] {
        let plots = Plots { directions: [("a_to_b".to_owned(), plot)].into(), ..Plots::default() };
        let page = report(&summary, &plots).unwrap();
        assert_eq!(occurrences(&page, "<svg "), 4);
        assert_eq!(occurrences(&page, "NaN"), 0);
    }
}

#[test]
fn copies_changes_and_marks_have_dots_and_a_key_of_their_own() {
    let (summary, mut plots) = common::sample(640).unwrap();
    let treatments = [(Treatment::Copied, "copy"), (Treatment::Changed, "changed"), (Treatment::Marked, "marked")];
    let untreated = report(&summary, &plots).unwrap();
    let larger = occurrences(&untreated, "r=\"5\"");
    for (number, (how, class)) in (0u64..).zip(treatments) {
        assert_eq!(occurrences(&untreated, &format!("class=\"swatch {class}\"")), 0);
        let one = Treated { at_ns: 1_000_000 * number, delay_ns: 5_000_000, how };
        plots.directions.get_mut("a_to_b").unwrap().treat(&one);
        let page = report(&summary, &plots).unwrap();
        assert_eq!(occurrences(&page, &format!("class=\"swatch {class}\"")), 1, "{class}");
        assert_eq!(occurrences(&page, "r=\"5\""), larger + 1 + number as usize, "{class}");
    }
    // Of a great many there is one for each stretch of time.
    let many = (0..100_000).map(|number| Treated { at_ns: 60_000 * number, delay_ns: 1, how: Treatment::Marked });
    many.for_each(|one| plots.directions.get_mut("a_to_b").unwrap().treat(&one));
    assert!(occurrences(&report(&summary, &plots).unwrap(), "r=\"5\"") <= larger + 482);
}

#[test]
fn a_page_of_many_packets_is_no_larger_than_one_of_few() {
    let (summary, plots) = common::sample(300_000).unwrap();
    let page = report(&summary, &plots).unwrap();
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

#[test]
fn what_is_not_plotted_is_said() {
    let (summary, _) = common::sample(64).unwrap();
    let plots = Plots { notes: vec!["a_to_b: no capture <of a>".to_owned()], ..Plots::default() };
    assert!(report(&summary, &plots).unwrap().contains("a_to_b: no capture &lt;of a&gt;"));
}

#[test]
fn losses_in_a_row_stand_beside_what_is_configured() {
    let (mut summary, _) = common::sample(64).unwrap();
    let fates = (0..30_000u64).map(|number| PacketPoint {
        at_ns: 1_000_000 * number,
        outcome: if number % 10 < 3 {
            Outcome::Dropped { cause: "loss".into() }
        } else {
            Outcome::Delivered { delay_ns: 2_000_000 }
        },
    });
    let fates: Vec<PacketPoint> = fates.collect();
    let plots =
        Plots { directions: [("a_to_b".to_owned(), DirectionPlot::from_iter(&fates))].into(), ..Plots::default() };
    summary.directions.get_mut("a_to_b").unwrap().configured.loss_burst = Some(2.5);
    let page = report(&summary, &plots).unwrap();
    assert!(page.contains("mean 3.00, configured 2.50"), "{page}");
    assert!(page.contains("3000 runs of 9000 lost packets, the longest of 3."));
    // Nothing overtakes anything at one delay for all.
    assert_eq!(occurrences(&page, "Reordering, a to b"), 0);
    assert!(page.contains("At most 2 packets were held at once."), "{page}");
}
