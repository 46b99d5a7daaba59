//! Rows read back as Parquet are those of CSV, cell by cell.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::cell::{Cell, Column, Kind, Table};
use super::compared;
use super::parquet::Parquet;
use super::run::{Flows, LinkRows, RunRows};
use crate::analyze::{Capture, Comparison, Options};
use crate::join::{
    CaptureIndex, Cause, ClockMap, ClockSample, EngineCopy, EngineLog, EngineRecord, JoinOptions, Key, Point, join,
};
use crate::pcapfile::Reader;
use crate::writer::{NewInterface, NewPacket, Section, Writer};

/// A file read back: names of columns with their kinds, rows as text, and the metadata.
struct Back {
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<String>>,
    metadata: BTreeMap<String, String>,
    groups: usize,
}

impl Back {
    fn of(file: File) -> Self {
        let reader = SerializedFileReader::new(file).unwrap();
        let metadata = reader.metadata();
        let kind = |logical: Option<&LogicalType>, physical: String| match (logical, physical.as_str()) {
            (Some(LogicalType::String), "BYTE_ARRAY") => Kind::Text,
            (Some(LogicalType::Timestamp(of)), "INT64") if of.unit == TimeUnit::NANOS && of.is_adjusted_to_u_t_c => {
                Kind::Time
            }
            (None, "INT64") => Kind::Number,
            (None, "BOOLEAN") => Kind::Flag,
            other => panic!("{other:?}"),
        };
        let columns = metadata.file_metadata().schema_descr().columns().iter();
        let columns = columns.map(|column| {
            let physical = column.physical_type().to_string();
            (column.name().to_owned(), kind(column.logical_type_ref(), physical))
        });
        let cell = |field: &Field| match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Long(number) => number.to_string(),
            Field::Bool(flag) => flag.to_string(),
            other => panic!("{other:?}"),
        };
        let rows = reader.get_row_iter(None).unwrap();
        let pairs = metadata.file_metadata().key_value_metadata().unwrap().iter();
        Self {
            columns: columns.collect(),
            rows: rows.map(|row| row.unwrap().get_column_iter().map(|(_, field)| cell(field)).collect()).collect(),
            metadata: pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect(),
            groups: metadata.num_row_groups(),
        }
    }

    fn column(&self, name: &str) -> Vec<&str> {
        let at = self.columns.iter().position(|(column, _)| column == name).unwrap();
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }
}

#[test]
fn csv_and_parquet_have_the_same_cells() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let [a, b] = ["wifi-a.pcapng", "wifi-b.pcapng"].map(|name| captures.join(name));
    let options = Options::default();
    let comparison = Comparison { a: Capture::whole(&a), b: Capture::whole(&b), only: None, options };
    let mut csv = Vec::new();
    let (_, rows) = compared::write_csv(&comparison, &mut csv).unwrap();
    let rows = rows.unwrap();
    let file = tempfile::tempfile().unwrap();
    let (analysis, written) = compared::write_parquet(&comparison, "test", file.try_clone().unwrap()).unwrap();
    assert_eq!(written.unwrap(), rows);
    let back = Back::of(file);
    let text = String::from_utf8(csv).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(|cell| cell.trim_matches('"')).collect::<Vec<_>>());
    let names: Vec<&str> = back.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(lines.next().unwrap(), names);
    assert!(rows > 250 && rows as usize == back.rows.len());
    for (row, line) in back.rows.iter().zip(lines) {
        assert_eq!(*row, line);
    }
    let of = |kind| back.columns.iter().filter(|column| column.1 == kind).map(|column| column.0.as_str()).collect();
    let [times, texts]: [Vec<&str>; 2] = [of(Kind::Time), of(Kind::Text)];
    assert_eq!((times, texts), (vec!["time_a_ns", "time_b_ns"], vec!["way", "flow", "fate"]));
    let lost = back.column("fate").into_iter().filter(|fate| *fate == "lost").count() as u64;
    assert!(lost > 0 && lost == analysis.total.lost);
    assert_eq!(back.metadata["shaper.schema"], "compared");
    assert_eq!(back.metadata["shaper.clock_offset_ns"], "0");
}

#[test]
fn rows_beyond_a_group_and_cells_that_are_empty_come_back_as_they_were() {
    const ROWS: i64 = (1 << 17) + 3;
    const COLUMNS: [Column; 4] = [
        Column::new("at_ns", Kind::Time),
        Column::new("name", Kind::Text),
        Column::new("number", Kind::Number),
        Column::new("flag", Kind::Flag),
    ];
    let file = tempfile::tempfile().unwrap();
    let about = [("run", "x".to_owned())].into_iter();
    let mut table = Parquet::new(file.try_clone().unwrap(), &COLUMNS, ("test", 7), "test", about).unwrap();
    let number = |row: i64| (row % 5 != 0).then(|| row.wrapping_mul(i64::MAX / 7));
    for row in 0..ROWS {
        let name = format!("flow {}", row % 3);
        let name = if row % 4 == 0 { Cell::Empty } else { Cell::Text(&name) };
        table.row(&[Cell::Number(i64::MIN + row), name, Cell::number(number(row)), Cell::Flag(row % 2 == 0)]).unwrap();
    }
    table.finish().unwrap();
    let back = Back::of(file);
    assert_eq!((back.groups, back.rows.len() as i64), (2, ROWS));
    for (row, cells) in (0..).zip(&back.rows) {
        let name = if row % 4 == 0 { String::new() } else { format!("flow {}", row % 3) };
        let number = number(row).map_or_else(String::new, |number| number.to_string());
        assert_eq!(*cells, [(i64::MIN + row).to_string(), name, number, (row % 2 == 0).to_string()], "row {row}");
    }
    assert_eq!((back.metadata["shaper.schema_version"].as_str(), back.metadata["shaper.run"].as_str()), ("7", "x"));
}

#[test]
fn a_table_without_rows_still_has_its_columns() {
    let file = tempfile::tempfile().unwrap();
    let rows = RunRows::new(file.try_clone().unwrap(), "empty", "test", [].into_iter()).unwrap();
    assert_eq!(rows.finish().unwrap(), 0);
    let back = Back::of(file);
    assert_eq!((back.rows.len(), back.columns.len()), (0, 25));
}

const EPOCH: i64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const PASS: Cause = Cause { code: 0, name: "none" };
const LOSS: Cause = Cause { code: 2, name: "loss" };

/// A datagram from 10.0.0.1 to this port of 10.0.0.2, with this checksum.
fn datagram(port: u16, checksum: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88]);
    for word in [port, 12, checksum] {
        frame.extend(word.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame
}

/// What a tap saw: milliseconds, and datagrams of these ports and checksums.
fn capture(packets: &[(u64, u16, u16)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Section::default()).unwrap();
    let interface = NewInterface { name: "x", description: None, filter: None, linktype: 1, snaplen: 0 };
    let id = writer.add_interface(&interface).unwrap();
    for &(at, port, checksum) in packets {
        let data = datagram(port, checksum);
        let ts_ns = EPOCH + (at * MS) as i64;
        writer.packet(id, &NewPacket { ts_ns, origlen: 46, data: &data, ..NewPacket::default() }).unwrap();
    }
    writer.finish().unwrap()
}

/// Its port as the flow's hash; ports from 100 on share that of port 100.
fn hash(port: u16) -> u32 {
    port.min(100).into()
}

fn key(frame: &[u8]) -> Option<Key> {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    Some(Key { flow_hash: hash(word(36)), l4_checksum: word(40) })
}

#[test]
fn a_row_of_a_run_says_what_was_decided_and_what_both_captures_saw() {
    let clock = ClockMap::new(vec![ClockSample { before: 0, realtime: EPOCH, after: 0 }]).unwrap();
    let record = |direction, seq, at: u64, cause: Cause, port, checksum| EngineRecord {
        direction,
        seq,
        id: u64::from(direction) << 46 | seq,
        arrival_ns: at * MS,
        cause,
        rule: seq as u32,
        intended_ns: (!cause.is_drop()).then_some((at + 20) * MS),
        actual_ns: (!cause.is_drop()).then_some((at + 20) * MS + 300),
        len: 46,
        flow_hash: hash(port),
        l4_checksum: checksum,
        damaged: false,
        marked: checksum == 3,
        changed: None,
    };
    let records = [
        record(0, 0, 100, PASS, 7, 1),
        record(0, 1, 200, LOSS, 7, 2),
        record(0, 2, 300, PASS, 101, 3),
        record(0, 3, 400, PASS, 102, 4),
        EngineRecord { actual_ns: None, ..record(1, 0, 500, PASS, 8, 5) },
    ];
    // Two copies of the first, of which the second was not seen.
    let copies = [1, 2].map(|number: u32| {
        let intended_ns = (120 + u64::from(number)) * MS;
        EngineCopy { record: 0, number, intended_ns, actual_ns: intended_ns + 1 }
    });
    let log = EngineLog { records: &records, copies: &copies };
    let a = capture(&[(100, 7, 1), (200, 7, 2), (300, 101, 3), (400, 102, 4)]);
    let b = capture(&[(120, 7, 1), (121, 7, 1), (320, 101, 3), (500, 8, 5)]);
    let open = |bytes: &[u8]| Reader::from_bytes("test", bytes.to_vec()).unwrap();
    let [index_a, index_b] = [&a, &b].map(|bytes| CaptureIndex::read(&mut open(bytes), key).unwrap());
    let joined = join(&log, &index_a, &index_b, &clock, &JoinOptions::default());
    let mut flows = Flows::default();
    for (bytes, point) in [(&a, Point::A), (&b, Point::B)] {
        flows.read(&mut open(bytes), point, &log, &joined).unwrap();
    }

    let file = tempfile::tempfile().unwrap();
    let about = [("seed", "7".to_owned())].into_iter();
    let mut rows = RunRows::new(file.try_clone().unwrap(), "20231114T221320Z-x", "test", about).unwrap();
    let link = LinkRows {
        number: 0,
        directions: ["a_to_b", "b_to_a"],
        captured: [true, true],
        log: &log,
        joined: &joined,
        clock: &clock,
        flows: &flows,
    };
    rows.add(&link).unwrap();
    rows.add(&LinkRows { number: 1, captured: [true, false], ..link }).unwrap();
    assert_eq!(rows.finish().unwrap(), 14);
    let back = Back::of(file);
    let column = |name: &str| back.column(name)[..7].to_vec();
    assert_eq!(column("copy"), ["0", "1", "2", "0", "0", "0", "0"]);
    let fates = ["delivered", "delivered", "not_seen", "dropped", "delivered", "not_seen", "not_released"];
    assert_eq!(column("fate"), fates);
    assert_eq!(back.column("fate")[12], "released", "nobody looked where the second link ends");
    assert_eq!(column("cause"), ["", "", "", "loss", "", "", ""]);
    assert_eq!(column("copies"), ["2", "", "", "0", "0", "0", "0"]);
    assert_eq!(column("rule"), ["", "", "", "1", "2", "3", ""]);
    assert_eq!(column("direction")[5..], ["a_to_b", "b_to_a"]);
    assert_eq!(column("frame_entered"), ["1", "1", "1", "2", "3", "4", "4"]);
    assert_eq!(column("frame_left"), ["1", "2", "", "", "3", "", ""]);
    assert_eq!(column("marked").iter().position(|marked| *marked == "true"), Some(4));
    // Ports 101 and 102 share a hash: nobody knows whose packet it is.
    let name = "UDP 10.0.0.1:5000 > 10.0.0.2:7";
    assert_eq!(column("flow"), [name, name, name, name, "", "", "UDP 10.0.0.1:5000 > 10.0.0.2:8"]);
    let epoch = |ns: u64| (EPOCH + ns as i64).to_string();
    let first = |name: &str| back.column(name)[0].to_owned();
    let times = ["entered_ns", "decided_ns", "intended_ns", "released_ns", "left_ns"].map(first);
    let [arrival, intended] = [100 * MS, 120 * MS].map(epoch);
    assert_eq!(times, [arrival.clone(), arrival, intended.clone(), epoch(120 * MS + 300), intended]);
    assert_eq!((first("delay_ns"), first("lateness_ns")), ("20000000".into(), "300".into()));
    let copy = |name: &str| back.column(name)[1].to_owned();
    assert_eq!((copy("delay_ns"), copy("released_ns")), ("21000000".into(), epoch(121 * MS + 1)));
    for name in ["intended_ns", "released_ns", "left_ns", "delay_ns", "lateness_ns"] {
        assert_eq!(back.column(name)[3], "", "{name} of a packet that was dropped");
    }
    assert!(back.column("run").iter().all(|run| *run == "20231114T221320Z-x"));
    assert_eq!((back.metadata["shaper.schema"].as_str(), back.metadata["shaper.seed"].as_str()), ("run", "7"));
}
