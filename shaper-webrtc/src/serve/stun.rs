//! Who a STUN request is for.
//!
//! A transport is known by its user name fragment before it is known by an address. str0m parses
//! STUN, but shows nothing of it, so the one attribute that is needed is read here.

/// The two halves of the USERNAME of a Binding request (RFC 8445, section 7.2.2): the fragment of the
/// side that it is sent to, and of the side that sends. None for anything else; nothing is verified.
pub(crate) fn binding_request_username(datagram: &[u8]) -> Option<(&str, &str)> {
    const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const HEADER: usize = 20;
    const USERNAME: u16 = 0x0006;
    let (header, mut attributes) = datagram.split_at_checked(HEADER)?;
    if !header.starts_with(&BINDING_REQUEST) || header.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    while let Some((&[type_0, type_1, length_0, length_1], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([length_0, length_1]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([type_0, type_1]) == USERNAME {
            return std::str::from_utf8(value).ok()?.split_once(':');
        }
        // Values are padded to four bytes.
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend([7; 12]);
        for (kind, value) in attributes {
            datagram.extend(kind.to_be_bytes());
            datagram.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            datagram.extend(*value);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
        datagram
    }

    #[test]
    fn the_username_is_found_behind_other_attributes() {
        let datagram = request(&[(0x8022, b"agent"), (0x0006, b"local:remote"), (0x0024, &[0; 4])]);
        assert_eq!(binding_request_username(&datagram), Some(("local", "remote")));
    }

    /// RFC 5769, section 2.1: the sample request of STUN's test vectors, up to its USERNAME.
    #[test]
    fn the_username_of_the_published_sample_request_is_read() {
        let mut datagram = vec![0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);
        datagram.extend([0x80, 0x22, 0x00, 0x10]);
        datagram.extend(b"STUN test client");
        datagram.extend([0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff]);
        datagram.extend([0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36]);
        datagram.extend([0x00, 0x06, 0x00, 0x09]);
        datagram.extend(b"evtj:h6vY   ");
        assert_eq!(binding_request_username(&datagram), Some(("evtj", "h6vY")));
    }

    #[test]
    fn nothing_else_has_a_username() {
        let whole = request(&[(0x0006, b"a:b")]);
        assert!(binding_request_username(&whole).is_some());
        for cut in 0..whole.len() - 1 {
            assert_eq!(binding_request_username(&whole[..cut]), None, "cut at {cut}");
        }
        let mut response = whole.clone();
        response[0] = 1;
        assert_eq!(binding_request_username(&response), None);
        assert_eq!(binding_request_username(&request(&[(0x0006, b"ab")])), None);
        assert_eq!(binding_request_username(&request(&[(0x0006, &[0xff, b':'])])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = binding_request_username(&bytes);
            let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
            request.extend(&bytes);
            let _ = binding_request_username(&request);
        }
    }
}
