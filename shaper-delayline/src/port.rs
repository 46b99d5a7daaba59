//! One port of the delay line: its socket, and the packets that are due to leave there.

use std::collections::VecDeque;

use shaper_common::units::Nanos;
use shaper_xsk::{Descriptor, Kick, Socket, XskError};

use crate::sys;
use crate::wheel::Due;

/// Most packets put into the tx ring at a time: what one or two calls send, so that no port keeps the others
/// waiting for long.
const STAGE: usize = 64;

/// A socket, and the port that its packets leave at.
#[derive(Debug)]
pub struct Port {
    /// The socket.
    pub socket: Socket,
    /// The index of the output port. May be the port itself, or be shared with others.
    pub peer: usize,
}

/// What became of a packet that left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The device has it.
    Sent,
    /// The device dropped it. Its frame comes back like that of a sent one.
    Refused,
    /// The device is down. The frame never left our hands.
    Discarded,
}

/// How a packet came out of [`Output::transmit`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handed {
    pub(crate) due: Due,
    pub(crate) at: Nanos,
    pub(crate) left: Left,
}

/// Packets on their way out of one port, in order. The first `staged` are in the tx ring.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) socket: Socket,
    pub(crate) peer: usize,
    queue: VecDeque<Due>,
    staged: usize,
    /// Frames the kernel has for receiving: in the fill ring, in its hands, or in the rx ring.
    pub(crate) to_receive: u32,
    /// Frames sent that have not come back.
    pub(crate) unreturned: u32,
}

impl Output {
    pub(crate) fn new(port: Port, frames: usize) -> Output {
        Output {
            socket: port.socket,
            peer: port.peer,
            queue: VecDeque::with_capacity(frames),
            staged: 0,
            to_receive: 0,
            unreturned: 0,
        }
    }

    /// Adds a packet whose time has come.
    #[inline]
    pub(crate) fn enqueue(&mut self, due: Due) {
        self.queue.push_back(due);
    }

    /// Packets that are due and have not left.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Hands packets to the device, in order, and tells `each` of every one that left. Returns how many did.
    /// What finds no room stays. Packets for a device that is down are dropped, except for the few in its tx ring,
    /// which the kernel alone can take out: they leave when it comes up.
    pub(crate) fn transmit(
        &mut self,
        packet: impl Fn(u32) -> Descriptor,
        mut each: impl FnMut(Handed),
    ) -> Result<usize, XskError> {
        while let Some(due) = self.queue.get(self.staged)
            && self.staged < STAGE
            && self.socket.push_tx(packet(due.frame))
        {
            self.staged += 1;
        }
        self.socket.publish_tx();
        let mut handed = 0;
        while self.staged > 0 {
            let kick = self.socket.kick()?;
            let at = sys::monotonic();
            let left = self.socket.tx_pending() as usize;
            let taken = self.staged.saturating_sub(left);
            self.staged = left;
            self.unreturned += taken as u32;
            for (index, due) in self.queue.drain(..taken).enumerate() {
                // The kernel stops at the packet that the device dropped.
                let last = index + 1 == taken;
                let left = if last && kick == Kick::Dropped { Left::Refused } else { Left::Sent };
                each(Handed { due, at, left });
            }
            handed += taken;
            if kick == Kick::Down {
                for due in self.queue.drain(self.staged..) {
                    each(Handed { due, at, left: Left::Discarded });
                    handed += 1;
                }
            }
            if taken == 0 {
                break;
            }
        }
        Ok(handed)
    }
}
