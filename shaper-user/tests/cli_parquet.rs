//! `shaper analyze --parquet`: what it writes, read by DuckDB, is what `--json` says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/duckdb.rs"]
mod duckdb;

use std::path::Path;
use std::process::{Command, Output};

use duckdb::Table;
use serde_json::{Value, json};

fn captures(sample: &str) -> [String; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    ["a", "b"].map(|end| folder.join(format!("{sample}-{end}.pcapng")).to_str().unwrap().to_owned())
}

fn shaper(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).arg("analyze").args(arguments).output().unwrap()
}

/// The sample's analysis, and its packets in a new file.
fn analysed(sample: &str, folder: &Path) -> (Value, Table) {
    let [a, b] = captures(sample);
    let file = folder.join(format!("{sample}.parquet"));
    let output = shaper(&[&a, &b, "--json", "--parquet", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), Table::open(&file))
}

#[test]
fn columns_have_types_and_their_names_are_those_of_csv() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table) = analysed("wifi", folder.path());
    let columns = table.columns();
    let [a, b] = captures("wifi");
    let csv = folder.path().join("rows.csv");
    assert!(shaper(&[&a, &b, "--csv", csv.to_str().unwrap()]).status.success());
    let csv = std::fs::read_to_string(csv).unwrap();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(","), csv.lines().next().unwrap());
    for (name, kind) in &columns {
        let wanted = match name.as_str() {
            "way" | "flow" | "fate" => "VARCHAR",
            "time_a_ns" | "time_b_ns" => "TIMESTAMPTZ_NS",
            _ => "BIGINT",
        };
        assert_eq!(kind, wanted, "{name}");
    }
    let keys = ["schema", "schema_version", "a", "none"];
    let told = keys.map(|key| table.metadata(&format!("shaper.{key}")));
    assert_eq!(told, [Some("compared".to_owned()), Some("1".to_owned()), Some(a), None]);
}

#[test]
fn packets_add_up_to_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    for sample in ["wifi", "queue", "kept-order"] {
        let (analysis, mut table) = analysed(sample, folder.path());
        for way in ["a_to_b", "b_to_a"] {
            let figures = &analysis[way];
            for fate in ["matched", "lost", "corrupted", "unmatched", "edge"] {
                let counted = table.count(&format!("way = '{way}' AND fate = '{fate}'"));
                assert_eq!(json!(counted), figures[fate], "{sample} {way} {fate}");
            }
            let of = format!("way = '{way}' AND fate = 'matched'");
            let query = "SELECT min(delay_ns), quantile_disc(delay_ns, 0.5), max(delay_ns) FROM FILE WHERE";
            let delay = &figures["delay_ns"];
            let told = ["min", "p50", "max"].map(|name| delay.get(name).cloned().unwrap_or(Value::Null));
            assert_eq!(table.row(&format!("{query} {of}")), told, "{sample} {way}");
            let reordered = table.count(&format!("{of} AND extent IS NOT NULL"));
            assert_eq!(json!(reordered), figures["reordered"], "{sample} {way}");
        }
        // Times are of one clock, and a packet that is lost has one of them.
        assert_eq!(table.count("fate = 'lost' AND (time_b_ns IS NULL) = (time_a_ns IS NULL)"), 0, "{sample}");
        let apart = "CASE way WHEN 'a_to_b' THEN 1 ELSE -1 END * (epoch_ns(time_b_ns) - epoch_ns(time_a_ns))";
        let matched = table.count(&format!("fate = 'matched' AND {apart} = delay_ns"));
        assert_eq!(json!(matched), analysis["total"]["matched"], "{sample}");
    }
}

#[test]
fn one_table_at_a_time_and_of_two_points() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = captures("wifi");
    let file = folder.path().join("x.parquet");
    let name = file.to_str().unwrap();
    let refused = |arguments: &[&str], words: &str| {
        let output = shaper(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(words), "{arguments:?}: {told}");
    };
    refused(&[&a, "--parquet", name], "--parquet is of what lies between two points");
    refused(&[&a, &b, "--parquet", name, "--csv", "x.csv"], "cannot be used with");
    refused(&[&a, &b, "--parquet", "/no/such/folder/x.parquet"], "cannot be written: name another file");
    assert!(!file.exists());
    std::fs::write(&file, "mine").unwrap();
    refused(&[&a, &b, "--parquet", name], "cannot be written: name another file");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}
