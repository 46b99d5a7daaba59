//! DuckDB, to read tables that we write with other eyes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Takes queries line by line, and prints the rows that each finds as JSON.
const SERVE: &str = "\
import duckdb, json, sys
db = duckdb.connect()
for line in sys.stdin:
    print(json.dumps(db.execute(json.loads(line)).fetchall(), default=str), flush=True)";

/// A file, and a DuckDB that reads it.
pub(crate) struct Table {
    /// Its name in quotes.
    file: String,
    duckdb: Child,
    queries: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Table {
    pub(crate) fn open(file: &Path) -> Self {
        // Where `cargo xtask setup` puts it.
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/python/bin/python");
        let mut command = Command::new(&python);
        command.args(["-c", SERVE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut duckdb =
            started.unwrap_or_else(|e| panic!("{}: {e}: `cargo xtask setup` installs DuckDB", python.display()));
        let (queries, answers) = (duckdb.stdin.take().unwrap(), duckdb.stdout.take().unwrap());
        Self { file: format!("'{}'", file.display()), duckdb, queries, answers: BufReader::new(answers) }
    }

    /// The rows that a query finds. `FILE` in it stands for the file.
    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<Value>> {
        let query = query.replace("FILE", &self.file);
        let sent = writeln!(self.queries, "{}", json!(query));
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        assert!(sent.is_ok() && read.is_ok_and(|bytes| bytes > 0), "{query}: no answer; standard error says why");
        serde_json::from_str(&answer).unwrap()
    }

    /// What stands in the one row that a query finds.
    pub(crate) fn row(&mut self, query: &str) -> Vec<Value> {
        let mut rows = self.rows(query);
        assert_eq!(rows.len(), 1, "{query}");
        rows.remove(0)
    }

    /// How many rows are so.
    pub(crate) fn count(&mut self, condition: &str) -> u64 {
        self.row(&format!("SELECT count(*) FROM FILE WHERE {condition}"))[0].as_u64().unwrap()
    }

    /// The columns with their types.
    pub(crate) fn columns(&mut self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.rows("DESCRIBE SELECT * FROM FILE").iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
    }

    /// What stands under a key of the file's metadata.
    pub(crate) fn metadata(&mut self, key: &str) -> Option<String> {
        let query = format!("SELECT decode(value) FROM parquet_kv_metadata(FILE) WHERE decode(key) = '{key}'");
        Some(self.rows(&query).first()?[0].as_str()?.to_owned())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = self.duckdb.kill();
        let _ = self.duckdb.wait();
    }
}
