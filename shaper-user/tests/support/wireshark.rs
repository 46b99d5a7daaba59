//! Captures in the hands of Wireshark's tools: they show what we wrote, and do not complain.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use shaper_offline::pcapfile::{Format, Reader, Tail};

/// Malformed, or worth a warning.
const COMPLAINTS: &str = "_ws.malformed || _ws.expert.severity >= 6291456";

/// Sees that our reader, tshark and capinfos take a pcapng, whole, with so many packets; that they show its comments,
/// verdicts and interface statistics; and that Wireshark's dissectors find nothing malformed and nothing worth a warning.
pub(crate) fn opens(path: &Path, packets: u64) {
    let mut reader = Reader::open(path).unwrap();
    let (mut comments, mut verdicts) = (0, 0);
    while let Some(packet) = reader.next_packet().unwrap() {
        comments += usize::from(packet.comments().next().is_some());
        verdicts += usize::from(packet.verdicts().next().is_some());
    }
    assert_eq!((reader.format(), reader.tail()), (Format::PcapNg, Tail::Complete));
    assert_eq!(reader.packets(), packets, "{}", path.display());
    let lines = |filter: &str| {
        let shown = by_nobody("tshark", &["-n", "-Y", filter, "-T", "fields", "-e", "frame.number", "-r"], path);
        shown.lines().count()
    };
    let shown = [lines("frame"), lines("frame.comment"), lines("frame.verdict")];
    assert_eq!(shown, [packets as usize, comments, verdicts], "{}", path.display());
    // A port that the kernel chose may be a protocol's own, which our payload is not.
    let as_data = ["-d", "udp.port==1-65535,data", "-d", "tcp.port==1-65535,data"];
    let complaints = by_nobody("tshark", &[&["-n"], &as_data[..], &["-Y", COMPLAINTS, "-r"]].concat(), path);
    assert_eq!(complaints, "", "{}", path.display());
    let told = by_nobody("capinfos", &["-M", "-c"], path);
    let number = told.lines().find_map(|line| line.strip_prefix("Number of packets:")).map(str::trim);
    assert_eq!(number, Some(packets.to_string().as_str()), "{told}");
    // tshark shows a file's blocks as items of one packet, of which it allows a million.
    if packets < 10_000 {
        statistics(path, &reader);
    }
}

/// Read as blocks instead of packets, a file shows its interface statistics.
fn statistics(path: &Path, reader: &Reader) {
    const RECEIVED: &str = "pcapng.options.option.data.interface.received";
    const DROPPED: &str = "pcapng.options.option.data.interface.dropped";
    let blocks = ["-X", "read_format:MIME Files Format", "-T", "fields", "-E", "aggregator=;"];
    let shown = by_nobody("tshark", &[&blocks[..], &["-e", RECEIVED, "-e", DROPPED, "-r"]].concat(), path);
    let of_all = |count: fn(&shaper_offline::pcapfile::InterfaceStatistics) -> Option<u64>| {
        let told = reader.interfaces().iter().map(|interface| interface.statistics.as_ref().and_then(count));
        told.map(|count| count.unwrap().to_string()).collect::<Vec<_>>().join(";")
    };
    let ours = format!("{}\t{}", of_all(|told| told.received), of_all(|told| told.dropped));
    assert_eq!(shown.trim_end(), ours, "{}", path.display());
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
