//! One port of the delay line: its socket, and the packets that are due to leave there.

use std::collections::VecDeque;

use shaper_common::units::Nanos;
use shaper_xsk::{Descriptor, Kick, Socket, XskError};

use crate::sys;
use crate::wheel::Due;

/// Most packets put into the tx ring at a time: what one or two calls send, so that no port keeps the others
/// waiting for long.
const STAGE: usize = 64;
/// Calls that may stop early one after another without visible progress, before a port has to wait. Kernels before 6.17
/// show that packets left the tx ring only once they have been through all that they saw of it: at most [`STAGE`]
/// packets, 32 a call.
const UNSEEN_CALLS: u32 = 3;

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
    /// The device is down. The packet never left our hands.
    Discarded,
}

/// How a packet came out of [`Output::transmit`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handed {
    pub(crate) due: Due,
    pub(crate) at: Nanos,
    pub(crate) left: Left,
    /// Whether its frame is free already: otherwise it is reaped later.
    pub(crate) returned: bool,
}

/// Packets on their way out of one port, in order. The first `staged` are in the tx ring.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) socket: Socket,
    pub(crate) peer: usize,
    queue: VecDeque<Due>,
    staged: usize,
    /// Packets that the device dropped, not yet seen to have left the tx ring.
    refused: usize,
    /// Frames of staged packets that have come back already: sent, though the tx ring does not show it.
    early: Vec<u32>,
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
            refused: 0,
            early: Vec::with_capacity(STAGE),
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

    /// Whether packets are in the tx ring, sent or not.
    #[inline]
    pub(crate) fn is_staged(&self) -> bool {
        self.staged > 0
    }

    /// Takes back up to `limit` frames of packets that left, and gives each to `free`. Returns how many.
    pub(crate) fn reap(&mut self, limit: u32, mut free: impl FnMut(u32), number: impl Fn(u64) -> Option<u32>) -> u32 {
        let (queue, staged, early) = (&self.queue, self.staged, &mut self.early);
        let mut freed = 0;
        self.socket.reap(limit, |address| {
            let Some(frame) = number(address) else { return };
            if queue.range(..staged).any(|due| due.frame == frame) {
                early.push(frame);
            } else {
                free(frame);
                freed += 1;
            }
        });
        self.unreturned = self.unreturned.saturating_sub(freed);
        freed
    }

    /// Hands packets to the device, in order, and tells `each` of every one that left. Returns how many did.
    /// What finds no room stays. Packets for a device that is down are dropped, except for the few in its tx ring,
    /// which the kernel alone can take out: they leave when it comes up.
    ///
    /// How many packets the device dropped is exact. Which of those that left in the same moment they are is not told
    /// by kernels before 6.17: the last ones are taken for them.
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
        let mut unseen = 0;
        while self.staged > 0 && unseen < UNSEEN_CALLS {
            let kick = self.socket.kick()?;
            let at = sys::monotonic();
            // Without a packet in the tx ring none can be dropped, so that this ends.
            self.refused += usize::from(kick == Kick::Dropped);
            let left = self.socket.tx_pending() as usize;
            let taken = self.staged.saturating_sub(left);
            self.staged = left;
            let sent = taken.saturating_sub(self.refused);
            for (index, due) in self.queue.drain(..taken).enumerate() {
                let back = self.early.iter().position(|frame| *frame == due.frame);
                if let Some(place) = back {
                    self.early.swap_remove(place);
                } else {
                    self.unreturned += 1;
                }
                let left = if index < sent { Left::Sent } else { Left::Refused };
                each(Handed { due, at, left, returned: back.is_some() });
            }
            self.refused -= taken - sent;
            handed += taken;
            match kick {
                Kick::Down => {
                    for due in self.queue.drain(self.staged..) {
                        each(Handed { due, at, left: Left::Discarded, returned: true });
                        handed += 1;
                    }
                    break;
                }
                // One packet left, whether it shows or not.
                Kick::Dropped => {}
                Kick::Done | Kick::Again if taken > 0 => unseen = 0,
                Kick::Done | Kick::NoMemory => break,
                Kick::Again => unseen += 1,
            }
        }
        Ok(handed)
    }
}
