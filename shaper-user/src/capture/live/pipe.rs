//! What is read along, a pipe or a device: whoever reads may stop without going away, and a capture has to end even so.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shaper_net::signals::Signals;

use super::LOOK;

/// How long one who reads nothing is waited for once the capture is to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// A pipe that is said to be writable takes so many bytes without waiting (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4_096;

/// When the capture is to end, for those who wait.
#[derive(Clone, Default)]
pub(super) struct Ending {
    /// None where none is heeded.
    signals: Option<Signals>,
    at: Rc<Cell<Option<Instant>>>,
}

impl Ending {
    /// By a signal.
    pub(super) fn by(signals: Signals) -> Self {
        Self { signals: Some(signals), at: Rc::default() }
    }

    /// At a time too.
    pub(super) fn at(&self, at: Option<Instant>) {
        self.at.set(at);
    }

    /// Whether it was asked for by a signal, or its time is over.
    pub(super) fn is_due(&self) -> bool {
        self.signals.is_some_and(|signals| signals.requested().is_some())
            || self.at.get().is_some_and(|at| Instant::now() >= at)
    }

    /// Whether it was asked for more than once, and so is to be at once.
    fn is_pressed(&self) -> bool {
        self.signals.is_some_and(|signals| signals.latest().0 > 1)
    }
}

/// What whoever reads has taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    bytes: Cell<u64>,
    gave_up: Cell<bool>,
}

impl Taken {
    /// Bytes that are out.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether the rest is not waited for any more.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }
}

/// A pipe or a device that is written to as far as somebody reads.
pub(super) struct Pipe {
    file: File,
    ending: Ending,
    taken: Rc<Taken>,
}

impl Pipe {
    pub(super) fn new(file: File, ending: Ending) -> Self {
        Self { file, ending, taken: Rc::default() }
    }

    /// Opens what is there already and no file; a pipe with a name once somebody opens it to read.
    ///
    /// # Errors
    ///
    /// As the system tells, and if the capture is to end before anybody reads.
    pub(super) fn open(path: &Path, ending: Ending) -> io::Result<Self> {
        let is_fifo = path.metadata()?.file_type().is_fifo();
        loop {
            // Else the system waits for a reader, and goes on with that after a signal.
            match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
                Ok(file) => return Ok(Self::new(file, ending)),
                Err(error) if is_fifo && error.raw_os_error() == Some(libc::ENXIO) => {}
                Err(error) => return Err(error),
            }
            let Some(signals) = ending.signals else {
                std::thread::sleep(LOOK);
                continue;
            };
            if signals.wait(Some(LOOK)).map_err(io::Error::other)? {
                return Err(io::Error::other("nobody came to read it"));
            }
        }
    }

    pub(super) fn taken(&self) -> Rc<Taken> {
        Rc::clone(&self.taken)
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let part = data.get(..AT_ONCE).unwrap_or(data);
        let mut due = None;
        let look = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
        while !self.taken.gave_up() && !self.ending.is_pressed() {
            match poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)], look) {
                Ok(1..) => match (&self.file).write(part) {
                    // Another writer of the same pipe was before us.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => {
                        let bytes = *written.as_ref().unwrap_or(&0) as u64;
                        self.taken.bytes.set(self.taken.bytes() + bytes);
                        return written;
                    }
                },
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if self.ending.is_due() && due.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                break;
            }
        }
        self.taken.gave_up.set(true);
        Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe(ending: &Ending) -> (io::PipeReader, Pipe) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Pipe::new(File::from(OwnedFd::from(writer)), ending.clone()))
    }

    #[test]
    fn a_pipe_with_a_name_is_open_once_somebody_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let ending = Ending::default();
        std::thread::scope(|scope| {
            let read = scope.spawn(|| std::fs::read(&path).unwrap());
            Pipe::open(&path, ending).unwrap().write_all(b"all of it").unwrap();
            assert_eq!(read.join().unwrap(), b"all of it");
        });
        let ending = Ending::default();
        assert!(Pipe::open(&folder.path().join("none"), ending).is_err());
    }

    #[test]
    fn who_reads_gets_all_and_who_does_not_is_waited_for_until_the_end() {
        let ending = Ending::default();
        let (mut reader, mut writer) = pipe(&ending);
        let taken = writer.taken();
        let data: Vec<u8> = (0..200_000u32).map(|byte| byte as u8).collect();
        std::thread::scope(|scope| {
            let read = scope.spawn(|| {
                let mut all = vec![0; 200_000];
                reader.read_exact(&mut all).map(|()| all)
            });
            writer.write_all(&data).unwrap();
            assert!(read.join().unwrap().unwrap() == data);
        });
        assert_eq!(taken.bytes(), 200_000);

        ending.at(Some(Instant::now()));
        let before = Instant::now();
        let error = writer.write_all(&data).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() >= PATIENCE && taken.gave_up());
        let out = taken.bytes() - 200_000;
        assert!(out > 0 && out < 200_000, "what fits into the pipe is out: {out}");
        // It is not waited for again.
        let before = Instant::now();
        assert_eq!(writer.write(&data).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() < PATIENCE);
    }
}
