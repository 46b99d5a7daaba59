//! Free frames of the UMEM.

/// A stack of frame numbers: the frame used last is given first, while its bytes are still in the cache.
#[derive(Debug)]
pub struct FramePool {
    free: Vec<u32>,
    frames: u32,
    least_free: u32,
}

impl FramePool {
    /// All of `0..frames`, free.
    pub fn new(frames: u32) -> FramePool {
        FramePool { free: (0..frames).rev().collect(), frames, least_free: frames }
    }

    /// Takes a frame; nothing if none is free.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        let frame = self.free.pop()?;
        self.least_free = self.least_free.min(self.free.len() as u32);
        Some(frame)
    }

    /// Gives a frame back. False, and nothing done, if all frames are here already: then somebody gives twice.
    #[inline]
    pub fn give(&mut self, frame: u32) -> bool {
        let room = self.free.len() < self.frames as usize;
        if room {
            self.free.push(frame);
        }
        room
    }

    /// Frames free.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// The fewest frames that were ever free.
    pub fn least_free(&self) -> u32 {
        self.least_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_given_once_before_any_is_given_again() {
        let mut pool = FramePool::new(3);
        let mut taken: Vec<u32> = std::iter::from_fn(|| pool.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!((pool.free(), pool.least_free()), (0, 0));
        assert!(pool.give(1));
        assert_eq!(pool.take(), Some(1));
    }

    #[test]
    fn a_frame_too_many_is_refused() {
        let mut pool = FramePool::new(1);
        assert!(!pool.give(0));
        assert_eq!(pool.free(), 1);
    }
}
