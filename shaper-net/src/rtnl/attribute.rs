//! Netlink attributes as bytes, where there are no types for them.

/// An attribute: length, kind and value, padded to four bytes (`struct nlattr`, include/uapi/linux/netlink.h).
#[must_use]
pub fn encoded(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn attributes_are_padded_and_their_length_is_not() {
        let bytes = [encoded(8, &[8, 0]), encoded(1, &[1, 2, 3, 4])].concat();
        assert_eq!(bytes, [6, 0, 8, 0, 8, 0, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4]);
    }
}
