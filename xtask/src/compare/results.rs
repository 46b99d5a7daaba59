//! What the measuring program wrote, read back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the lines begin with that hold results.
const LINE: &str = "SHAPER-COMPARE ";
/// Of the lines.
const SCHEMA: u64 = 1;

/// All runs of a call, and what packets cost on the host that it was made on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) runs: Vec<Run>,
    #[serde(default)]
    pub(crate) costs: Vec<Cost>,
}

/// One run: one kernel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: u64,
    pub(crate) emulated: bool,
    /// Its clock went by instructions.
    #[serde(default)]
    pub(crate) counted: bool,
    pub(crate) probes: u64,
    pub(crate) repeats: u64,
    /// Runnable tasks of the machine before it.
    pub(crate) load: f64,
    /// It came to its end without an error.
    pub(crate) whole: bool,
    pub(crate) rows: Vec<Row>,
}

/// What one contender did with one setting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) setting: String,
    pub(crate) contender: String,
    pub(crate) reason: Option<String>,
    pub(crate) figures: BTreeMap<String, f64>,
}

/// Nanoseconds of a processor that a packet takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) what: String,
    pub(crate) nanos: f64,
    /// The kernel and the processor that it was measured on.
    pub(crate) host: String,
}

impl Run {
    /// Takes a line; false when it is none of results.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        // The console may have something in front of it.
        let Some((_, json)) = line.split_once(LINE) else { return false };
        let Ok(value) = serde_json::from_str::<Value>(json) else { return false };
        if value["schema"] == SCHEMA {
            let host = &value["host"];
            self.kernel = host["kernel"].as_str().unwrap_or("unknown").to_owned();
            self.processor = host["processor"].as_str().unwrap_or("unknown").to_owned();
            self.processors = host["processors"].as_u64().unwrap_or(0);
            self.emulated = value["emulated"] == true;
            self.probes = value["probes"].as_u64().unwrap_or(0);
            self.repeats = value["repeats"].as_u64().unwrap_or(0);
            self.load = host["load_before"].as_f64().unwrap_or(0.0);
            return true;
        }
        serde_json::from_value(value).map(|row| self.rows.push(row)).is_ok()
    }

    /// The program has ended, in order or not.
    pub(crate) fn ended(&mut self, whole: bool) -> Result<()> {
        ensure!(!self.kernel.is_empty(), "the comparison wrote no results");
        self.whole = whole;
        Ok(())
    }

    /// The settings, in their order.
    pub(crate) fn settings(&self) -> Vec<&str> {
        in_order(self.rows.iter().map(|row| row.setting.as_str()))
    }

    /// Who was compared in any of these settings, in their order.
    pub(crate) fn contenders(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        in_order(self.rows.iter().filter(|row| wanted(&row.setting)).map(|row| row.contender.as_str()))
    }

    /// What one did with one setting.
    pub(crate) fn row(&self, setting: &str, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.setting == setting && row.contender == contender)
    }

    /// A figure of that.
    pub(crate) fn figure(&self, setting: &str, contender: &str, name: &str) -> Option<f64> {
        self.row(setting, contender)?.figures.get(name).copied()
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The benchmarks' figures that a line rate is told from: suite, name there, name here.
const COSTS: [(&str, &str, &str); 5] = [
    ("decision", "clean", "decision alone, clean"),
    ("decision", "all at once", "decision alone, all effects at once"),
    ("link", "engine, clean, straight, no records, 64 B: processor time of the busiest thread", "xsk, nothing held"),
    ("link", "engine, clean, no records, 64 B: processor time of the busiest thread", "xsk, through the delay line"),
    ("link", "engine, 20 ms +- 5 ms, 64 B: processor time of the busiest thread", "xsk, 20 ms ± 5 ms, with records"),
];

/// What the benchmarks wrote as JSON, as costs of a packet.
pub(crate) fn costs(json: &str) -> Result<Vec<Cost>> {
    let value: Value = serde_json::from_str(json).context("the benchmarks did not write JSON")?;
    let word = |key: &str| value["host"][key].as_str().unwrap_or("unknown").to_owned();
    let host = format!("Linux {}, {}", word("kernel"), word("processor"));
    let find = |suite: &str, name: &str| {
        let figures = value["figures"].as_array().into_iter().flatten();
        figures.filter(|one| one["suite"] == suite && one["name"] == name).find_map(|one| one["median"].as_f64())
    };
    // The decision's time is told beyond that of an empty program.
    let empty = find("decision", "empty").unwrap_or(0.0);
    let cost = |(suite, name, what): &(&str, &str, &str)| {
        let nanos = find(suite, name)? + if *suite == "decision" { empty } else { 0.0 };
        Some(Cost { what: (*what).to_owned(), nanos, host: host.clone() })
    };
    Ok(COSTS.iter().filter_map(cost).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of three contenders, one of which is not there.
    pub(crate) fn run() -> Run {
        let mut run = Run::default();
        for line in [
            r#"SHAPER-COMPARE {"schema":1,"host":{"kernel":"6.12","processor":"TCG","processors":2},"emulated":true,"probes":100,"repeats":3}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"netem","figures":{"median_us":100.0,"p99_us":400.0,"pps":10000.0,"cpu_ns":50000.0}}"#,
            r#"[  3.1] noise SHAPER-COMPARE {"setting":"delay 20 ms","contender":"xsk","figures":{"median_us":50.0,"p99_us":800.0,"pps":5000.0,"cpu_ns":100000.0}}"#,
            r#"SHAPER-COMPARE {"setting":"delay 20 ms","contender":"edt","reason":"this kernel has no fq","figures":{}}"#,
            r#"SHAPER-COMPARE {"setting":"16 rules","contender":"netem, u32","figures":{"pps":9000.0,"cpu_ns":55000.0,"setup_s":0.5}}"#,
            r#"SHAPER-COMPARE {"setting":"16 rules","contender":"xsk","figures":{"pps":5000.0,"cpu_ns":100000.0,"setup_s":2.0}}"#,
        ] {
            assert!(run.line(line), "{line}");
        }
        assert!(!run.line("bench: delay 20 ms, netem: median_us 100"));
        run.ended(true).unwrap();
        run
    }

    #[test]
    fn results_are_read_from_the_lines_that_hold_them() {
        let run = run();
        assert_eq!((run.kernel.as_str(), run.emulated), ("6.12", true));
        assert_eq!(run.settings(), ["delay 20 ms", "16 rules"]);
        assert_eq!(run.contenders(|_| true), ["netem", "xsk", "edt", "netem, u32"]);
        assert_eq!(run.figure("delay 20 ms", "xsk", "median_us"), Some(50.0));
        assert_eq!(run.row("delay 20 ms", "edt").unwrap().reason.as_deref(), Some("this kernel has no fq"));
    }

    #[test]
    fn a_run_without_results_is_an_error() {
        assert!(Run::default().ended(true).is_err());
    }

    #[test]
    fn a_decision_costs_what_an_empty_program_does_and_what_it_takes_beyond() {
        let json = r#"{"host":{"kernel":"6.18","processor":"X"},"figures":[
            {"suite":"decision","name":"empty","median":25.0},{"suite":"decision","name":"clean","median":63.0}]}"#;
        let costs = costs(json).unwrap();
        assert_eq!(costs.len(), 1);
        assert_eq!((costs[0].nanos, costs[0].host.as_str()), (88.0, "Linux 6.18, X"));
    }
}
