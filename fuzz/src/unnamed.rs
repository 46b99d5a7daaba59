//! Captures as files, for what opens them by name.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

/// A file that is gone with its process, however that ends: it has no name but that of its descriptor.
#[derive(Debug)]
struct Unnamed {
    file: File,
    path: PathBuf,
}

impl Unnamed {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let in_memory = Path::new("/dev/shm");
        let folder = if in_memory.is_dir() { in_memory.to_owned() } else { env::temp_dir() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let named = folder.join(format!("shaper-fuzz-{}-{number}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&named)?;
        fs::remove_file(&named)?;
        Ok(Self { path: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), file })
    }

    fn hold(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(bytes)
    }
}

thread_local! {
    /// Two for each thread, written over and over.
    static FILES: RefCell<Option<[Unnamed; 2]>> = const { RefCell::new(None) };
}

/// Two files with these bytes, while `within` runs.
///
/// # Panics
/// Where the files cannot be made or written, which is no matter of the input.
#[expect(clippy::expect_used, reason = "without its files a target cannot go on")]
pub(crate) fn holding<T>([a, b]: [&[u8]; 2], within: impl FnOnce([&Path; 2]) -> T) -> T {
    FILES.with_borrow_mut(|files| {
        if files.is_none() {
            let made = Unnamed::new().and_then(|one| Ok([one, Unnamed::new()?]));
            *files = Some(made.expect("no file can be made in /dev/shm, or in TMPDIR"));
        }
        let [one, other] = files.as_mut().expect("they were made");
        one.hold(a).and_then(|()| other.hold(b)).expect("the files can be written");
        within([&one.path, &other.path])
    })
}
