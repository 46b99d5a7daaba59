//! Builds capture files byte by byte, also those our writer never writes.

/// Byte order of the file being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

type Options<'a> = &'a [(u16, &'a [u8])];

/// A file under construction.
pub(crate) struct Build {
    order: Order,
    bytes: Vec<u8>,
}

impl Build {
    pub(crate) fn classic(order: Order, nano: bool, linktype: u32) -> Self {
        let magic = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(2));
        bytes.extend(order.u16(4));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(65_535));
        bytes.extend(order.u32(linktype));
        Self { order, bytes }
    }

    pub(crate) fn record(mut self, seconds: u32, fraction: u32, origlen: u32, data: &[u8]) -> Self {
        for field in [seconds, fraction, data.len() as u32, origlen] {
            self.bytes.extend(self.order.u32(field));
        }
        self.bytes.extend(data);
        self
    }

    pub(crate) fn ng(order: Order) -> Self {
        Self { order, bytes: Vec::new() }
    }

    pub(crate) fn section(self) -> Self {
        let order = self.order;
        let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &order.u64(u64::MAX)].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn interface(self, linktype: u16, snaplen: u32, options: Options<'_>) -> Self {
        let order = self.order;
        let mut body = [&order.u16(linktype)[..], &[0, 0], &order.u32(snaplen)].concat();
        self.options(&mut body, options);
        self.block(1, &body)
    }

    pub(crate) fn enhanced(self, interface: u32, time: u64, origlen: u32, data: &[u8], options: Options<'_>) -> Self {
        let mut body = self.order.u32(interface).to_vec();
        self.packet(&mut body, time, origlen, data);
        self.options(&mut body, options);
        self.block(6, &body)
    }

    pub(crate) fn obsolete(self, interface: u16, drops: u16, time: u64, origlen: u32, data: &[u8]) -> Self {
        let mut body = [self.order.u16(interface), self.order.u16(drops)].concat();
        self.packet(&mut body, time, origlen, data);
        self.block(2, &body)
    }

    pub(crate) fn simple(self, origlen: u32, data: &[u8]) -> Self {
        let body = [&self.order.u32(origlen)[..], data].concat();
        self.block(3, &body)
    }

    pub(crate) fn statistics(self, interface: u32, options: Options<'_>) -> Self {
        let mut body = [&self.order.u32(interface)[..], &[0; 8]].concat();
        self.options(&mut body, options);
        self.block(5, &body)
    }

    pub(crate) fn unknown(self, kind: u32) -> Self {
        self.block(kind, b"who knows what")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn packet(&self, body: &mut Vec<u8>, time: u64, origlen: u32, data: &[u8]) {
        body.extend(self.order.u32((time >> 32) as u32));
        body.extend(self.order.u32(time as u32));
        body.extend(self.order.u32(data.len() as u32));
        body.extend(self.order.u32(origlen));
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
    }

    fn options(&self, body: &mut Vec<u8>, options: Options<'_>) {
        for (code, value) in options {
            body.extend(self.order.u16(*code));
            body.extend(self.order.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
    }

    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let length = self.order.u32((12 + body.len().next_multiple_of(4)) as u32);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(length);
        self
    }
}
