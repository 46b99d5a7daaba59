//! `shaper profile preview --from`: a run's arrivals, decided again as the kernel did.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;
use std::process::Command;

use runs::Ended;
use serde_json::Value;
use support::{SHAPER, on_own_host};

/// How `profile preview --from` of a run ends, and what it says.
fn previewed(run: &Ended) -> (Option<i32>, String) {
    let output = Command::new(SHAPER).args(["profile", "preview", "--from"]).arg(&run.out).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// That all packets of a run come out again.
fn all_agreed(run: &Ended, all: usize) {
    let (code, told) = previewed(run);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with(&format!("agreed {all} of {all}\n")), "{told}");
}

#[test]
fn a_preview_from_the_run_decides_every_packet_as_the_kernel_did() {
    let effects = "delay = \"10ms\"\njitter = \"4ms\"\nloss = \"10% burst 2\"\nrate = \"2mbit\"\nqueue = \"20ms\"\n\
                   duplicate = \"5%\"\ncorrupt = \"5%\"\n";
    let down = "outages]\nscheduled = [{ at = \"500ms\", length = \"100ms\" }]\n";
    let profiles = [
        format!("{effects}[{down}[[rule]]\nmatch = \"tcp\"\nloss = \"50%\"\n"),
        format!("loss = \"1%\"\n[[rule]]\nmatch = \"tcp\"\n[[rule]]\nmatch = \"udp\"\n{effects}[rule.{down}"),
    ];
    on_own_host(|host| {
        let path = host.folder.path().join("effects.toml");
        for (profile, rule) in profiles.iter().zip([0, 2]) {
            fs::write(&path, profile).unwrap();
            let run =
                host.run(&format!("probe --profile {} --packets 2000 --interval 500us --seed 21", path.display()));
            let packets = run.summary().directions["a_to_b"].measured.packets;
            assert!(packets >= 2000, "{packets}");
            let rows = fs::read_to_string(run.out.join("records.csv")).unwrap();
            let of_rule = rows.lines().filter(|row| row.starts_with(&format!("0,{rule},"))).count();
            assert!(of_rule >= 2000, "{of_rule} by rule {rule}");
            for cause in ["none", "loss", "queue", "outage"] {
                assert!(rows.contains(&format!(",{cause},")), "none with cause {cause}");
            }
            let all = rows.lines().count() - 2;
            all_agreed(&run, all);
            // And would tell one that was not.
            let (head, last) = rows.trim_end().rsplit_once('\n').unwrap();
            let mut cells: Vec<&str> = last.split(',').collect();
            cells[10] = if cells[10] == "none" { "loss" } else { "none" };
            fs::write(run.out.join("records.csv"), format!("{head}\n{}\n", cells.join(","))).unwrap();
            let (code, told) = previewed(&run);
            assert_eq!(code, Some(1), "{told}");
            assert!(told.starts_with(&format!("agreed {} of {all}\n", all - 1)), "{told}");
        }
    });
}

#[test]
fn a_preview_from_the_run_follows_settings_that_change_and_begin_anew() {
    // Each in turn, and the queue and the correlated loss go on from one to the next.
    let profile = r#"
        delay = "10ms"
        loss = "10% burst 2"
        rate = "3mbit"
        queue = "40ms"
        loop = "400ms"
        [[change]]
        at = "100ms"
        delay = "110ms"
        duplicate = "20%"
        [[change]]
        at = "200ms"
        delay = "210ms"
        rate = "1mbit"
        [[change]]
        at = "300ms"
        delay = "310ms"
        loss = "50%"
        jitter = "2ms"
    "#;
    on_own_host(|host| {
        let path = host.folder.path().join("changes.toml");
        fs::write(&path, profile).unwrap();
        let run = host.run(&format!("probe --profile {} --packets 3000 --interval 500us --seed 22", path.display()));
        let rows = fs::read_to_string(run.out.join("records.csv")).unwrap();
        let all = rows.lines().count() - 2;
        assert!(all >= 3000, "{all}");
        // A queue of 40 ms and jitter of 2 ms are less than from one delay to the next.
        let forward = rows.lines().filter(|row| row.starts_with("0,") && row.contains(",none,"));
        let held = forward.map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            let number = |at: usize| cells[at].parse::<u64>().unwrap();
            ((number(11) - number(3)) / 1_000_000).saturating_sub(5) / 100
        });
        let held: Vec<u64> = held.collect();
        let of_each: Vec<usize> = (0..4).map(|which| held.iter().filter(|held| **held == which).count()).collect();
        assert!(
            of_each.iter().all(|packets| *packets > 50) && of_each.iter().sum::<usize>() == held.len(),
            "{of_each:?}"
        );
        let anew = held.windows(2).filter(|pair| pair[0] == 3 && pair[1] == 0).count();
        assert!(anew >= 2, "1.5 s are more than three rounds, and {anew} began anew");
        all_agreed(&run, all);
        // And with other settings from a change on it would not.
        let manifest = run.out.join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        let (ours, others) = ("310ms", "311ms");
        assert!(text.contains(ours), "{text}");
        fs::write(&manifest, text.replace(ours, others)).unwrap();
        let (code, told) = previewed(&run);
        assert_eq!(code, Some(1), "{told}");
        let agreed: usize = told.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(agreed < all && agreed > all / 2, "{told}");
    });
}

#[test]
fn a_preview_from_the_run_follows_its_traces_from_anywhere() {
    let fast = |ms: u64| if ms % 5 == 4 { 12_000 } else { 0 };
    let over_time: String = (0..=200).map(|ms| format!("{ms},{},{}\n", fast(ms), 5 + ms % 50)).collect();
    let by_packet: String =
        (0..500).map(|number| format!("{},{}\n", 9_000 + number, u64::from(number % 9 == 2))).collect();
    let traces = [format!("time_ms,rate_kbit,delay_ms\n{over_time}"), format!("delay_us,lost\n{by_packet}")];
    on_own_host(|host| {
        let (path, trace) = (host.folder.path().join("trace.toml"), host.folder.path().join("trace.csv"));
        for (text, cause) in traces.iter().zip(["queue", "loss"]) {
            fs::write(&trace, text).unwrap();
            fs::write(&path, "trace = \"trace.csv loop\"\njitter = \"2ms\"\n").unwrap();
            let run =
                host.run(&format!("probe --profile {} --packets 3000 --interval 500us --seed 23", path.display()));
            // The run keeps what it followed.
            fs::remove_file(&trace).unwrap();
            let rows = fs::read_to_string(run.out.join("records.csv")).unwrap();
            let all = rows.lines().count() - 2;
            let dropped = rows.lines().filter(|row| row.contains(&format!(",{cause},"))).count();
            assert!(all >= 3000 && dropped > 100, "{dropped} of {all} dropped for {cause}");
            all_agreed(&run, all);
            // And by another trace it would not.
            let kept = run.out.join("profile-trace.csv");
            fs::write(&kept, fs::read_to_string(&kept).unwrap().replace("12000", "11000").replace("9100", "9200"))
                .unwrap();
            let (code, told) = previewed(&run);
            assert_eq!(code, Some(1), "{told}");
        }
    });
}

#[test]
fn a_run_is_decided_again_from_anywhere_and_without_the_files_that_its_profile_named() {
    on_own_host(|host| {
        let links = host.folder.path().join("links");
        fs::create_dir(&links).unwrap();
        fs::write(links.join("quick.csv"), "time_ms,delay_ms\n0,5\n500,40\n").unwrap();
        fs::write(links.join("quick.toml"), "loss = \"5%\"\ntrace = \"quick.csv\"\n").unwrap();
        fs::write(host.folder.path().join("delays.txt"), "0 1ms\n1 9ms\n").unwrap();
        // The profile's path is relative to itself, the flag's to where the command was given.
        let out = host.folder.path().join("kept");
        let probe = "probe --profile links/quick.toml --packets 1000 --interval 1ms --seed 5";
        let run = host.start_with(probe, &out, |command| {
            command.args(["--distribution", "table delays.txt"]).current_dir(host.folder.path());
        });
        let run = run.end();
        let measured = &run.summary().directions["a_to_b"].measured;
        assert_eq!(measured.packets, 1000, "{}", run.stderr);
        assert!(measured.intended_delay_ms.max.unwrap() > 30.0, "{measured:?}");
        fs::remove_dir_all(&links).unwrap();
        let moved = host.folder.path().join("moved");
        fs::rename(&out, &moved).unwrap();
        let again =
            Command::new(SHAPER).args(["profile", "preview", "--from", "."]).current_dir(&moved).output().unwrap();
        let said = String::from_utf8(again.stdout).unwrap();
        assert!(said.starts_with("agreed 1000 of 1000\n"), "{said}{}", String::from_utf8_lossy(&again.stderr));
        assert!(said.contains("1000 packets recorded in .\n") && said.contains("\ndelay        mean "), "{said}");
        // And run again, with what was kept.
        let manifest: Value = serde_json::from_slice(&fs::read(moved.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["profile_files"]["profile-quick.csv"], links.join("quick.csv").to_str().unwrap());
        fs::write(moved.join("again.toml"), manifest["profile_toml"].as_str().unwrap()).unwrap();
        let probe = format!("probe --profile {}/again.toml --packets 100 --interval 1ms", moved.display());
        assert_eq!(host.run(&probe).summary().directions["a_to_b"].measured.packets, 100);
    });
}
