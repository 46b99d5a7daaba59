//! Two spools of one point put together in order of time.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context;
use shaper_offline::pcapfile::Reader;

use super::{Captured, Spool};

/// Merges what two taps took into `file`, which is at `path`, and removes their spools.
///
/// # Errors
///
/// When one cannot be read, or the disk is full.
pub(crate) fn merged(parts: [Captured; 2], file: File, path: &Path, snaplen: u32) -> anyhow::Result<Captured> {
    let [one, other] = &parts;
    let mut readers = [Reader::open(&one.spool)?, Reader::open(&other.spool)?];
    let mut spool = Spool::new(file, path, snaplen)?;
    // When the next packet of each was taken; `None` at its end.
    let mut next = [None, None];
    let mut waiting: [Vec<u8>; 2] = Default::default();
    let mut lens = [0; 2];
    let mut refill = |of: usize, waiting: &mut [Vec<u8>; 2], lens: &mut [u32; 2]| -> anyhow::Result<Option<i64>> {
        let (Some(reader), Some(data), Some(len)) = (readers.get_mut(of), waiting.get_mut(of), lens.get_mut(of)) else {
            return Ok(None);
        };
        let Some(packet) = reader.next_packet()? else { return Ok(None) };
        data.clear();
        data.extend_from_slice(packet.data);
        *len = packet.origlen;
        Ok(Some(packet.ts_ns.unwrap_or(0)))
    };
    for (of, next) in next.iter_mut().enumerate() {
        *next = refill(of, &mut waiting, &mut lens)?;
    }
    loop {
        let first = match next {
            [None, None] => break,
            [Some(one), Some(other)] => usize::from(other < one),
            [one, _] => usize::from(one.is_none()),
        };
        if let (Some(Some(at)), Some(data), Some(len)) = (next.get(first), waiting.get(first), lens.get(first)) {
            let at = u64::try_from(*at).unwrap_or(0);
            spool.packet((at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32, *len, data)?;
        }
        let following = refill(first, &mut waiting, &mut lens)?;
        if let Some(next) = next.get_mut(first) {
            *next = following;
        }
    }
    spool.flush()?;
    drop(readers);
    for part in &parts {
        fs::remove_file(&part.spool).with_context(|| format!("{}: cannot be removed", part.spool.display()))?;
    }
    let sum = |of: fn(&Captured) -> u64| parts.iter().map(of).sum();
    Ok(Captured {
        spool: path.to_owned(),
        written: sum(|part| part.written),
        received: sum(|part| part.received),
        dropped: sum(|part| part.dropped),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_both_stand_in_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let spooled = |name: &str, times: &[u32]| {
            let path = folder.path().join(name);
            let mut spool = Spool::new(File::create(&path).unwrap(), &path, 128).unwrap();
            for at in times {
                spool.packet(1, *at, 60, &[*at as u8; 20]).unwrap();
            }
            spool.flush().unwrap();
            Captured { spool: path, written: times.len() as u64, received: 4, dropped: 1 }
        };
        let (one, other) = (spooled("one", &[1, 5, 6]), spooled("other", &[2, 3, 9]));
        let path = folder.path().join("both");
        let both = merged([one, other], File::create(&path).unwrap(), &path, 128).unwrap();
        assert_eq!((both.written, both.received, both.dropped), (6, 8, 2));
        let mut reader = Reader::open(&both.spool).unwrap();
        let mut found = Vec::new();
        while let Some(packet) = reader.next_packet().unwrap() {
            found.push((packet.ts_ns.unwrap() - 1_000_000_000, packet.origlen, packet.data[0]));
        }
        assert_eq!(found, [1, 2, 3, 5, 6, 9].map(|at: u8| (i64::from(at), 60, at)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
