//! Copies of a packet: how many, when each is due, and its bytes in a frame of its own.

use shaper_common::layout::{BYPASS, XskMeta};
use shaper_common::units::Nanos;
use shaper_xsk::{Descriptor, Umem};

use crate::pool::FramePool;

/// The numbers of the copies that the metadata ask for, from 1 up; 0 is the packet itself. Never more than
/// [`XskMeta::MOST_COPIES`], and none of a control packet.
pub(crate) fn wanted(meta: &XskMeta) -> impl Iterator<Item = u8> + use<> {
    let copies = if meta.id & BYPASS == 0 { meta.copies.min(XskMeta::MOST_COPIES) } else { 0 };
    1..=copies as u8
}

/// When a copy is due: `release + number * spacing`, held at the end of time.
pub(crate) fn release(meta: &XskMeta, number: u8) -> Nanos {
    meta.release.saturating_add(Nanos(meta.spacing.0.saturating_mul(number.into())))
}

/// Copies a packet into a free frame, to the same place within it. Returns the frame and where the copy lies; nothing
/// if no frame is free.
pub(crate) fn copy(umem: &Umem, pool: &mut FramePool, packet: Descriptor) -> Option<(u32, u64)> {
    let frame = pool.take()?;
    let addr = umem.frame_address(frame) + packet.addr % u64::from(umem.frame_size());
    if umem.copy(packet.addr, addr, packet.len as usize).is_none() {
        // The kernel tells no packet that reaches beyond its frame, so this cannot be.
        pool.give(frame);
        return None;
    }
    Some((frame, addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shaper_xsk::UmemConfig;

    fn meta(copies: u32, spacing: u64) -> XskMeta {
        XskMeta { release: Nanos(1_000), id: 7, spacing: Nanos(spacing), copies, ..XskMeta::default() }
    }

    #[test]
    fn copies_are_numbered_from_one_and_no_more_than_the_most() {
        assert_eq!(wanted(&meta(0, 0)).count(), 0);
        assert_eq!(wanted(&meta(3, 0)).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(wanted(&meta(15, 0)).last(), Some(15));
        assert_eq!(wanted(&meta(u32::MAX, 0)).count(), 15);
    }

    #[test]
    fn control_packets_are_never_copied() {
        assert_eq!(wanted(&XskMeta { id: BYPASS, ..meta(3, 0) }).count(), 0);
    }

    #[test]
    fn each_copy_is_due_a_spacing_behind_the_one_before() {
        assert_eq!([1, 2, 15].map(|number| release(&meta(15, 300), number)), [1_300, 1_600, 5_500].map(Nanos));
        assert_eq!(release(&meta(1, 0), 1), Nanos(1_000));
        assert_eq!(release(&meta(1, u64::MAX), 15), Nanos::MAX);
    }

    #[test]
    fn a_copy_has_the_same_bytes_at_the_same_place_of_another_frame_while_one_is_free() {
        let umem = Umem::new(UmemConfig { frames: 3, frame_size: 2048, headroom: 0 }).unwrap();
        let mut pool = FramePool::new(3);
        let original = pool.take().unwrap();
        let bytes: Vec<u8> = (0..1514u32).map(|index| (index * 7) as u8).collect();
        let addr = umem.frame_address(original) + 256;
        umem.write(addr, &bytes).unwrap();
        let packet = Descriptor { addr, len: 1514, options: 0 };
        for left in [1, 0] {
            let (frame, addr) = copy(&umem, &mut pool, packet).unwrap();
            assert_ne!(frame, original);
            assert_eq!((umem.frame_number(addr), addr % 2048, pool.free()), (Some(frame), 256, left));
            let mut copied = vec![0; bytes.len()];
            umem.read(addr, &mut copied).unwrap();
            assert_eq!(copied, bytes);
        }
        assert_eq!(copy(&umem, &mut pool, packet), None);
    }

    #[test]
    fn a_packet_that_cannot_be_copied_takes_no_frame() {
        let umem = Umem::new(UmemConfig { frames: 2, frame_size: 2048, headroom: 0 }).unwrap();
        let mut pool = FramePool::new(2);
        assert_eq!(copy(&umem, &mut pool, Descriptor { addr: 2 * 2048, len: 64, options: 0 }), None);
        assert_eq!(pool.free(), 2);
    }
}
