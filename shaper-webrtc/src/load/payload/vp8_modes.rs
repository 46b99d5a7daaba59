//! The first partition of a VP8 frame (RFC 6386): its header and the modes of its macroblocks, such that nothing moves.
//!
//! A key frame predicts each macroblock from its neighbours, every other repeats the picture before; none has residues.
//! So whatever stands behind the first partition is never read, and a decoder takes it for what an encoder could have
//! written.

/// Rows of 11 of the probabilities that one in the header's coefficients is updated (section 13.4), without those that
/// are 255 to the end: the row's number, and how it begins.
const UPDATED: [(usize, &[u8]); 67] = [
    (3, &[176, 246]),
    (4, &[223, 241, 252]),
    (5, &[249, 253, 253]),
    (6, &[255, 244, 252]),
    (7, &[234, 254, 254]),
    (8, &[253]),
    (9, &[255, 246, 254]),
    (10, &[239, 253, 254]),
    (11, &[254, 255, 254]),
    (12, &[255, 248, 254]),
    (13, &[251, 255, 254]),
    (15, &[255, 253, 254]),
    (16, &[251, 254, 254]),
    (17, &[254, 255, 254]),
    (18, &[255, 254, 253, 255, 254]),
    (19, &[250, 255, 254, 255, 254]),
    (20, &[254]),
    (24, &[217]),
    (25, &[225, 252, 241, 253, 255, 255, 254]),
    (26, &[234, 250, 241, 250, 253, 255, 253, 254]),
    (27, &[255, 254]),
    (28, &[223, 254, 254]),
    (29, &[238, 253, 254, 254]),
    (30, &[255, 248, 254]),
    (31, &[249, 254]),
    (33, &[255, 253]),
    (34, &[247, 254]),
    (36, &[255, 253, 254]),
    (37, &[252]),
    (39, &[255, 254, 254]),
    (40, &[253]),
    (42, &[255, 254, 253]),
    (43, &[250]),
    (44, &[254]),
    (48, &[186, 251, 250]),
    (49, &[234, 251, 244, 254]),
    (50, &[251, 251, 243, 253, 254, 255, 254]),
    (51, &[255, 253, 254]),
    (52, &[236, 253, 254]),
    (53, &[251, 253, 253, 254, 254]),
    (54, &[255, 254, 254]),
    (55, &[254, 254, 254]),
    (57, &[255, 254]),
    (58, &[254, 254]),
    (59, &[254]),
    (61, &[254]),
    (72, &[248]),
    (73, &[250, 254, 252, 254]),
    (74, &[248, 254, 249, 253]),
    (75, &[255, 253, 253]),
    (76, &[246, 253, 253]),
    (77, &[252, 254, 251, 254, 254]),
    (78, &[255, 254, 252]),
    (79, &[248, 254, 253]),
    (80, &[253, 255, 254, 254]),
    (81, &[255, 251, 254]),
    (82, &[245, 251, 254]),
    (83, &[253, 253, 254]),
    (84, &[255, 251, 253]),
    (85, &[252, 253, 254]),
    (86, &[255, 254]),
    (87, &[255, 252]),
    (88, &[249, 255, 254]),
    (89, &[255, 255, 254]),
    (90, &[255, 255, 253]),
    (91, &[250]),
    (94, &[254]),
];
const ROWS: usize = 4 * 8 * 3;
const ROW: usize = 11;
/// The probabilities that one of a motion vector's own is updated (section 17.2), for rows and columns.
const MOTION_UPDATED: [[u8; 19]; 2] = [
    [237, 246, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 250, 250, 252, 254, 254],
    [231, 243, 245, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 251, 251, 254, 254, 254],
];
/// How probable it is that a vector is zero, by the weight of the neighbours that are of the same picture and whose own
/// is (section 16.3): two above, two on the left, one between them.
const ZERO_VECTOR: [u8; 6] = [7, 14, 135, 60, 159, 234];
/// Modes of key frames (section 11.2): the probability that each block of a macroblock has a mode of its own.
const BLOCKS: u8 = 145;
/// Of the others, that luminance is predicted from the mean of its edges or from the edge above.
const MEAN_OR_ABOVE: u8 = 156;
/// Of these, that it is the mean.
const MEAN: u8 = 163;
/// That colour is.
const COLOUR_MEAN: u8 = 142;
const EVEN: u8 = 128;

/// Macroblocks of a picture: 16 pixels square.
pub(crate) const fn macroblocks(width: u16, height: u16) -> (usize, usize) {
    (width.div_ceil(16) as usize, height.div_ceil(16) as usize)
}

/// The first partition of a key frame.
pub(crate) fn key(width: u16, height: u16) -> Vec<u8> {
    let mut encoder = Encoder::default();
    // Colour space and clamping.
    encoder.literal(2, 0);
    put_settings(&mut encoder);
    // Probabilities hold for the frames that follow.
    encoder.literal(1, 1);
    put_no_updates(&mut encoder);
    let (columns, rows) = macroblocks(width, height);
    for _ in 0..columns * rows {
        put_skipped(&mut encoder);
        encoder.put(BLOCKS, true);
        encoder.put(MEAN_OR_ABOVE, false);
        encoder.put(MEAN, false);
        encoder.put(COLOUR_MEAN, false);
    }
    encoder.finish()
}

/// The first partition of a frame that repeats the one before.
pub(crate) fn repeat(width: u16, height: u16) -> Vec<u8> {
    let mut encoder = Encoder::default();
    put_settings(&mut encoder);
    // Golden and alternative pictures stay as they are, also in sign; probabilities hold; and this is the last picture.
    encoder.literal(8, 0);
    encoder.literal(2, 0b11);
    put_no_updates(&mut encoder);
    // That a macroblock is predicted from itself is as improbable as can be; that it is from the last picture is as
    // probable; of the others it does not matter.
    encoder.literal(8, 0);
    encoder.literal(8, 255);
    encoder.literal(8, u32::from(EVEN));
    // Probabilities of modes stay, and those of vectors.
    encoder.literal(2, 0);
    for probability in MOTION_UPDATED.as_flattened() {
        encoder.put(*probability, false);
    }
    let (columns, rows) = macroblocks(width, height);
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        put_skipped(&mut encoder);
        encoder.put(0, true);
        encoder.put(255, false);
        let weight = 2 * usize::from(row > 0) + 2 * usize::from(column > 0) + usize::from(row > 0 && column > 0);
        encoder.put(ZERO_VECTOR.get(weight).copied().unwrap_or(EVEN), false);
    }
    encoder.finish()
}

/// No segments, no filter, one partition of residues, the finest quantizer (sections 9.3 to 9.6).
fn put_settings(encoder: &mut Encoder) {
    encoder.literal(1, 0);
    encoder.literal(1 + 6 + 3, 0);
    encoder.literal(1, 0);
    encoder.literal(2, 0);
    encoder.literal(7 + 5, 0);
}

/// Probabilities of coefficients stay; then macroblocks can be without residues, and that one has them is as improbable
/// as can be (sections 9.10 and 9.11).
fn put_no_updates(encoder: &mut Encoder) {
    let mut updated = UPDATED.iter().peekable();
    for row in 0..ROWS {
        let begins = updated.next_if(|(number, _)| *number == row).map_or(&[][..], |(_, begins)| begins);
        for place in 0..ROW {
            encoder.put(begins.get(place).copied().unwrap_or(255), false);
        }
    }
    encoder.literal(1, 1);
    encoder.literal(8, 0);
}

fn put_skipped(encoder: &mut Encoder) {
    encoder.put(0, true);
}

/// The boolean entropy encoder (section 7): an interval of which each bit takes the lower or the upper part.
struct Encoder {
    out: Vec<u8>,
    /// The interval's lower end: its last 8 bits are on the scale of `width`, those in front still to be written.
    low: u64,
    /// Its width, from 128 to 255.
    width: u32,
    /// Bits in front of the last 8.
    waiting: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { out: Vec::new(), low: 0, width: 255, waiting: 0 }
    }
}

impl Encoder {
    /// `probability` in 256ths is that of false.
    fn put(&mut self, probability: u8, bit: bool) {
        let split = 1 + (((self.width - 1) * u32::from(probability)) >> 8);
        if bit {
            self.low += u64::from(split);
            self.width -= split;
        } else {
            self.width = split;
        }
        let shift = self.width.leading_zeros() - 24;
        self.width <<= shift;
        self.shift(shift);
    }

    /// The last `bits` of a number, the highest first.
    fn literal(&mut self, bits: u32, number: u32) {
        for place in (0..bits).rev() {
            self.put(EVEN, number >> place & 1 == 1);
        }
    }

    fn shift(&mut self, bits: u32) {
        self.low <<= bits;
        self.waiting += bits;
        while self.waiting >= 8 {
            let first = self.low >> self.waiting;
            if first > 0xff {
                self.carry();
            }
            self.out.push((first & 0xff) as u8);
            self.low &= (1 << self.waiting) - 1;
            self.waiting -= 8;
        }
    }

    /// Adds one to what is written.
    fn carry(&mut self) {
        for byte in self.out.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    /// What is written, with all that a decoder may look at ahead.
    fn finish(mut self) -> Vec<u8> {
        for _ in 0..4 {
            self.shift(8);
        }
        self.out
    }
}
