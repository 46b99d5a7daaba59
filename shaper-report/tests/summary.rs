//! `summary.json`: what is written is read back, and its keys stay where they are.

mod common;

use shaper_report::summary::{SCHEMA_VERSION, Severity, Summary, SummaryError};

#[test]
fn a_summary_reads_back_as_it_was_written() {
    let (summary, _) = common::sample(640).unwrap();
    let text = summary.to_json().unwrap();
    assert!(text.ends_with("}\n"));
    assert_eq!(Summary::from_json(&text).unwrap(), summary);
}

#[test]
fn the_keys_that_others_read_stand_where_the_schema_says() {
    let (summary, _) = common::sample(640).unwrap();
    let json: serde_json::Value = serde_json::from_str(&summary.to_json().unwrap()).unwrap();
    for (pointer, expected) in [
        ("/schema_version", SCHEMA_VERSION.to_string()),
        ("/exit_code", "0".to_owned()),
        ("/directions/a_to_b/configured/loss_ratio", "0.05".to_owned()),
        ("/directions/a_to_b/measured/packets", "640".to_owned()),
        ("/directions/b_to_a/agree/result", "\"too_few\"".to_owned()),
        ("/oracle/mismatches", "0".to_owned()),
        ("/conservation/in", "1200".to_owned()),
        ("/conservation/difference", "0".to_owned()),
        ("/conservation/by_direction/a_to_b/held", "0".to_owned()),
        ("/commands/total/delivery_ratio/of", "108".to_owned()),
        ("/commands/peers/b/missed", "3".to_owned()),
        ("/time_to_state_ms/missing_as", "\"infinite\"".to_owned()),
        ("/time_to_state_ms/p99", "null".to_owned()),
        ("/spread_ms", "null".to_owned()),
        ("/grade/result", "\"GOOD\"".to_owned()),
        ("/grade/parts/sync/result", "\"HIGH\"".to_owned()),
        ("/findings/0/severity", "\"warning\"".to_owned()),
        ("/commands/peers/b/superseded", "1".to_owned()),
        ("/latency_split/stages/0/stage", "\"burst\"".to_owned()),
        ("/latency_split/unanswered", "1".to_owned()),
        ("/tempo", "{}".to_owned()),
        ("/leave", "{}".to_owned()),
    ] {
        let found = json.pointer(pointer).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(expected.as_str()), "{pointer}");
    }
}

#[test]
fn another_schema_and_a_broken_file_are_refused_with_the_reason() {
    let (mut summary, _) = common::sample(64).unwrap();
    summary.schema_version = SCHEMA_VERSION + 1;
    let error = Summary::from_json(&summary.to_json().unwrap()).unwrap_err();
    assert!(matches!(error, SummaryError::Version { found } if found == SCHEMA_VERSION + 1), "{error}");
    let error = Summary::from_json("{\"schema_version\": 1,\n \"run\": }").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn findings_stand_with_the_gravest_first() {
    let (mut summary, _) = common::sample(64).unwrap();
    summary.find(Severity::Error, "first error");
    summary.find(Severity::Note, "last note");
    summary.find(Severity::Error, "second error");
    let texts: Vec<_> = summary.findings.iter().map(|finding| finding.text.as_str()).collect();
    assert_eq!((texts[0], texts[1], texts.last()), ("first error", "second error", Some(&"last note")));
}
