//! CRC-16/MODBUS: polynomial 0x8005 reflected (0xA001), initial value 0xFFFF, no final xor.
//! The published check value of "123456789" is 0x4B37.

const POLYNOMIAL: u16 = 0xA001;
/// Bytes taken at once.
const STRIDE: usize = 16;

/// `TABLES[k][b]` is the remainder of byte `b` followed by `k` zero bytes, which lets sixteen
/// bytes be taken at once, of which only two wait for those before (Kounavis and Berry, "A systematic approach to building high performance
/// software-based CRC generators", 2005).
static TABLES: [[u16; 256]; STRIDE] = tables();

const fn tables() -> [[u16; 256]; STRIDE] {
    let mut tables = [[0u16; 256]; STRIDE];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < STRIDE {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// The value a CRC starts from.
pub(super) const INITIAL: u16 = 0xFFFF;

/// Carries `crc` on over `bytes`.
pub(super) fn update(mut crc: u16, bytes: &[u8]) -> u16 {
    let (chunks, rest) = bytes.as_chunks::<STRIDE>();
    for chunk in chunks {
        let [low, high] = crc.to_le_bytes();
        let mut next = TABLES[15][usize::from(chunk[0] ^ low)] ^ TABLES[14][usize::from(chunk[1] ^ high)];
        for i in 2..STRIDE {
            next ^= TABLES[STRIDE - 1 - i][usize::from(chunk[i])];
        }
        crc = next;
    }
    for &byte in rest {
        crc = (crc >> 8) ^ TABLES[0][usize::from((crc as u8) ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit_by_bit(bytes: &[u8]) -> u16 {
        let mut crc = INITIAL;
        for &byte in bytes {
            crc ^= u16::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            }
        }
        crc
    }

    #[test]
    fn check_value_is_the_published_one() {
        assert_eq!(update(INITIAL, b"123456789"), 0x4B37);
    }

    proptest! {
        #![proptest_config(crate::testing::fixed())]

        #[test]
        fn tables_agree_with_the_bitwise_definition(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0usize..300,
        ) {
            prop_assert_eq!(update(INITIAL, &bytes), bit_by_bit(&bytes));
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(update(update(INITIAL, a), b), bit_by_bit(&bytes));
        }
    }
}
