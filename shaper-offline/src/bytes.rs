//! Numbers in network byte order, as far as the bytes are there.

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use super::{u16_at, u32_at};

    #[test]
    fn the_first_byte_is_the_highest_and_what_is_not_there_is_none() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!((u16_at(&bytes, 3), u32_at(&bytes, 1)), (Some(0x0405), Some(0x0203_0405)));
        assert_eq!((u16_at(&bytes, 4), u32_at(&bytes, 2), u16_at(&bytes, usize::MAX)), (None, None, None));
    }
}
