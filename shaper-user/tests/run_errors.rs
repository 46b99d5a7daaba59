//! What cannot be run is refused before anything is touched: one clear message with its place, and exit code 2. No test
//! here needs root.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const NOBODY: u32 = 65_534;

/// An empty folder to run in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn shaper(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
        command.args(arguments.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Refused with a message that has these words, and nothing more in the folder.
    fn refuses(&self, arguments: &str, words: &[&str]) {
        let before = self.names();
        refused(&self.shaper(arguments), arguments, words);
        assert_eq!(self.names(), before, "shaper {arguments}");
    }
}

fn refused(output: &Output, arguments: &str, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "shaper {arguments}: {message}");
    assert!(output.stdout.is_empty(), "shaper {arguments}: {}", String::from_utf8_lossy(&output.stdout));
    // The message itself is one line; behind a wrong argument it is said what would be right, and where help is.
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("shaper: ") || first.starts_with("error: "), "shaper {arguments}: {message}");
    assert!(
        lines.all(|line| line.is_empty() || line.starts_with("Usage: ") || line.contains("--help")),
        "shaper {arguments}: {message}"
    );
    for word in words {
        assert!(first.contains(word), "shaper {arguments}: {word:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "shaper {arguments}: {message}");
}

#[test]
fn what_a_run_cannot_be_is_said_with_the_flag_and_an_example() {
    let folder = Folder::new();
    for (arguments, words) in [
        ("run toast --profile wfi", &["wfi", "wifi", "clean, "][..]),
        ("run toast --profile nosuch.toml", &["nosuch.toml", "No such file"]),
        ("run toast --loss -5%", &["--loss", "-5%", "negative", "0.5%"]),
        ("run toast --loss 101%", &["--loss", "101%", "100%"]),
        ("run toast --loss nan%", &["--loss", "nan%"]),
        ("run toast --jitter -1ms", &["--jitter", "-1ms", "negative"]),
        ("run toast --latency 20", &["--latency", "20", "unit", "20ms"]),
        ("run toast --rate 1mbit --queue 10B", &["--queue", "10 B", "one packet", "64kB"]),
        ("run toast --duration 0s", &["--duration 0", "20s"]),
        ("run toast --duration 0", &["--duration 0", "20s"]),
        ("run toast --peers 0", &["--peers 0", "1 to"]),
        ("run toast --peers 1000", &["--peers 1000", "1 to"]),
        ("run toast --late x@5s", &["--late", "x", "b"]),
        ("run toast --late b", &["--late", "'b'", "b@5s"]),
        ("run toast --leave x@5s", &["--leave", "x", "b"]),
        ("run toast --absent x", &["--absent", "x", "b"]),
        ("run toast --late b@60s", &["--late b@60s", "after 20 s", "--late b@10s"]),
        ("run toast --spacing 999us", &["--spacing 999us", "1000 commands a second", "--spacing 100ms"]),
        ("run toast --tempo 100,nan", &["--tempo NaN", "--tempo 100,140"]),
        ("run toast --clock b@3", &["--clock", "b@3", "b@2500us,40ppm"]),
        ("run toast --clock x@3ms", &["--clock", "x", "b"]),
        ("run probe --packets 0", &["--packets 0", "10000"]),
        ("run probe --packets 50000001", &["--packets 50000001", "50000000"]),
        ("run probe --interval 0s", &["--interval 0", "1ms"]),
        ("run probe --payload 1", &["--payload 1", "16 to"]),
        ("run probe --payload 1473", &["--payload 1473", "to 1472"]),
        ("run nothing", &["nothing"]),
    ] {
        folder.refuses(arguments, words);
    }
}

#[test]
fn a_mistake_in_a_profile_is_said_with_file_line_and_column() {
    let folder = Folder::new();
    for (text, words) in [
        ("name = \"x\"\ndelay = \"abc\"\n", &["bad.toml:2:9", "delay", "20ms"][..]),
        ("name = \"x\"\nloss = \"-5%\"\n", &["bad.toml:2:8", "loss", "negative"]),
        ("name = \"x\"\ndelai = \"5ms\"\n", &["bad.toml:2:1", "delai", "delay"]),
        ("name = \"x\"\nloss\n", &["bad.toml:2:5"]),
    ] {
        folder.write("bad.toml", text.as_bytes());
        folder.refuses("run toast --profile bad.toml", words);
    }
}

#[test]
fn without_root_a_run_says_how_to_get_it() {
    let folder = Folder::new();
    // Nobody may not reach the folder that this was built in.
    let copy = folder.path().join("shaper");
    // By another process: a descriptor of ours that writes to it, inherited by what another test starts meanwhile,
    // would keep it from being run.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_shaper")).arg(&copy).status().unwrap().success());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in ["run toast", "run probe --out here"] {
        let mut command = Command::new(&copy);
        command.args(arguments.split_whitespace()).current_dir(folder.path()).stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        refused(&command.output().unwrap(), arguments, &["root", "sudo"]);
        assert_eq!(folder.names(), ["shaper"], "shaper {arguments}");
    }
}

/// A classic pcap file in nanoseconds with this many packets of 60 bytes.
fn capture(packets: u8) -> Vec<u8> {
    let mut file = Vec::new();
    // Magic, version 2.4, zone, accuracy, snapshot length, Ethernet.
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for packet in 0..packets {
        for word in [1_700_000_000, u32::from(packet) * 1_000, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend([packet; 60]);
    }
    file
}

#[test]
fn a_capture_that_is_missing_or_none_is_said_with_its_name() {
    let folder = Folder::new();
    folder.write("whole.pcap", &capture(3));
    folder.write("empty.pcap", b"");
    folder.write("text.pcap", b"this is no capture, but a text that is long enough for one");
    folder.write("head.pcap", &capture(3)[..10]);
    for (arguments, words) in [
        ("analyze missing.pcap", &["missing.pcap", "No such file"][..]),
        ("analyze whole.pcap missing.pcap", &["missing.pcap", "No such file"]),
        ("analyze missing.pcap whole.pcap --json", &["missing.pcap", "No such file"]),
        ("analyze empty.pcap", &["empty.pcap", "0 bytes"]),
        ("analyze text.pcap", &["text.pcap", "byte 0"]),
        ("analyze head.pcap", &["head.pcap"]),
        ("analyze whole.pcap head.pcap", &["head.pcap"]),
        ("analyze whole.pcap -", &["-: a comparison", "write it to a file first"]),
    ] {
        folder.refuses(arguments, words);
    }
}

#[test]
fn a_capture_that_is_cut_off_is_read_up_to_the_cut_and_is_an_error() {
    let folder = Folder::new();
    let whole = capture(3);
    folder.write("whole.pcap", &whole);
    // In the middle of the third packet, which begins behind the header and two packets.
    let third = 24 + 2 * 76;
    folder.write("cut.pcap", &whole[..third + 40]);
    let said = |arguments: &str, code: i32| {
        let output = folder.shaper(arguments);
        let [text, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(code), "shaper {arguments}: {error}");
        (text, error)
    };
    let place = format!("cut.pcap: cut off at byte {third}");
    let told = |error: &str| {
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(&place) && error.contains("copy the file whole"), "{error}");
    };
    let (text, error) = said("analyze cut.pcap", 2);
    assert!(text.contains("2 packets") && text.contains(&format!("cut off at byte {third}")), "{text}");
    told(&error);
    let (text, error) = said("analyze whole.pcap", 0);
    assert!(text.contains("3 packets") && !text.contains("cut off") && error.is_empty(), "{text}{error}");
    let (text, error) = said("analyze whole.pcap cut.pcap --json", 2);
    told(&error);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["files"][0]["cut_at"], serde_json::Value::Null);
    assert_eq!(found["files"][1]["cut_at"], third);
    assert!(found["findings"].to_string().contains("cut off at byte"), "{text}");
    let (text, error) = said("analyze cut.pcap --json", 2);
    told(&error);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["cut_at"], third);
}
