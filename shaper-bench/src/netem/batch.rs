//! A frame that is handed to the kernel many times at once, each time with a departure time of its own where there is one.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use anyhow::Result;
use nix::errno::Errno;
use shaper_engine::clock::monotonic;

/// Frames of one call.
const FRAMES: usize = 64;

/// A control message (cmsg(3)) that says when a packet is to depart: SCM_TXTIME.
#[repr(C)]
struct Departure {
    header: libc::cmsghdr,
    /// CLOCK_MONOTONIC in nanoseconds.
    time: u64,
}

impl Departure {
    fn at(time: u64) -> Self {
        let header =
            libc::cmsghdr { cmsg_len: size_of::<Self>(), cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_TXTIME };
        Self { header, time }
    }
}

pub(super) struct Batch {
    frame: Vec<u8>,
    /// Of the device that it leaves by (packet(7)).
    address: libc::sockaddr_ll,
    /// What a frame of the last call took, in nanoseconds.
    each: u64,
    /// The next departure is no earlier: all leave in their order.
    last: u64,
}

impl Batch {
    pub(super) fn new(frame: Vec<u8>, device: u32) -> Result<Self> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: super::tc::IPV4.to_be(),
            sll_ifindex: i32::try_from(device)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        Ok(Self { frame, address, each: 0, last: 0 })
    }

    /// Hands the frame over, without waiting for room, and answers how often it was taken. With `ahead` each departs so many
    /// nanoseconds from when its turn comes, as far as the last call tells: as if the clock were read for each.
    pub(super) fn send(&mut self, socket: &OwnedFd, ahead: Option<u64>) -> nix::Result<u64> {
        let begin = monotonic();
        let mut departures = ahead.map(|ahead| {
            let (first, each) = (self.last.max(begin + ahead), self.each);
            std::array::from_fn::<_, FRAMES, _>(|number| Departure::at(first + each * number as u64))
        });
        let slice = libc::iovec { iov_base: self.frame.as_ptr().cast_mut().cast(), iov_len: self.frame.len() };
        let mut headers: [libc::mmsghdr; FRAMES] = std::array::from_fn(|number| {
            let departure = departures.as_mut().and_then(|all| all.get_mut(number));
            let (control, length) =
                departure.map_or((ptr::null_mut(), 0), |one| (ptr::from_mut(one).cast(), size_of::<Departure>()));
            let header = libc::msghdr {
                msg_name: (&raw const self.address).cast_mut().cast(),
                msg_namelen: size_of::<libc::sockaddr_ll>() as libc::socklen_t,
                msg_iov: (&raw const slice).cast_mut(),
                msg_iovlen: 1,
                msg_control: control,
                msg_controllen: length,
                msg_flags: 0,
            };
            libc::mmsghdr { msg_hdr: header, msg_len: 0 }
        });
        // SAFETY: the headers are as many as is said, and what they point at lives until the call has returned; of all that
        // the kernel writes the headers alone.
        let taken = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), FRAMES as libc::c_uint, libc::MSG_DONTWAIT)
        };
        let taken = u64::from(Errno::result(taken)?.unsigned_abs());
        if let Some(first) = departures.as_ref().and_then(|all| all.first()) {
            self.last = first.time + self.each * taken;
            self.each = monotonic().saturating_sub(begin) / taken.max(1);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_a_control_message_without_a_gap() {
        // SAFETY: both only reckon with lengths.
        let (length, space) = unsafe { (libc::CMSG_LEN(8), libc::CMSG_SPACE(8)) };
        assert_eq!((size_of::<Departure>(), size_of::<Departure>()), (length as usize, space as usize));
        assert_eq!(std::mem::offset_of!(Departure, time), length as usize - 8);
    }
}
