//! `packets.parquet` of a run, read by DuckDB, is what the run's summary and its captures say.

#![cfg(feature = "live")]

#[path = "support/duckdb.rs"]
mod duckdb;
#[path = "support/runs.rs"]
mod runs;
mod support;

use duckdb::Table;
use serde_json::json;
use shaper_offline::pcapfile::Reader;
use support::on_own_host;

#[test]
fn packets_of_a_run_add_up_to_its_summary() {
    on_own_host(|host| {
        let run = host.run("probe --profile wifi --duplicate 20% --packets 300 --interval 5ms --seed 5");
        let summary = run.summary();
        let mut table = Table::open(&run.out.join("packets.parquet"));

        let columns = table.columns();
        let named = |kind: &str| -> Vec<&str> {
            columns.iter().filter(|column| column.1 == kind).map(|column| column.0.as_str()).collect()
        };
        assert_eq!(named("VARCHAR"), ["run", "direction", "flow", "fate", "cause"]);
        assert_eq!(named("BOOLEAN"), ["changed", "marked", "ambiguous"]);
        let times = ["entered_ns", "decided_ns", "intended_ns", "released_ns", "left_ns"];
        assert_eq!(named("TIMESTAMPTZ_NS"), times);

        for (name, counts) in &summary.conservation.by_direction {
            let of = format!("direction = '{name}'");
            assert_eq!(table.count(&format!("{of} AND copy = 0")), counts.arrived, "{name}");
            assert_eq!(table.count(&format!("{of} AND copy > 0")), counts.copies, "{name}");
            let copies = table.row(&format!("SELECT coalesce(sum(copies), 0)::BIGINT FROM FILE WHERE {of}"));
            assert_eq!(copies, [counts.copies], "{name}");
            assert_eq!(table.count(&format!("{of} AND fate IN ('delivered', 'not_seen')")), counts.out, "{name}");
            for (cause, dropped) in &counts.dropped_by_cause {
                let found = table.count(&format!("{of} AND fate = 'dropped' AND cause = '{cause}'"));
                assert_eq!(found, *dropped, "{name} {cause}");
            }
        }
        let forward = &summary.directions["a_to_b"].measured;
        assert!(forward.loss.count > 0 && summary.conservation.by_direction["a_to_b"].copies > 20);
        let delay = forward.one_way_delay_ms.as_ref().unwrap();
        let query = "SELECT count(delay_ns), min(delay_ns) / 1e6, max(delay_ns) / 1e6 \
                     FROM FILE WHERE direction = 'a_to_b' AND copy = 0";
        let told: Vec<f64> = table.row(query).iter().map(|value| value.as_f64().unwrap()).collect();
        let close = |a: f64, b: Option<f64>| b.is_some_and(|b| (a - b).abs() < 1e-6);
        assert!(
            told[0] == delay.n as f64 && close(told[1], delay.min) && close(told[2], delay.max),
            "{told:?} {delay:?}"
        );

        // Every time in its place, for whatever came through. The captures' clock and the engine's are told by each other
        // to within microseconds.
        let order = "epoch_ns(entered_ns) < epoch_ns(decided_ns) + 1000000 AND decided_ns <= intended_ns \
                     AND lateness_ns >= 0 AND delay_ns > 0";
        assert_eq!(table.count(&format!("fate = 'delivered' AND NOT ambiguous AND NOT ({order})")), 0);
        assert_eq!(table.count("flow IS NULL OR run IS NULL OR decided_ns IS NULL"), 0);
        assert_eq!(table.count("flow LIKE 'UDP 10.%:9000' AND direction = 'a_to_b' AND copy = 0"), 300);
        assert_eq!(table.row("SELECT count(DISTINCT (link, packet_id, copy)) = count(*) FROM FILE"), [true]);

        // Frames are those that the captures number so.
        let query = "SELECT frame_entered, packet_id, epoch_ns(entered_ns) FROM FILE \
                     WHERE direction = 'a_to_b' AND copy = 0 ORDER BY frame_entered LIMIT 50";
        let rows = table.rows(query);
        let mut reader = Reader::open(run.out.join("a.pcapng")).unwrap();
        let mut wanted = rows.iter();
        let mut next = wanted.next();
        while let Some(packet) = reader.next_packet().unwrap() {
            let Some(row) = next.filter(|row| row[0] == json!(packet.index + 1)) else { continue };
            assert_eq!(row[1], json!(packet.packetid().unwrap()));
            assert_eq!(row[2], json!(packet.ts_ns.unwrap()));
            next = wanted.next();
        }
        assert_eq!((rows.len(), next), (50, None));

        let mut about = |key: &str| table.metadata(&format!("shaper.{key}")).unwrap();
        assert_eq!(["seed", "workload", "records"].map(&mut about), ["5", "probe", "all"]);
        let name = about("run");
        assert_eq!(table.row("SELECT any_value(run) FROM FILE"), [name]);
    });
}
