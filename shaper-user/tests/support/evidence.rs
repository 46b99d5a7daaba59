//! What holds of every run: its accounts close and its captures open elsewhere.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use shaper_offline::pcapfile::{self, Reader, Tail};
use shaper_report::summary::{Severity, Summary};

use crate::runs::Ended;

/// Whether a finding of this severity has all of these words.
pub(crate) fn told(summary: &Summary, severity: Severity, words: &[&str]) -> bool {
    let says = |text: &str| words.iter().all(|word| text.contains(word));
    summary.findings.iter().any(|finding| finding.severity == severity && says(&finding.text))
}

/// Sees that every decision was replayed and every packet accounted for.
pub(crate) fn accounts_close(summary: &Summary) {
    let Summary { oracle, conservation, .. } = summary;
    assert_eq!((oracle.mismatches, oracle.unchecked), (0, 0), "{oracle:?}");
    assert_eq!(oracle.checked, conservation.total.arrived);
    for counts in conservation.by_direction.values() {
        assert_eq!((counts.difference, counts.held), (0, 0), "{conservation:?}");
    }
}

/// Sees that our reader, tshark and capinfos take every capture of a run, whole, and that Wireshark's dissectors find
/// nothing malformed and nothing worth a warning in it.
pub(crate) fn opens_without_a_warning(run: &Ended, summary: &Summary) {
    const COMPLAINTS: &str = "_ws.malformed || _ws.expert.severity >= 6291456";
    for (point, counts) in &summary.captures {
        let path = run.out.join(format!("{point}.pcapng"));
        let mut reader = Reader::open(&path).unwrap();
        while reader.next_packet().unwrap().is_some() {}
        assert_eq!((reader.format(), reader.tail()), (pcapfile::Format::PcapNg, Tail::Complete));
        assert_eq!(reader.packets(), counts.written);
        let lines = by_nobody("tshark", &["-n", "-r"], &path);
        assert_eq!(lines.lines().count() as u64, counts.written, "{}", path.display());
        // A port that the kernel chose may be a protocol's own, which our payload is not.
        let as_data = ["-d", "udp.port==1-65535,data", "-d", "tcp.port==1-65535,data"];
        let complaints = by_nobody("tshark", &[&["-n"], &as_data[..], &["-Y", COMPLAINTS, "-r"]].concat(), &path);
        assert_eq!(complaints, "", "{}", path.display());
        let told = by_nobody("capinfos", &["-M", "-c"], &path);
        let number = told.lines().find_map(|line| line.strip_prefix("Number of packets:")).map(str::trim);
        assert_eq!(number, Some(counts.written.to_string().as_str()), "{told}");
    }
}

/// The output of a program on a file; it must not complain. tshark complains of running as root.
fn by_nobody(program: &str, arguments: &[&str], path: &Path) -> String {
    const NOBODY: u32 = 65_534;
    let mut command = Command::new(program);
    command.args(arguments).arg(path).uid(NOBODY).gid(NOBODY).env("HOME", "/nonexistent").current_dir("/");
    let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}: `cargo xtask setup` installs it"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{program} {}: {complaint}", path.display());
    String::from_utf8(output.stdout).unwrap()
}
