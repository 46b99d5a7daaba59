//! Values drawn from an input's bytes, so that a change of a byte is a change of one value.

/// What is left of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw<'a>(pub(crate) &'a [u8]);

impl<'a> Draw<'a> {
    /// The next `N` bytes; `None` where there are fewer, and there is no more then.
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) =
            self.0.split_first_chunk::<N>().map_or((None, &[][..]), |(taken, rest)| (Some(*taken), rest));
        self.0 = rest;
        taken
    }

    /// The next byte, or zero.
    pub(crate) fn byte(&mut self) -> u8 {
        self.take::<1>().map_or(0, |[byte]| byte)
    }

    /// As many bytes as there are, `length` at most.
    pub(crate) fn slice(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
