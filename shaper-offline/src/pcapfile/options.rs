//! pcapng options (draft section 3.5).

use std::ops::Range;

use super::{error::Fault, order::Order};

/// `opt_endofopt`.
const END: u16 = 0;
/// `opt_comment`, the same in every block.
pub(super) const COMMENT: u16 = 1;

/// The options of one block, checked once and walked when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
    order: Order,
}

/// One option as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// Option code; its meaning depends on the block.
    pub code: u16,
    /// Value without padding, in the section's byte order.
    pub value: &'a [u8],
}

impl<'a> Options<'a> {
    /// Takes the bytes behind a block's fixed part.
    ///
    /// # Errors
    /// The offset into `bytes` and the fault, when an option reaches beyond them.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], order: Order) -> Result<Self, (usize, Fault)> {
        let options = Self { bytes, order };
        options.place(END)?;
        Ok(options)
    }

    /// Checks like [`new`](Self::new), and finds the first value of an option on the way.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[inline]
    pub(super) fn find(bytes: &'a [u8], order: Order, code: u16) -> Result<Option<&'a [u8]>, (usize, Fault)> {
        Ok(Self { bytes, order }.place(code)?.and_then(|place| bytes.get(place)))
    }

    /// Options that [`new`](Self::new) has checked before.
    #[inline]
    pub(super) fn checked(bytes: &'a [u8], order: Order) -> Self {
        Self { bytes, order }
    }

    /// Walks all options, and tells where the first value of one is.
    #[inline]
    fn place(&self, wanted: u16) -> Result<Option<Range<usize>>, (usize, Fault)> {
        let mut place = None;
        if !self.bytes.is_empty() {
            let mut at = 0;
            while let Some((code, length)) = self.head(at) {
                if code == END {
                    break;
                }
                if self.bytes.len() - at - 4 < usize::from(length) {
                    return Err((at, Fault::Option { code, length }));
                }
                if code == wanted && place.is_none() {
                    place = Some(at + 4..at + 4 + usize::from(length));
                }
                at += 4 + usize::from(length).next_multiple_of(4);
            }
        }
        Ok(place)
    }

    fn head(&self, at: usize) -> Option<(u16, u16)> {
        Some((self.order.u16(self.bytes, at)?, self.order.u16(self.bytes, at + 2)?))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All options up to the end mark, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = RawOption<'a>> + use<'a> {
        let options = *self;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (code, length) = options.head(at)?;
            if code == END {
                return None;
            }
            let value = options.bytes.get(at + 4..)?.get(..usize::from(length))?;
            at += 4 + usize::from(length).next_multiple_of(4);
            Some(RawOption { code, value })
        })
    }

    /// Comments (`opt_comment`) that are UTF-8, which the format demands.
    pub fn comments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(COMMENT).filter_map(|value| std::str::from_utf8(value).ok())
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    pub(super) fn all(&self, code: u16) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.iter().filter(move |option| option.code == code).map(|option| option.value)
    }

    pub(super) fn text(&self, code: u16) -> Option<String> {
        self.all(code).next().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn u32(&self, code: u16) -> Option<u32> {
        self.order.u32(self.all(code).next()?, 0)
    }

    pub(super) fn u64(&self, code: u16) -> Option<u64> {
        self.order.u64(self.all(code).next()?, 0)
    }

    pub(super) fn halves(&self, code: u16) -> Option<u64> {
        self.order.halves(self.all(code).next()?, 0)
    }
}
