//! Reading captures beside what others read them with: whole processes as a user starts them, on one processor, with the
//! files in the page cache. Rates are of processor time, start-up included; the time to the first line is by the clock.

mod program;
mod traffic;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::statvfs::statvfs;

use crate::Session;
use crate::report::{Aim, Figure};
use program::{Call, Peer, Pinned, Proof, Took};
pub(crate) use program::{on_path, version};
use traffic::{FLOWS, Kind, Traffic, Written};

const SUITE: &str = "peers";
/// Packets that tshark reads in some 3 s.
const SMALL: u64 = 400_000;
/// Bytes of the large file, and what is to be free on the disk for it.
const LARGE: u64 = 1_000_000_000;
const FREE: u64 = 3_000_000_000;
/// Packets at each of two points.
const PAIR: u64 = 1_000_000;
/// Frames of datagrams, and how many of them.
const DATAGRAMS: [(usize, u64); 3] = [(64, 4_000_000), (512, 1_000_000), (1_400, 500_000)];
/// Bytes of a frame of RTP: 20 ms of G.711.
const RTP: usize = 214;
/// What is aimed at: packets a second at one point and of both files at two, and how many times tshark.
const ONE_POINT: f64 = 20e6;
const TWO_POINTS: f64 = 10e6;
const TIMES_TSHARK: f64 = 100.0;

/// A program on an input.
struct Contender {
    /// As its rows name it.
    name: &'static str,
    peer: Peer,
    arguments: Vec<OsString>,
    proof: Proof,
    /// Once is enough of what takes long.
    once: bool,
}

/// Files, and who reads them.
struct Input {
    name: String,
    contents: Written,
    contenders: Vec<Contender>,
    /// The contender that others are compared with.
    baseline: &'static str,
    aim: Option<Aim>,
    /// Whether the time to the first line is a figure.
    first_line: bool,
}

/// A contender's samples, or why there are none.
type Samples = Result<Vec<Took>, String>;

/// Where the programs are.
struct Programs(HashMap<Peer, Result<PathBuf, String>>);

impl Programs {
    fn find(session: &Session, shaper: Option<&Path>) -> Result<Self> {
        let found: HashMap<_, _> = Peer::ALL.into_iter().map(|peer| (peer, peer.find(shaper))).collect();
        for peer in Peer::ALL {
            match found.get(&peer) {
                Some(Ok(path)) => {
                    let version =
                        program::version(path).unwrap_or_else(|| "of a version that it does not say".to_owned());
                    session.tell(&format!("{}: {version}", path.display()));
                }
                Some(Err(why)) if peer == Peer::Shaper => bail!("{why}"),
                Some(Err(why)) => session.tell(&format!("{peer}: {why}: its rows have no figures")),
                None => {}
            }
        }
        Ok(Self(found))
    }

    fn call(&self, contender: &Contender) -> Result<Call, String> {
        let program = self.0.get(&contender.peer).cloned().unwrap_or_else(|| Err("missing".to_owned()))?;
        Ok(Call { program, arguments: contender.arguments.clone(), proof: contender.proof.clone() })
    }
}

fn contender(name: &'static str, peer: Peer, arguments: &[&str], files: &[&Path], proof: Proof) -> Contender {
    let files = files.iter().map(|path| path.as_os_str().to_owned());
    let arguments = arguments.iter().map(OsString::from).chain(files).collect();
    Contender { name, peer, arguments, proof, once: false }
}

fn shaper(files: &[&Path], arguments: &[&str], proof: Proof) -> Contender {
    let name = if files.len() == 2 { "shaper analyze A B" } else { "shaper analyze" };
    contender(name, Peer::Shaper, &[&["analyze"], arguments].concat(), files, proof)
}

/// `shaper analyze` of one point.
fn analyze(path: &Path, packets: u64) -> Contender {
    shaper(&[path], &[], Proof::Words(format!("{packets} packets,")))
}

fn tcpdump(path: &Path, packets: u64) -> Contender {
    let words = Proof::Words(format!("{packets} packets"));
    contender("tcpdump --count", Peer::Tcpdump, &["--count", "-r"], &[path], words)
}

fn tshark(path: &Path, packets: u64) -> Contender {
    let streams = Proof::Streams { streams: FLOWS, packets };
    let arguments = ["-q", "-z", "rtp,streams", "-d", "udp.port==7001,rtp", "-r"];
    contender("tshark -z rtp,streams", Peer::Tshark, &arguments, &[path], streams)
}

/// Without `-M` its numbers are rounded.
fn capinfos(path: &Path, packets: u64, count_alone: bool) -> Contender {
    let words = Proof::Words(format!("Number of packets: {packets}"));
    let (name, arguments) = if count_alone { ("capinfos -c", &["-M", "-c"][..]) } else { ("capinfos", &["-M"][..]) };
    contender(name, Peer::Capinfos, arguments, &[path], words)
}

/// Where `shaper` is: the one that is named, or the one beside this program.
///
/// # Errors
///
/// That it is not there, and where to get it.
pub(crate) fn shaper_program(named: Option<&Path>) -> Result<PathBuf, String> {
    Peer::Shaper.find(named)
}

pub(crate) fn measure(session: &Session, shaper: Option<&Path>) -> Result<Vec<Figure>> {
    let programs = Programs::find(session, shaper)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let pinned = Pinned::to_last()?;
    session.tell(&format!("reading captures in {}, on processor {}", folder.path().display(), pinned.processor));
    let mut figures = rtp(session, &programs, folder.path())?;
    for (length, packets) in DATAGRAMS {
        figures.extend(datagrams(session, &programs, folder.path(), (length, packets))?);
    }
    for kind in [Kind::Udp, Kind::Rtp] {
        figures.extend(pair(session, &programs, folder.path(), kind)?);
    }
    figures.extend(large(session, &programs, folder.path())?);
    Ok(figures)
}

/// Makes a file, with what it is on an error.
fn made<T>(session: &Session, name: &str, path: &Path, make: impl FnOnce() -> io::Result<T>) -> Result<T> {
    session.check()?;
    session.tell(&format!("writing {name}"));
    make().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Streams of RTP, as a file and compressed.
fn rtp(session: &Session, programs: &Programs, folder: &Path) -> Result<Vec<Figure>> {
    let [path, packed] = ["rtp.pcap", "rtp.pcap.gz"].map(|name| folder.join(name));
    let name = format!("{FLOWS} RTP streams");
    let until = Written { packets: SMALL, bytes: 0 };
    let contents = made(session, &name, &path, || traffic::one_point(&path, Traffic::new(Kind::Rtp, RTP), until))?;
    made(session, "the same in gzip", &packed, || {
        let mut encoder = GzEncoder::new(File::create(&packed)?, Compression::fast());
        io::copy(&mut File::open(&path)?, &mut encoder)?;
        encoder.finish().map(drop)
    })?;
    let packets = contents.packets;
    let plain = Input {
        contenders: vec![tshark(&path, packets), tcpdump(&path, packets), analyze(&path, packets)],
        baseline: "tshark -z rtp,streams",
        aim: Some(Aim::TimesBaseline(TIMES_TSHARK)),
        first_line: false,
        name: name.clone(),
        contents,
    };
    // libpcap, and with it tcpdump, reads no compressed files.
    let gzip = Input {
        name: format!("{name} in gzip"),
        contents,
        contenders: vec![tshark(&packed, packets), capinfos(&packed, packets, true), analyze(&packed, packets)],
        baseline: "tshark -z rtp,streams",
        aim: None,
        first_line: false,
    };
    let mut figures = taken(session, programs, &plain)?;
    figures.extend(taken(session, programs, &gzip)?);
    removed(&[&path, &packed])?;
    Ok(figures)
}

/// Datagrams of one size.
fn datagrams(
    session: &Session,
    programs: &Programs,
    folder: &Path,
    (length, packets): (usize, u64),
) -> Result<Vec<Figure>> {
    let path = folder.join("udp.pcap");
    let name = format!("UDP, {length} bytes");
    let until = Written { packets, bytes: 0 };
    let contents = made(session, &name, &path, || traffic::one_point(&path, Traffic::new(Kind::Udp, length), until))?;
    let input = Input {
        contenders: vec![tcpdump(&path, packets), analyze(&path, packets)],
        baseline: "tcpdump --count",
        aim: Some(Aim::Above(ONE_POINT)),
        first_line: false,
        name,
        contents,
    };
    let figures = taken(session, programs, &input)?;
    removed(&[&path])?;
    Ok(figures)
}

/// Two points: no other program matches them.
fn pair(session: &Session, programs: &Programs, folder: &Path, kind: Kind) -> Result<Vec<Figure>> {
    let [a, b] = ["a.pcap", "b.pcap"].map(|name| folder.join(name));
    let (name, length) = match kind {
        Kind::Udp => ("two points, UDP of 512 bytes", 512),
        Kind::Rtp => ("two points, RTP", RTP),
    };
    let ([at_a, at_b], came) =
        made(session, name, &a, || traffic::two_points([&a, &b], Traffic::new(kind, length), PAIR))?;
    let input = Input {
        name: name.to_owned(),
        contents: Written { packets: at_a.packets + at_b.packets, bytes: at_a.bytes + at_b.bytes },
        contenders: vec![shaper(&[&a, &b], &["--same-clock"], Proof::Words(format!("matched {came} ")))],
        baseline: "",
        aim: Some(Aim::Above(TWO_POINTS)),
        first_line: false,
    };
    let figures = taken(session, programs, &input)?;
    removed(&[&a, &b])?;
    Ok(figures)
}

/// A file of 1 GB: reading, and how long one waits for an answer.
fn large(session: &Session, programs: &Programs, folder: &Path) -> Result<Vec<Figure>> {
    let path = folder.join("large.pcap");
    let name = "RTP, 1 GB";
    let disk = statvfs(folder).with_context(|| format!("{}: cannot read how much is free", folder.display()))?;
    let free = disk.blocks_available() * disk.fragment_size();
    let room = (free < FREE).then(|| {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        format!("{:.1} GB free in {}, {:.0} GB wanted", gigabytes(free), folder.display(), gigabytes(FREE))
    });
    let until = Written { packets: 0, bytes: LARGE };
    let contents = match &room {
        Some(why) => {
            session.tell(&format!("{name} is left out: {why}"));
            Written::default()
        }
        None => made(session, name, &path, || traffic::one_point(&path, Traffic::new(Kind::Rtp, RTP), until))?,
    };
    let packets = contents.packets;
    let input = Input {
        contenders: vec![
            capinfos(&path, packets, false),
            capinfos(&path, packets, true),
            tcpdump(&path, packets),
            Contender { once: true, ..tshark(&path, packets) },
            analyze(&path, packets),
        ],
        baseline: "capinfos",
        aim: Some(Aim::Above(ONE_POINT)),
        first_line: true,
        name: name.to_owned(),
        contents,
    };
    if let Some(why) = room {
        let none = input.contenders.iter().map(|_| Err(why.clone())).collect();
        return Ok(figures(&input, none));
    }
    let figures = taken(session, programs, &input)?;
    removed(&[&path])?;
    Ok(figures)
}

fn removed(paths: &[&Path]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        std::fs::remove_file(path).with_context(|| format!("{}: cannot be removed", path.display()))
    })
}

/// All contenders in turn, once for nothing, so that files and programs are in the page cache, then as often as asked for.
fn taken(session: &Session, programs: &Programs, input: &Input) -> Result<Vec<Figure>> {
    session.tell(&format!("reading {}, {} packets", input.name, input.contents.packets));
    let calls: Vec<Result<Call, String>> = input.contenders.iter().map(|one| programs.call(one)).collect();
    let mut samples: Vec<Samples> =
        calls.iter().map(|call| call.as_ref().map(|_| Vec::new()).map_err(Clone::clone)).collect();
    for round in 0..=session.repeats {
        for ((contender, call), samples) in input.contenders.iter().zip(&calls).zip(&mut samples) {
            session.check()?;
            let (Ok(call), Ok(taken)) = (call, samples.as_mut()) else { continue };
            // What goes once goes last, when all is warm.
            if contender.once && round < session.repeats {
                continue;
            }
            match call.take() {
                Ok(took) if round > 0 => taken.push(took),
                Ok(_) => {}
                // A peer without figures leaves those of others standing.
                Err(error) => {
                    session.tell(&format!("{error:#}"));
                    *samples = Err(format!("{error:#}"));
                }
            }
        }
    }
    Ok(figures(input, samples))
}

/// Rates by packets and by bytes, and what a user waits.
fn figures(input: &Input, samples: Vec<Samples>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (contender, samples) in input.contenders.iter().zip(samples) {
        let name = |contender: &str, what: &str| format!("{}: {contender}{what}", input.name);
        let mut add = |unit: &'static str, what: &str, of: &dyn Fn(&Took) -> f64, aim: Option<Aim>| {
            let figure = match &samples {
                Ok(taken) => Figure::new(SUITE, name(contender.name, what), unit, taken.iter().map(of).collect()),
                Err(why) => Figure::missing(SUITE, name(contender.name, what), unit, why),
            };
            let is_compared = !input.baseline.is_empty();
            let figure = if is_compared { figure.against(name(input.baseline, what)) } else { figure };
            figures.push(match aim.filter(|_| contender.peer == Peer::Shaper) {
                Some(aim) => figure.aim(aim),
                None => figure,
            });
        };
        let Written { packets, bytes } = input.contents;
        add("packets/s", "", &|took| packets as f64 / took.processor, input.aim);
        add("bytes/s", "", &|took| bytes as f64 / took.processor, None);
        add("s", ", start to end", &|took| took.elapsed, None);
        if input.first_line {
            add("s", ", start to first line", &|took| took.first_line, None);
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::report::Report;

    #[test]
    fn a_missing_peer_has_rows_that_say_so_and_no_figure() {
        let path = Path::new("/nowhere.pcap");
        let input = Input {
            name: "RTP".to_owned(),
            contents: Written { packets: 400, bytes: 80_000 },
            contenders: vec![tshark(path, 400), analyze(path, 400)],
            baseline: "tshark -z rtp,streams",
            aim: Some(Aim::TimesBaseline(100.0)),
            first_line: false,
        };
        let took = |processor| Took { processor, elapsed: processor, first_line: processor };
        let told = |samples: Vec<Samples>| {
            let mut report = Report::new(Host::read());
            report.add(figures(&input, samples));
            (serde_json::to_value(report.json()).unwrap()["figures"].clone(), report.table())
        };
        let (json, table) = told(vec![Err("missing: tshark".to_owned()), Ok(vec![took(0.5), took(0.25)])]);
        assert_eq!((&json[0]["missing"], &json[0]["median"]), (&"missing: tshark".into(), &serde_json::Value::Null));
        assert_eq!(json[0]["repeats"], serde_json::json!([]));
        assert_eq!((&json[3]["repeats"], &json[3]["unit"]), (&serde_json::json!([800.0, 1600.0]), &"packets/s".into()));
        // Nothing is known of what is compared with nothing.
        assert!(json[3]["ratio"].is_null() && json[3]["met"].is_null());
        assert!(table.contains("missing: tshark"), "{table}");
        let (json, _) = told(vec![Ok(vec![took(100.0)]), Ok(vec![took(0.5)])]);
        assert_eq!((&json[3]["ratio"], &json[3]["met"]), (&200.0.into(), &true.into()));
        let (json, _) = told(vec![Ok(vec![took(10.0)]), Ok(vec![took(0.5)])]);
        assert_eq!((&json[3]["ratio"], &json[3]["met"]), (&20.0.into(), &false.into()));
    }
}
