//! Arithmetic of sequence numbers, modulo 2^32 (RFC 9293 section 3.4; RFC 1982 for the order).

/// Whether `a` comes before `b`: by less than half of the circle.
#[inline]
pub(super) fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

/// The later of two.
#[inline]
pub(super) fn later(a: u32, b: u32) -> u32 {
    if before(a, b) { b } else { a }
}

/// The earlier of two.
#[inline]
pub(super) fn earlier(a: u32, b: u32) -> u32 {
    if before(b, a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_goes_round_the_circle() {
        assert!(before(u32::MAX, 0) && before(0xffff_fff0, 5) && !before(5, 5) && !before(5, 0xffff_fff0));
        assert_eq!((later(u32::MAX, 3), earlier(u32::MAX, 3)), (3, u32::MAX));
    }
}
