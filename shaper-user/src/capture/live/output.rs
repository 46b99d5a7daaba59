//! The file, or the files of a ring: each whole in itself, with what each interface received and dropped at its end.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use nix::unistd::fchown;
use shaper_engine::clock;
use shaper_offline::writer::{Comment, InterfaceId, NewInterface, NewPacket, Section, Statistics, WriteError, Writer};
use shaper_profile::quantity::Size;

use super::order::Packet;
use super::pipe::{Ending, Pipe, Taken};
use super::source::{Batch, Told};
use super::{Counted, Counts, Plan};
use crate::run::caller;

/// What is written at once.
const BUFFER: usize = 1 << 18;
/// The smallest file of a ring: the longest packet, and what describes it.
const SMALLEST: u64 = 1 << 20;

/// Several files in turn: so large, and so many of them are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    size: u64,
    files: u32,
}

impl FromStr for Ring {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || anyhow!("a ring is the size of a file and how many are kept, such as 100MBx10");
        let (size, files) = text.rsplit_once('x').ok_or_else(wrong)?;
        let Size(size) = size.parse().map_err(|error| anyhow!("{error}: a ring is such as 100MBx10"))?;
        let files = files.parse().ok().filter(|files| *files > 0).ok_or_else(wrong)?;
        if size < SMALLEST {
            return Err(anyhow!("the files of a ring are 1MiB at least, such as 100MBx10"));
        }
        Ok(Self { size, files })
    }
}

/// Counts what goes through it.
struct Counting<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

type Out = Writer<Counting<BufWriter<Box<dyn Write>>>>;

/// An interface as far as it is written down.
struct Point {
    linktype: u16,
    told: Told,
    /// Packets written.
    written: u64,
    /// Packets taken, and dropped, up to where the file was begun.
    before: (u64, u64),
}

/// The file that is being written.
struct Current {
    writer: Out,
    interfaces: Vec<InterfaceId>,
    began: i64,
    /// The latest stamp in it.
    last: Option<i64>,
    path: PathBuf,
    /// What somebody reads along, who may be behind.
    behind: Option<Behind>,
}

/// Packets that are on their way to who reads along.
struct Behind {
    taken: Rc<Taken>,
    /// Where each of them ends in the file, and its interface.
    ends: VecDeque<(u64, usize)>,
}

impl Behind {
    /// A packet more, which ends there.
    fn push(&mut self, end: u64, of: usize) {
        let out = self.taken.bytes();
        while self.ends.front().is_some_and(|(end, _)| *end <= out) {
            self.ends.pop_front();
        }
        self.ends.push_back((end, of));
    }

    /// By interface, how many are not out whole.
    fn left(&self) -> impl Iterator<Item = usize> {
        let out = self.taken.bytes();
        self.ends.iter().filter(move |(end, _)| *end > out).map(|(_, of)| *of)
    }
}

pub(super) struct Output<'a> {
    plan: &'a Plan,
    ending: Ending,
    points: Vec<Point>,
    current: Current,
    /// Files begun, and of a ring those that are still there.
    files: u64,
    kept: Vec<PathBuf>,
    /// Bytes of files that are complete.
    bytes: u64,
    /// When capturing ended.
    stopped: Option<i64>,
    /// The boot that the clock of stamps is of.
    boot: Option<String>,
}

impl<'a> Output<'a> {
    /// Begins the file, so that what cannot be written is told before anything is captured.
    pub(super) fn create(plan: &'a Plan, links: &[u16], ending: Ending) -> anyhow::Result<Self> {
        let point = |&linktype: &u16| Point { linktype, told: Told::default(), written: 0, before: (0, 0) };
        let points: Vec<Point> = links.iter().map(point).collect();
        if plan.ring.is_some() {
            check_ring(&plan.path)?;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
        let current = begin(plan, &points, boot.as_deref(), 1, &ending)?;
        let kept = vec![current.path.clone()];
        Ok(Self { plan, ending, points, current, files: 1, kept, bytes: 0, stopped: None, boot })
    }

    /// What an interface's capture has come to.
    pub(super) fn told(&mut self, batch: &Batch) {
        if let Some(point) = self.points.get_mut(batch.of) {
            point.told = batch.told;
        }
    }

    /// Whether as many packets as were asked for are written.
    pub(super) fn is_full(&self) -> bool {
        self.plan.count.is_some_and(|count| self.points.iter().map(|point| point.written).sum::<u64>() >= count)
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> anyhow::Result<()> {
        if self.is_full() {
            return Ok(());
        }
        if self.plan.ring.is_some_and(|ring| self.current.writer.output().bytes >= ring.size) {
            self.turn()?;
        }
        let Some((point, id)) = self.points.get_mut(packet.of).zip(self.current.interfaces.get(packet.of)) else {
            return Ok(());
        };
        let new = NewPacket { ts_ns: packet.ts_ns, origlen: packet.origlen, data: packet.data, ..NewPacket::default() };
        self.current.writer.packet(*id, &new).map_err(|error| unwritten(&self.current.path, error))?;
        point.written += 1;
        let end = self.current.writer.output().bytes;
        if let Some(behind) = &mut self.current.behind {
            behind.push(end, packet.of);
        }
        self.current.last = Some(packet.ts_ns.max(self.current.last.unwrap_or(packet.ts_ns)));
        Ok(())
    }

    /// Hands on what was written, for whoever reads along.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        let Current { writer, path, .. } = &mut self.current;
        writer.flush().map_err(|error| unwritten(path, error))
    }

    /// Whether who reads along is not waited for any more.
    pub(super) fn gave_up(&self) -> bool {
        self.current.behind.as_ref().is_some_and(|behind| behind.taken.gave_up())
    }

    /// How it stands when who reads along was given up: written is what is out whole.
    pub(super) fn abandoned(mut self, out_of_order: u64) -> Counted {
        for of in self.current.behind.iter().flat_map(Behind::left) {
            if let Some(point) = self.points.get_mut(of) {
                point.written -= 1;
            }
        }
        self.counted(out_of_order)
    }

    pub(super) fn counted(&self, out_of_order: u64) -> Counted {
        let interfaces = self.plan.interfaces.iter().zip(&self.points).map(|(interface, point)| Counts {
            interface: interface.name.clone(),
            received: point.told.read + point.told.dropped,
            dropped: point.told.dropped,
            written: point.written,
        });
        Counted {
            interfaces: interfaces.collect(),
            bytes: self.bytes + self.current.writer.output().bytes,
            out_of_order,
            files: self.files,
            last: self.current.path.clone(),
        }
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, out_of_order: u64) -> anyhow::Result<Counted> {
        // What was read and not to be written is behind the end.
        let until = if self.is_full() { None } else { self.stopped };
        self.end(until, |point| (point.told.read, point.told.dropped))?;
        Ok(self.counted(out_of_order))
    }

    /// Capturing ends: what was stamped until now will be in the file.
    pub(super) fn stop(&mut self) {
        self.stopped = Some(now());
    }

    /// Writes down what became of each interface in this file, by how many packets were taken and dropped up to its end, and
    /// sees that all of it is out. The file holds what was stamped up to a time, else up to its last packet.
    fn end(&mut self, up_to: Option<i64>, until: impl Fn(&Point) -> (u64, u64)) -> anyhow::Result<()> {
        let Current { writer, interfaces, began, last, path, .. } = &mut self.current;
        let ended = up_to.max(*last).unwrap_or(*began);
        let written = interfaces.iter().zip(&mut self.points).try_for_each(|(id, point)| {
            let (taken, dropped) = until(point);
            let (taken_here, dropped_here) = (taken - point.before.0, dropped - point.before.1);
            point.before = (taken, dropped);
            let told = Statistics {
                start: Some(*began),
                end: Some(ended),
                received: Some(taken_here + dropped_here),
                dropped: Some(dropped_here),
            };
            writer.statistics(*id, &told)
        });
        written.and_then(|()| writer.flush()).map_err(|error| unwritten(path, error))
    }

    /// Goes on in the next file of the ring, and removes the one that is too many.
    fn turn(&mut self) -> anyhow::Result<()> {
        self.end(None, |point| (point.written, point.told.dropped))?;
        self.bytes += self.current.writer.output().bytes;
        self.current = begin(self.plan, &self.points, self.boot.as_deref(), self.files + 1, &self.ending)?;
        self.files += 1;
        self.kept.push(self.current.path.clone());
        if self.plan.ring.is_some_and(|ring| self.kept.len() > ring.files as usize) {
            let oldest = self.kept.remove(0);
            fs::remove_file(&oldest).with_context(|| format!("{}: cannot be removed", oldest.display()))?;
        }
        Ok(())
    }
}

/// Begins a file: who wrote it, which clock stamps, and which interfaces there are.
fn begin(plan: &Plan, points: &[Point], boot: Option<&str>, number: u64, ending: &Ending) -> anyhow::Result<Current> {
    let path = if plan.ring.is_some() { numbered(&plan.path, number) } else { plan.path.clone() };
    let (out, taken) = open(&path, ending)?;
    let section = || {
        let os = nix::sys::utsname::uname().ok();
        let os = os.as_ref().and_then(|os| Some(format!("Linux {}", os.release().to_str()?)));
        let clock = boot.map(|boot| Comment::default().clock(boot).to_string());
        let section = Section {
            os: os.as_deref(),
            application: Some(concat!("shaper ", env!("CARGO_PKG_VERSION"))),
            comment: clock.as_deref(),
            ..Section::default()
        };
        let out = Counting { inner: BufWriter::with_capacity(BUFFER, out), bytes: 0 };
        let mut writer = Writer::new(out, &section)?;
        let interfaces = plan
            .interfaces
            .iter()
            .zip(points)
            .map(|(device, point)| {
                writer.add_interface(&NewInterface {
                    name: &device.name,
                    description: None,
                    filter: Some(plan.filter.as_str()).filter(|filter| !filter.is_empty()),
                    linktype: point.linktype,
                    snaplen: plan.snaplen,
                })
            })
            .collect::<Result<_, _>>()?;
        writer.flush()?;
        Ok((writer, interfaces))
    };
    let (writer, interfaces) = section().map_err(|error| unwritten(&path, error))?;
    let behind = taken.map(|taken| Behind { taken, ends: VecDeque::new() });
    Ok(Current { writer, interfaces, began: now(), last: None, path, behind })
}

/// Where a capture goes, and what is taken of it where somebody reads along.
pub(super) type Opened = (Box<dyn Write>, Option<Rc<Taken>>);

/// A new file; one that is there already is only written to if it is none, but a pipe or a device.
pub(super) fn open(path: &Path, ending: &Ending) -> anyhow::Result<Opened> {
    let failed = |error: io::Error| anyhow!("{}: cannot be written: {error}", path.display());
    let read_along = |pipe: Pipe| -> Opened {
        let taken = pipe.taken();
        (Box::new(pipe), Some(taken))
    };
    if path == Path::new("-") {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?);
        let is_file = out.metadata().is_ok_and(|found| found.is_file());
        return Ok(if is_file { (Box::new(out), None) } else { read_along(Pipe::new(out, ending.clone())) });
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            hand_over(&file);
            Ok((Box::new(file), None))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
                return Pipe::open(path, ending.clone()).map(read_along).map_err(failed);
            }
            Err(anyhow!("{}: is there already: remove it, or name another", path.display()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// A file that is made by sudo belongs to who called that.
fn hand_over(file: &File) {
    if let Some((user, group)) = caller() {
        // It can be read by root then, and that is no reason to capture nothing.
        let _ = fchown(file, Some(user), Some(group));
    }
}

/// Sees that there is room for a ring of files: under its names there are none, and there can be some.
fn check_ring(path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") || fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        bail!("{}: a ring is of files: name one", path.display());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("{}: cannot be written", path.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let name = entry.with_context(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once('-')).map(|(_, rest)| rest);
        let number = number.and_then(|rest| rest.split('.').next()?.parse().ok());
        if number.is_some_and(|number| numbered(path, number).file_name() == Some(&name)) {
            bail!(
                "{}: is there already, of an earlier ring: remove these, or name another",
                folder.join(name).display()
            );
        }
    }
    Ok(())
}

/// The name of one file of a ring: its number in front of what the name ends with.
fn numbered(path: &Path, number: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number:05}{extension}"))
}

fn unwritten(path: &Path, error: WriteError) -> anyhow::Error {
    // Whoever read along went away: told as such, and no fault.
    anyhow::Error::new(error).context(format!("{}: cannot be written", path.display()))
}

fn now() -> i64 {
    i64::try_from(clock::sample().realtime).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_ring_is_a_size_and_a_number() {
        assert_eq!("100MBx10".parse::<Ring>().unwrap(), Ring { size: 100_000_000, files: 10 });
        for wrong in ["100MB", "x3", "100MBx0", "100MBxy", "1kBx3", "-1MBx3"] {
            let error = wrong.parse::<Ring>().unwrap_err().to_string();
            assert!(error.contains("100MBx10"), "{wrong}: {error}");
        }
    }

    #[test]
    fn files_of_a_ring_are_numbered_before_the_ending() {
        assert_eq!(numbered(Path::new("/a/b.pcapng"), 7), Path::new("/a/b-00007.pcapng"));
        assert_eq!(numbered(Path::new("b"), 123_456), Path::new("b-123456"));
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let ending = Ending::default();
        let open = |path: &Path| super::open(path, &ending);
        drop(open(&path).unwrap());
        assert!(open(&path).err().unwrap().to_string().contains("is there already"));
        assert!(open(folder.path()).err().unwrap().to_string().contains("is there already"));
        assert!(open(Path::new("/dev/null")).is_ok());
        assert!(open(&folder.path().join("no/a.pcapng")).err().unwrap().to_string().contains("cannot be written"));
    }
}
