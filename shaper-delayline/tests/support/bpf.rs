//! A small XDP program, assembled here: stamps metadata ([`shaper_common::layout::XskMeta`]) and redirects into one
//! AF_XDP socket.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use shaper_common::units::Nanos;

/// `enum bpf_cmd`, `include/uapi/linux/bpf.h`.
const MAP_CREATE: i64 = 0;
const MAP_UPDATE_ELEM: i64 = 2;
const PROG_LOAD: i64 = 5;
const LINK_CREATE: i64 = 28;
/// `enum bpf_map_type`.
const ARRAY: u32 = 2;
const XSKMAP: u32 = 17;
/// `BPF_PROG_TYPE_XDP`, `BPF_XDP` of `enum bpf_attach_type`, `XDP_FLAGS_DRV_MODE` of `if_link.h`.
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const DRIVER_MODE: u32 = 1 << 2;
/// Helpers, by `__BPF_FUNC_MAPPER`.
const MAP_LOOKUP_ELEM: i32 = 1;
const KTIME_GET_NS: i32 = 5;
const GET_PRANDOM_U32: i32 = 7;
const REDIRECT_MAP: i32 = 51;
const ADJUST_META: i32 = 54;

/// One instruction: opcode, destination and source register, offset, immediate (`struct bpf_insn`).
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [i0, i1, i2, i3] = immediate.to_le_bytes();
    u64::from_le_bytes([code, source << 4 | destination, o0, o1, i0, i1, i2, i3])
}

struct Assembler(Vec<u64>);

impl Assembler {
    fn op(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        self.0.push(instruction(code, destination, source, offset, immediate));
    }

    /// r`to` = r`from`
    fn copy(&mut self, to: u8, from: u8) {
        self.op(0xbf, to, from, 0, 0);
    }

    /// r`to` = `value`
    fn set(&mut self, to: u8, value: i32) {
        self.op(0xb7, to, 0, 0, value);
    }

    /// r`to` = `value`, or with `kind` 1 the map of that descriptor (`BPF_PSEUDO_MAP_FD`).
    fn wide(&mut self, to: u8, kind: u8, value: u64) {
        self.op(0x18, to, kind, 0, value as u32 as i32);
        self.op(0, 0, 0, 0, (value >> 32) as u32 as i32);
    }

    fn call(&mut self, helper: i32) {
        self.op(0x85, 0, 0, 0, helper);
    }

    /// A jump whose offset [`Self::land`] fills in.
    fn jump(&mut self, code: u8, left: u8, right: u8) -> usize {
        self.op(code, left, right, 0, 0);
        self.0.len() - 1
    }

    fn land(&mut self, jumps: &[usize]) {
        for &jump in jumps {
            let offset = (self.0.len() - jump - 1) as u64;
            self.0[jump] |= offset << 16;
        }
    }
}

/// `bpf(2)`.
///
/// # Safety
/// The pointers among the words must lead to what the command expects.
unsafe fn bpf(command: i64, words: &[u32]) -> std::io::Result<RawFd> {
    // SAFETY: the attribute is as long as said; what it points to is the caller's obligation.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, words.as_ptr(), size_of_val(words)) };
    if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(answer as RawFd) }
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel just returned it and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn halves<T>(pointer: *const T) -> [u32; 2] {
    let address = pointer as u64;
    [address as u32, (address >> 32) as u32]
}

fn map(kind: u32, value_size: u32) -> OwnedFd {
    // SAFETY: the attribute holds no pointers.
    owned(unsafe { bpf(MAP_CREATE, &[kind, 4, value_size, 1, 0]) }.expect("bpf(MAP_CREATE)"))
}

/// What a program writes in front of each packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp {
    /// From arrival to release.
    pub(crate) delay: Nanos,
    /// Below which more delay is drawn evenly, a power of two; none where it is 0.
    pub(crate) jitter: Nanos,
    /// Copies of each packet.
    pub(crate) copies: u32,
    /// How far apart they leave.
    pub(crate) spacing: Nanos,
}

/// An attached program. Dropping it detaches it.
pub(crate) struct Program {
    _link: OwnedFd,
}

impl Program {
    /// Redirects all that arrives at an interface into `socket`; with a stamp also writes metadata, with ids counted up
    /// from `first_id`.
    pub(crate) fn attach(ifindex: u32, socket: RawFd, stamp: Option<Stamp>, first_id: u64) -> Program {
        let sockets = map(XSKMAP, 4);
        let ids = map(ARRAY, 8);
        for (map, value) in [(&sockets, u64::from(socket as u32)), (&ids, first_id)] {
            let key = 0u32;
            let ([k0, k1], [v0, v1]) = (halves(&key), halves(&value));
            // SAFETY: key and value live until the call returns and are as long as the map says.
            unsafe { bpf(MAP_UPDATE_ELEM, &[map.as_raw_fd() as u32, 0, k0, k1, v0, v1, 0, 0]) }
                .expect("bpf(MAP_UPDATE_ELEM)");
        }
        let code = assemble(sockets.as_raw_fd(), ids.as_raw_fd(), stamp);
        let license = c"GPL";
        let mut log = vec![0u8; 1 << 16];
        let ([c0, c1], [l0, l1], [g0, g1]) =
            (halves(code.as_ptr()), halves(license.as_ptr()), halves(log.as_mut_ptr()));
        let attributes = [XDP, code.len() as u32, c0, c1, l0, l1, 1, log.len() as u32, g0, g1];
        // SAFETY: code, licence and log live until the call returns and are as long as said.
        let program = unsafe { bpf(PROG_LOAD, &attributes) }.unwrap_or_else(|error| {
            panic!("bpf(PROG_LOAD): {error}\n{}", String::from_utf8_lossy(&log).trim_end_matches('\0'))
        });
        let program = owned(program);
        // SAFETY: the attribute holds no pointers.
        let link = unsafe { bpf(LINK_CREATE, &[program.as_raw_fd() as u32, ifindex, ATTACH_XDP, DRIVER_MODE]) };
        Program { _link: owned(link.expect("bpf(LINK_CREATE)")) }
    }
}

fn assemble(sockets: RawFd, ids: RawFd, stamp: Option<Stamp>) -> Vec<u64> {
    const JNE: u8 = 0x55;
    const JEQ: u8 = 0x15;
    const JGT_REGISTER: u8 = 0x2d;
    let mut a = Assembler(Vec::new());
    a.copy(6, 1);
    let mut drops = Vec::new();
    if let Some(Stamp { delay, jitter, copies, spacing }) = stamp {
        a.set(2, -32);
        a.call(ADJUST_META);
        drops.push(a.jump(JNE, 0, 0));
        // r7 = data_meta, r8 = data; what lies between must be checked to be 32 bytes.
        a.op(0x61, 7, 6, 8, 0);
        a.op(0x61, 8, 6, 0, 0);
        a.copy(1, 7);
        a.op(0x07, 1, 0, 0, 32);
        drops.push(a.jump(JGT_REGISTER, 1, 8));
        a.call(KTIME_GET_NS);
        a.copy(9, 0);
        a.wide(1, 0, delay.0);
        a.op(0x0f, 9, 1, 0, 0);
        if jitter.0 > 0 {
            assert!(jitter.0.is_power_of_two(), "the program masks a random number");
            a.call(GET_PRANDOM_U32);
            a.op(0x57, 0, 0, 0, (jitter.0 - 1) as i32);
            a.op(0x0f, 9, 0, 0, 0);
        }
        a.op(0x7b, 7, 9, 0, 0);
        // r0 = where the counter of ids lies; r1 = fetch and add 1.
        a.op(0x62, 10, 0, -4, 0);
        a.wide(1, 1, ids as u64);
        a.copy(2, 10);
        a.op(0x07, 2, 0, 0, -4);
        a.call(MAP_LOOKUP_ELEM);
        drops.push(a.jump(JEQ, 0, 0));
        a.set(1, 1);
        a.op(0xdb, 0, 1, 0, 1);
        a.op(0x7b, 7, 1, 8, 0);
        for (word, value) in [(16, spacing.0), (24, u64::from(copies))] {
            a.wide(1, 0, value);
            a.op(0x7b, 7, 1, word, 0);
        }
    }
    a.wide(1, 1, sockets as u64);
    // r2 = rx_queue_index
    a.op(0x61, 2, 6, 16, 0);
    a.set(3, 0);
    a.call(REDIRECT_MAP);
    a.op(0x95, 0, 0, 0, 0);
    if !drops.is_empty() {
        a.land(&drops);
        a.set(0, 1);
        a.op(0x95, 0, 0, 0, 0);
    }
    a.0
}
