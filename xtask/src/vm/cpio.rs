//! The archive format of an initramfs: "newc" cpio, as the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

#[derive(Clone, Debug, Default)]
struct Node {
    /// File type and permissions, as in `st_mode`.
    mode: u32,
    /// Major and minor number, of a device.
    device: (u32, u32),
    content: Vec<u8>,
}

/// An archive that is being put together. Paths are absolute, as the guest
/// will see them; folders above them come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    // Sorted, so that a folder precedes what is in it.
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// Adds a folder.
    pub(crate) fn directory(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let node = Node { mode: DIRECTORY | 0o755, ..Node::default() };
        self.insert(path.as_ref(), node)
    }

    /// Adds a file with these permissions.
    pub(crate) fn file(&mut self, path: impl AsRef<Path>, permissions: u32, content: Vec<u8>) -> Result<()> {
        let node = Node { mode: REGULAR | permissions, content, ..Node::default() };
        self.insert(path.as_ref(), node)
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: impl AsRef<Path>, target: &str) -> Result<()> {
        let node = Node { mode: SYMLINK | 0o777, content: target.as_bytes().to_vec(), ..Node::default() };
        self.insert(path.as_ref(), node)
    }

    /// Adds a character device.
    pub(crate) fn character_device(&mut self, path: impl AsRef<Path>, major: u32, minor: u32) -> Result<()> {
        let node = Node { mode: CHARACTER_DEVICE | 0o600, device: (major, minor), ..Node::default() };
        self.insert(path.as_ref(), node)
    }

    fn insert(&mut self, path: &Path, node: Node) -> Result<()> {
        let text = path
            .to_str()
            .and_then(|text| text.strip_prefix('/'))
            .filter(|text| !text.is_empty())
            .with_context(|| format!("{}: not an absolute UTF-8 path to put into an initramfs", path.display()))?;
        if path.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
            bail!("{}: a path in an initramfs cannot go up", path.display());
        }
        if let Some(parent) = path.parent()
            && parent != Path::new("/")
            && !self.nodes.contains_key(parent.to_str().unwrap_or("").trim_start_matches('/'))
        {
            self.directory(parent)?;
        }
        self.nodes.insert(text.to_owned(), node);
        Ok(())
    }

    /// Writes the archive.
    pub(crate) fn write(&self, mut out: impl Write) -> io::Result<()> {
        let mut inode = 0;
        for (path, node) in &self.nodes {
            inode += 1;
            member(&mut out, inode, path, node)?;
        }
        member(&mut out, 0, "TRAILER!!!", &Node::default())
    }
}

/// One member: a header of 13 numbers in 8 hexadecimal digits each, the name
/// with a NUL, the content; name and content each padded to 4 bytes.
fn member(out: &mut impl Write, inode: u32, name: &str, node: &Node) -> io::Result<()> {
    let too_large = |_| io::Error::other(format!("{name}: too large for a cpio archive"));
    let links = if node.mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
    let fields: [u32; 13] = [
        inode,
        node.mode,
        0, // user
        0, // group
        links,
        0, // time of change: none, so that equal input gives equal bytes
        u32::try_from(node.content.len()).map_err(too_large)?,
        0, // device it lies on, major and minor
        0,
        node.device.0,
        node.device.1,
        u32::try_from(name.len() + 1).map_err(too_large)?,
        0, // check sum: not in this variant
    ];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08X}")?;
    }
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, 6 + 13 * 8 + name.len() + 1)?;
    out.write_all(&node.content)?;
    pad(out, node.content.len())
}

fn pad(out: &mut impl Write, length: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..(4 - length % 4) % 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Member {
        name: String,
        mode: u32,
        device: (u32, u32),
        content: Vec<u8>,
    }

    /// An independent reader: offsets counted from the format's description.
    fn read(bytes: &[u8]) -> Vec<Member> {
        let mut members = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(at % 4, 0);
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                let text = std::str::from_utf8(&bytes[start..start + 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let name = &bytes[at + 110..at + 110 + name_size - 1];
            assert_eq!(bytes[at + 110 + name_size - 1], 0);
            let start = (at + 110 + name_size).next_multiple_of(4);
            members.push(Member {
                name: String::from_utf8(name.to_vec()).unwrap(),
                mode: field(1),
                device: (field(9), field(10)),
                content: bytes[start..start + size].to_vec(),
            });
            at = (start + size).next_multiple_of(4);
            if members.last().unwrap().name == "TRAILER!!!" {
                assert_eq!(at, bytes.len());
                members.pop();
                return members;
            }
        }
    }

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_put_in_is_read_back() {
        let mut archive = Archive::default();
        archive.file("/bin/tool", 0o755, b"12345".to_vec()).unwrap();
        archive.symlink("/var/run", "/run").unwrap();
        archive.character_device("/dev/console", 5, 1).unwrap();
        let members = read(&written(&archive));
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["bin", "bin/tool", "dev", "dev/console", "var", "var/run"]);
        assert_eq!((members[0].mode, members[1].mode), (0o040_755, 0o100_755));
        assert_eq!(members[1].content, b"12345");
        assert_eq!((members[3].mode, members[3].device), (0o020_600, (5, 1)));
        assert_eq!((members[5].mode, members[5].content.as_slice()), (0o120_777, &b"/run"[..]));
    }

    #[test]
    fn every_length_is_padded() {
        for length in 0..9 {
            let mut archive = Archive::default();
            let name = format!("/{}", "n".repeat(length + 1));
            archive.file(&name, 0o644, vec![b'x'; length]).unwrap();
            let members = read(&written(&archive));
            assert_eq!(members.len(), 1);
            assert_eq!(members[0].content.len(), length);
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        let mut archive = Archive::default();
        assert!(archive.file("bin/tool", 0o755, Vec::new()).is_err());
        assert!(archive.file("/bin/../tool", 0o755, Vec::new()).is_err());
        assert!(archive.directory("/").is_err());
    }

    #[test]
    fn a_folder_that_stands_is_not_written_twice() {
        let mut archive = Archive::default();
        archive.directory("/tmp").unwrap();
        archive.file("/tmp/a", 0o644, Vec::new()).unwrap();
        archive.file("/tmp/b", 0o644, Vec::new()).unwrap();
        assert_eq!(read(&written(&archive)).len(), 3);
    }
}
