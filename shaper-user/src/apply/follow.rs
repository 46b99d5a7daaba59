//! The fate of each packet, told while packets flow: by the process that impairs an interface, to one that captures.
//!
//! Whoever asks hears first where packets can be captured ([`Followed`], a line of JSON). Then frames follow, each a length
//! in four bytes, the lowest first, and a [`Frame`] as postcard writes it; an empty one where there is nothing new. Who has
//! enough shuts its side down, and gets what was decided until then. A length of zero is the end.

use std::io::{BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use shaper_engine::{Chunk, Following, Next};

use super::request::Target;
use super::status::{Answer, Ask, ask_to_go_on, of_interface};
use crate::fates::{Decision, Departure};

/// How many may follow at once.
pub(super) const MOST: usize = 8;
/// How often something is told, though there is nothing new.
const BEAT: Duration = Duration::from_millis(100);
/// The longest frame that is taken: what the engine hands on at once is far below.
const LONGEST: u32 = 64 << 20;

/// Where the packets can be captured whose fates are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Followed {
    /// By direction: the device that packets are led into, and come back from.
    pub(crate) devices: [String; 2],
    /// What the two sides of the link are called: direction 0 is from the first to the second.
    pub(crate) sides: [String; 2],
    /// Of which decisions there are records.
    pub(crate) recording: String,
}

/// What was decided and left since the frame before.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) departures: Vec<Departure>,
    /// Decisions and departures that found no room on their way.
    pub(crate) lost: u64,
}

impl From<Chunk> for Frame {
    fn from(chunk: Chunk) -> Self {
        Self {
            decisions: chunk.records.iter().map(|record| Decision::of(record.direction, record)).collect(),
            departures: chunk.releases.iter().filter_map(Departure::of).collect(),
            lost: chunk.lost,
        }
    }
}

/// Tells whoever asked, on a thread of its own, until he has enough or the engine ends.
pub(super) fn tell(stream: UnixStream, followed: Followed, following: Following) -> anyhow::Result<JoinHandle<()>> {
    let go_on = move || {
        // Who goes away without a word needs no answer.
        let _ = tell_all(&stream, followed, following);
    };
    thread::Builder::new().name("fates".into()).spawn(go_on).context("cannot start a thread")
}

fn tell_all(stream: &UnixStream, followed: Followed, following: Following) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stream);
    serde_json::to_writer(&mut out, &Answer::Following(Box::new(followed)))?;
    out.write_all(b"\n")?;
    out.flush()?;
    loop {
        match following.next(BEAT) {
            Next::Chunk(chunk) => put(&mut out, chunk)?,
            Next::Nothing => put(&mut out, Chunk::default())?,
            Next::Ended => break,
        }
        out.flush()?;
        if has_enough(stream)? {
            following.rest(|chunk| put(&mut out, chunk))?;
            break;
        }
    }
    out.write_all(&0u32.to_le_bytes())?;
    Ok(out.flush()?)
}

fn put(out: &mut impl Write, chunk: Chunk) -> anyhow::Result<()> {
    let frame = postcard::to_stdvec(&Frame::from(chunk))?;
    out.write_all(&u32::try_from(frame.len())?.to_le_bytes())?;
    Ok(out.write_all(&frame)?)
}

/// Whether whoever asked says nothing any more: he has nothing else to say.
fn has_enough(stream: &UnixStream) -> anyhow::Result<bool> {
    let mut waiting = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut waiting, PollTimeout::ZERO)? > 0)
}

/// Fates, as whoever asked for them gets them.
pub(crate) struct Stream {
    stream: BufReader<UnixStream>,
    interface: String,
}

/// Asks for the fates of an interface's packets.
///
/// # Errors
///
/// When nobody impairs it, more than one does, or the one that does cannot tell.
pub(crate) fn follow(interface: &str, target: &Target) -> anyhow::Result<(Followed, Stream)> {
    let found = of_interface(interface, target)?;
    let [found] = found.as_slice() else {
        bail!("{interface} is impaired by {} processes: packets have a fate for each", found.len());
    };
    let failed = || format!("{interface}: process {} does not tell fates", found.status.pid);
    let (answer, stream) = ask_to_go_on(&found.journal, &Ask::Fates).with_context(failed)?;
    match answer {
        Answer::Following(followed) => Ok((*followed, Stream { stream, interface: interface.to_owned() })),
        Answer::Failed(why) => bail!(why),
        Answer::Status(_) | Answer::Changed(_) => bail!("{}: it is of another version", failed()),
    }
}

impl Stream {
    /// The next frame; `None` behind the last.
    ///
    /// # Errors
    ///
    /// When the other process has gone, or is stopped.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        let gone = || format!("{}: whoever impairs it tells no more fates", self.interface);
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).with_context(gone)?;
        let length = u32::from_le_bytes(length);
        if length == 0 {
            return Ok(None);
        }
        if length > LONGEST {
            bail!("{}: it is of another version", gone());
        }
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).with_context(gone)?;
        Ok(Some(postcard::from_bytes(&frame).with_context(gone)?))
    }

    /// What says to the other process that it is enough; its last frames come then.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub(crate) fn stopper(&self) -> anyhow::Result<Stopper> {
        Ok(Stopper(self.stream.get_ref().try_clone()?))
    }
}

/// Ends a [`Stream`] from another thread.
pub(crate) struct Stopper(UnixStream);

impl Stopper {
    pub(crate) fn enough(&self) {
        // Where the other process has gone the stream ends by itself.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use shaper_common::layout::Record;
    use shaper_common::units::Nanos;
    use shaper_delayline::Released;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_frame_by_frame_until_the_end() {
        let (one, other) = UnixStream::pair().unwrap();
        let record = Record { sequence: 7, direction: 1, ..Record::default() };
        let left = Released { id: 9, intended: Nanos(1), actual: Nanos(u64::MAX), direction: 1, copy: 2, sent: true };
        let refused = Released { sent: false, ..left };
        let chunk = Chunk { records: vec![record; 3], releases: vec![left, refused], lost: 4 };
        let mut out = &one;
        put(&mut out, chunk).unwrap();
        put(&mut out, Chunk::default()).unwrap();
        out.write_all(&[0; 4]).unwrap();
        drop(one);
        let mut stream = Stream { stream: BufReader::new(other), interface: "eth0".into() };
        let frame = stream.next().unwrap().unwrap();
        assert_eq!(frame.decisions, [Decision::of(1, &record); 3]);
        assert_eq!((frame.departures.as_slice(), frame.lost), ([Departure::of(&left).unwrap()].as_slice(), 4));
        assert!(stream.next().unwrap().unwrap().decisions.is_empty());
        assert!(stream.next().unwrap().is_none());
        let gone = stream.next().unwrap_err().to_string();
        assert!(gone.contains("eth0") && gone.contains("no more fates"), "{gone}");
    }

    #[test]
    fn a_length_that_nobody_writes_is_refused_before_there_is_memory_for_it() {
        let (one, other) = UnixStream::pair().unwrap();
        (&one).write_all(&u32::MAX.to_le_bytes()).unwrap();
        let mut stream = Stream { stream: BufReader::new(other), interface: "eth0".into() };
        assert!(stream.next().unwrap_err().to_string().contains("another version"));
    }
}
