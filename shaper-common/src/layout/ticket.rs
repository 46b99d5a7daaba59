//! What a packet carries through `fq`, and what is written down when it leaves: the evidence of engine `edt`.

use super::record::packet_id;
use crate::units::Nanos;

/// What a packet carries in fields of its socket buffer, from where `fq` takes it to where it comes out of our own pair of
/// devices: there they are read and cleared. A veth leaves these as they are, where both ends are in one namespace; the
/// priority it does not (`____dev_forward_skb`, include/linux/netdevice.h).
///
/// `fq` looks at the lower bits of the hash ([`Ticket::FLOW`]) for the flow that a packet belongs to, where no socket says
/// so; those of one flow leave one behind another. Packets that keep their order go by their rule. Those that may overtake
/// are scattered: each has a flow of its own, of up to eight rules for certain, and of more where their numbers are not 1024
/// and more apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// `skb->mark`: the lower half of the release time.
    pub mark: u32,
    /// `skb->hash`.
    pub hash: u32,
    /// `skb->tc_index`, of 16 bits: what has no room in the hash.
    pub tc_index: u32,
}

impl Ticket {
    /// The bits of the hash that `fq` is to look at.
    pub const FLOW: u32 = (1 << 26) - 1;
    /// As many packets of a channel may be on their way at once.
    pub const MOST: u32 = 1 << Self::SEQUENCE;
    /// Bits of the packet's number; the four of the copy are in front of them, and of the rule three in front of these.
    const SEQUENCE: u32 = 18;
    const NUMBER: u32 = (1 << (Self::SEQUENCE + 4)) - 1;
    /// Set in the flow where it is not the rule.
    const SCATTERED: u32 = 1 << 25;
    /// No rule has this number.
    const NO_RULE: u32 = 0xffff;

    /// What a control packet carries: a flow of their own, of which nothing is held.
    pub const CONTROL: Self = Self { mark: 0, hash: Self::NO_RULE, tc_index: 0 };

    /// That of a packet, `rule` by its number in the direction, zero for what none matches; of its copies from 1 up, or of
    /// itself.
    #[inline(always)]
    #[must_use]
    pub const fn new(release: Nanos, sequence: u64, copy: u32, rule: u32, scatter: bool) -> Self {
        let number = (sequence as u32 & (Self::MOST - 1)) | ((copy & 15) << Self::SEQUENCE);
        let (flow, beside) = if scatter {
            (Self::SCATTERED | (rule & 7) << (Self::SEQUENCE + 4) | (number ^ Self::spread(rule)), rule)
        } else {
            (rule, number)
        };
        Self { mark: release.0 as u32, hash: flow | ((beside >> 16) << 26), tc_index: beside & 0xffff }
    }

    /// Puts rules that have the same three bits far apart.
    #[inline(always)]
    const fn spread(rule: u32) -> u32 {
        ((rule >> 3) & 0xff) << (Self::SEQUENCE - 8)
    }

    /// Whether it is a control packet's.
    #[inline(always)]
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.hash & Self::FLOW == Self::NO_RULE
    }

    /// The number of the packet with its copy, and the rule.
    #[inline(always)]
    const fn parts(&self) -> (u32, u32) {
        let (flow, beside) = (self.hash & Self::FLOW, ((self.hash >> 26) << 16) | (self.tc_index & 0xffff));
        if flow & Self::SCATTERED != 0 {
            ((flow & Self::NUMBER) ^ Self::spread(beside), beside)
        } else {
            (beside, flow)
        }
    }

    /// The number of the rule in its direction; zero for none.
    #[inline(always)]
    #[must_use]
    pub const fn rule(&self) -> u32 {
        self.parts().1
    }

    /// What is written down when the packet leaves at `now`: of its direction, by its channel, whose next number is `next`.
    #[inline(always)]
    #[must_use]
    pub const fn release(&self, now: Nanos, direction: u32, channel: u32, next: u64) -> Release {
        let (number, _) = self.parts();
        let behind = (next as u32).wrapping_sub(number) & (Self::MOST - 1);
        // The halves of two times that are less than two seconds apart.
        let late = (now.0 as u32).wrapping_sub(self.mark) as i32;
        Release {
            id: packet_id(channel, next.wrapping_sub(behind as u64)),
            intended: Nanos(now.0.wrapping_sub(late as i64 as u64)),
            actual: now,
            direction,
            copy: (number >> Self::SEQUENCE) & 15,
        }
    }
}

/// That a packet came out of `fq`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The packet's id.
    pub id: u64,
    /// When it was to, CLOCK_MONOTONIC.
    pub intended: Nanos,
    /// When it did.
    pub actual: Nanos,
    /// Its direction.
    pub direction: u32,
    /// Which copy it is, from 1 up; 0 for the packet itself.
    pub copy: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_carries_gives_back_its_id_and_release_time() {
        for (sequence, ahead) in [(0, 1), (5, 1), (0x3_ffff, 70_000), (0x1_0000_0003, 0x3_ff00)] {
            for (late, scatter) in [(0, false), (1, true), (30_000, false), (1_900_000_000, true)] {
                let release = Nanos(0x12_ffff_fff0);
                let now = Nanos(release.0 + late);
                for (copy, rule) in [(0, 0), (3, 65_534), (15, 1)] {
                    let ticket = Ticket::new(release, sequence, copy, rule, scatter);
                    assert_eq!((ticket.is_control(), ticket.rule(), ticket.tc_index >> 16), (false, rule, 0));
                    let back = ticket.release(now, 1, 9, sequence + ahead);
                    let id = packet_id(9, sequence);
                    assert_eq!(back, Release { id, intended: release, actual: now, direction: 1, copy });
                }
            }
        }
    }

    #[test]
    fn packets_that_may_overtake_have_flows_of_their_own_whatever_their_rule_and_the_others_go_by_it() {
        let flows = |scatter, rules: std::ops::Range<u32>| {
            let flow = |rule, n| Ticket::new(Nanos(n), n, n as u32 % 3, rule, scatter).hash & Ticket::FLOW;
            let all = rules.flat_map(|rule| (0..1000).map(move |n| flow(rule, n)));
            all.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!((flows(false, 0..8).len(), flows(true, 0..8).len()), (8, 8_000));
        // Those of more rules, as long as their numbers go on side by side.
        assert_eq!(flows(true, 0..64).len(), 64_000);
        let control = Ticket::CONTROL.hash & Ticket::FLOW;
        assert!(Ticket::CONTROL.is_control());
        assert!(!flows(false, 0..100).contains(&control) && !flows(true, 0..100).contains(&control));
    }
}
