//! `shaper report` and `shaper compare` as they are called: on directories of runs made of the sample captures, on
//! benchmarks, and on what is neither. No root, with and without the feature `live`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn shaper(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shaper")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A run that cannot be made of this: exit code 2, nothing on standard output, and these words.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = shaper(arguments);
    let told = text(&output.stderr);
    assert_eq!((code(&output), text(&output.stdout).as_str()), (Some(2), ""), "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{arguments:?}: {word} is not in: {told}");
    }
}

/// The directory of the run that a sample is from, without its records and its manifest.
fn sample(name: &str, folder: &Path) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let run = folder.join(name);
    fs::create_dir(&run).unwrap();
    fs::copy(captures.join(format!("{name}.run.json")), run.join("summary.json")).unwrap();
    for host in ["a", "b"] {
        fs::copy(captures.join(format!("{name}-{host}.pcapng")), run.join(format!("{host}.pcapng"))).unwrap();
    }
    run
}

/// A copy of a run with another summary.
fn changed(run: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let copy = run.with_file_name(name);
    fs::create_dir(&copy).unwrap();
    for file in ["a.pcapng", "b.pcapng"] {
        fs::copy(run.join(file), copy.join(file)).unwrap();
    }
    let mut summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    change(&mut summary);
    fs::write(copy.join("summary.json"), summary.to_string()).unwrap();
    copy
}

#[test]
fn the_page_of_a_run_comes_from_its_captures_and_says_what_they_do_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("wifi", folder.path());
    let name = run.to_str().unwrap();
    let output = shaper(&["report", name]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    for plot in ["Delay over time", "Fates over time", "Losses in a row", "Reordering", "Backlog over time", "Lateness"]
    {
        for direction in ["a to b", "b to a"] {
            assert!(page.contains(&format!("<h3>{plot}, {direction}</h3>")), "{plot}, {direction}");
        }
    }
    for missing in ["records.csv", "manifest.json", "times count from its first packet", "from command to state"] {
        assert!(page.contains(missing) && text(&output.stderr).contains(missing), "{missing}");
    }
    // What is there is not written over, unless that is asked for.
    refused(&["report", name], &["report.html: is there already", "-o FILE"]);
    assert_eq!(code(&shaper(&["report", name, "--force"])), Some(0));
    let printed = shaper(&["report", name, "-o", "-"]);
    assert_eq!(text(&printed.stdout), page);
}

#[test]
fn losses_and_delays_of_the_page_are_those_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("queue", folder.path());
    let page = text(&shaper(&["report", run.to_str().unwrap(), "-o", "-"]).stdout);
    // Of the 400 packets the run says that 76 were dropped by the queue and 15 at random.
    assert!(page.contains("Of 400 packets dropped: outage 0, loss 15, queue 76, harness 0."), "{page}");
    assert!(page.contains("309 packets came through, 91 were dropped outside outages."));
}

#[test]
fn records_bring_arrivals_and_intended_delays_and_captures_the_actual_ones() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("kept-order", folder.path());
    let head = "# shaper records 1 start_ns=1000000\n\
                direction,rule,sequence,arrival_ns,len,flow_hash,network,transport,payload,ecn,cause,release_ns,\
                spacing_ns,copies,marked,flips,damage_at,repaired\n";
    // 400 packets, one a millisecond; each to wait 20 ms. Their captures say how late each was.
    let row = |number: u64| {
        let arrival = number * 1_000_000;
        format!("0,0,{number},{arrival},214,1,14,34,42,0,none,{},0,0,0,0,0,0\n", arrival + 20_000_000)
    };
    let table: String = (0..400).map(row).collect();
    fs::write(run.join("records.csv"), format!("{head}{table}")).unwrap();
    let output = shaper(&["report", run.to_str().unwrap(), "-o", "-"]);
    let page = text(&output.stdout);
    assert!(page.contains("400 packets came through, 0 were dropped outside outages."), "{}", text(&output.stderr));
    assert!(page.contains("Share of 400 packets with at most so much delay."));
    // One a millisecond for 20 ms; the sample says that the latest left 5 ms after its time.
    let held = page.split_once("At most ").and_then(|(_, rest)| rest.split_once(" packets were held at once."));
    let held: u32 = held.unwrap().0.parse().unwrap();
    assert!((20..=26).contains(&held), "{held}");
    fs::write(run.join("records.csv"), format!("{head}0,0,0,what\n")).unwrap();
    refused(&["report", run.to_str().unwrap(), "-o", "-"], &["records.csv:3: no record"]);
}

#[test]
fn what_is_no_run_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("wifi", folder.path());
    let other = changed(&run, "later", |summary| summary["schema_version"] = json!(99));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let file = run.join("a.pcapng");
    let [run, other, empty, file] = [&run, &other, &empty, &file].map(|path| path.to_str().unwrap());
    refused(&["report", "/no/such/run"], &["/no/such/run: there is no such directory", "runs/mine"]);
    refused(&["report", empty], &["is no directory of a run", "summary.json"]);
    refused(&["report", file], &["is a file: name the directory of a run"]);
    refused(&["report", other], &["schema version 99", "use the version that made it"]);
    refused(&["report", run, "-o", "/no/such/folder/page.html"], &["cannot be written", "-o FILE"]);
    refused(&["compare", run, "/no/such/run"], &["/no/such/run: there is no such directory"]);
    refused(&["compare", run, empty], &["is no directory of a run"]);
    refused(&["compare", run, other], &["schema version 99"]);
    refused(&["compare", run, run], &["one and the same"]);
    refused(&["compare", run, file], &["is no JSON"]);
    refused(&["compare", run, run, "--threshold", "five"], &["want percent, such as 5%"]);
    refused(&["compare", run, empty, "--noise", "9%"], &["--noise is more than --threshold"]);
}

#[test]
fn a_run_beside_its_copy_has_no_regression() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("wifi", folder.path());
    let copy = changed(&run, "again", |summary| summary["run"]["kernel"] = json!("9.9"));
    let (a, b) = (run.to_str().unwrap(), copy.to_str().unwrap());
    let output = shaper(&["compare", a, b, "--json"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["regressions"], &found["schema_version"]), (&json!(0), &json!(1)));
    assert_eq!(found["differences"][0]["what"], "kernel");
    let rows = found["rows"].as_array().unwrap();
    let row = |of: &str, metric: &str| rows.iter().find(|row| row["of"] == of && row["metric"] == metric).unwrap();
    let delay = row("a_to_b", "delay p50");
    assert_eq!((&delay["verdict"], &delay["change"]), (&json!("no_change"), &json!(0.0)));
    // As many as came through.
    assert_eq!(delay["n_a"], 237);
    assert!(delay["low"].as_f64() < Some(0.0) && delay["high"].as_f64() > Some(0.0));
    assert_eq!(row("a_to_b", "delay p99")["why"], "237 samples, it takes 1000");
    assert_eq!(row("application", "delivered")["verdict"], "no_change");
    // The same seed, the same resamples.
    assert_eq!(shaper(&["compare", a, b, "--json"]).stdout, output.stdout);
    let table = text(&shaper(&["compare", a, b, "--metric", "a_to_b delay"]).stdout);
    assert!(table.contains("kernel") && table.contains("delay p50") && !table.contains("lateness"), "{table}");
}

#[test]
fn a_loss_that_rose_is_a_regression_and_another_seed_is_not_compared_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let run = sample("queue", folder.path());
    let worse = changed(&run, "worse", |summary| {
        let loss = &mut summary["directions"]["a_to_b"]["measured"]["loss"];
        (loss["count"], loss["ratio"]) = (json!(150), json!(150.0 / 400.0));
        (loss["low"], loss["high"]) = (json!(0.329), json!(0.423));
    });
    let (a, b) = (run.to_str().unwrap(), worse.to_str().unwrap());
    let output = shaper(&["compare", a, b]);
    let table = text(&output.stdout);
    assert_eq!(code(&output), Some(1), "{table}{}", text(&output.stderr));
    assert!(table.contains("REGRESSION"), "{table}");
    assert_eq!(code(&shaper(&["compare", b, a])), Some(0), "what became better is none");
    let seed = changed(&run, "seed", |summary| summary["run"]["seed"] = json!(8));
    let seed = seed.to_str().unwrap();
    refused(&["compare", a, seed], &["cannot be compared", "seed (7 and 8)", "--force"]);
    let forced = shaper(&["compare", a, seed, "--force"]);
    assert_eq!(code(&forced), Some(0));
    assert!(text(&forced.stdout).contains("not comparable"));
    refused(&["compare", a, b, "--metric", "nothing"], &["no figure that both have"]);
}

#[test]
fn benchmarks_are_compared_by_their_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |name: &str, times: [f64; 5]| {
        let path = folder.path().join(name);
        let figure = json!({"suite": "wheel", "name": "1 held, 20 ms", "unit": "ns", "repeats": times});
        fs::write(&path, json!({"host": {"processor": "x"}, "figures": [figure]}).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = bench("a.json", [50.0, 50.5, 49.5, 50.1, 49.9]);
    let b = bench("b.json", [60.0, 60.5, 59.5, 60.1, 59.9]);
    let slower = shaper(&["compare", &a, &b]);
    assert_eq!(code(&slower), Some(1), "{}", text(&slower.stderr));
    assert!(text(&slower.stdout).contains("+20.00 %"), "{}", text(&slower.stdout));
    assert_eq!(code(&shaper(&["compare", &b, &a])), Some(0));
    let run = sample("wifi", folder.path());
    refused(&["compare", &a, run.to_str().unwrap()], &["one is a run, the other a series of benchmarks"]);
    fs::write(folder.path().join("c.json"), "{\"host\":{},\"figures\":[{}]}").unwrap();
    let broken = folder.path().join("c.json");
    refused(&["compare", &a, broken.to_str().unwrap()], &["c.json", "shaper-bench --json"]);
}
