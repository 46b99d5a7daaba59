//! The `fq` qdisc as a scheduler of departure times: given to a device, read back, and its counts.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla, NlaBuffer, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption, TcStats2};

use super::link::on;
use super::socket::{Rtnl, What};
use crate::{Error, Result};

/// Its kind.
const KIND: &str = "fq";

/// Its attributes (include/uapi/linux/pkt_sched.h).
mod attribute {
    pub(super) const PLIMIT: u16 = 1;
    pub(super) const FLOW_PLIMIT: u16 = 2;
    pub(super) const RATE_ENABLE: u16 = 5;
    pub(super) const BUCKETS_LOG: u16 = 8;
    pub(super) const ORPHAN_MASK: u16 = 10;
    pub(super) const TIMER_SLACK: u16 = 13;
    pub(super) const HORIZON: u16 = 14;
}

/// What is asked of an `fq`, beside that it paces nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FqSettings {
    /// The most packets that it holds, of one flow as of all.
    pub limit: u32,
    /// Binary logarithm of the number of trees that flows are found in, 18 at most.
    pub buckets_log: u32,
    /// Which bits of a packet's hash say the flow that it belongs to, where no socket does.
    pub orphan_mask: u32,
    /// How much later than asked its timer may fire, in nanoseconds.
    pub timer_slack: u32,
    /// How far ahead a departure may be, in microseconds: packets beyond are dropped.
    pub horizon: u32,
}

impl FqSettings {
    fn options(&self) -> [(u16, u32); 7] {
        let Self { limit, buckets_log, orphan_mask, timer_slack, horizon } = *self;
        [
            (attribute::PLIMIT, limit),
            (attribute::FLOW_PLIMIT, limit),
            (attribute::RATE_ENABLE, 0),
            (attribute::BUCKETS_LOG, buckets_log),
            (attribute::ORPHAN_MASK, orphan_mask),
            (attribute::TIMER_SLACK, timer_slack),
            (attribute::HORIZON, horizon),
        ]
    }
}

/// How an `fq` stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FqCounts {
    /// Packets that it holds.
    pub held: u64,
    /// Packets that it dropped: above its limit, or too far ahead.
    pub dropped: u64,
}

impl Rtnl {
    /// Makes an `fq` the root qdisc of a device, in place of what was there, and reads its settings back.
    ///
    /// # Errors
    /// [`Error::Missing`] of a kernel without `fq`; and one that keeps other settings than those asked for.
    pub fn set_fq(&self, index: u32, settings: &FqSettings) -> Result<()> {
        let mut message = TcMessage::default();
        message.header.index = i32::try_from(index).unwrap_or(i32::MAX);
        message.header.parent = TcHandle::ROOT;
        message.attributes.push(TcAttribute::Kind(KIND.into()));
        let asked = settings.options().map(|(kind, value)| DefaultNla::new(kind, value.to_ne_bytes().into()));
        message.attributes.push(TcAttribute::Options(asked.map(TcOption::Other).into()));
        let what = What { tried: "give it an fq", on: &on(index) };
        let set = self.request(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_REPLACE, &what);
        set.map_err(|error| match error.errno() {
            Some(libc::ENOENT) => Error::Missing { what: "qdisc", name: KIND.into(), within: "this kernel".into() },
            _ => error,
        })?;
        let kept = options(&self.fq(index)?);
        match settings.options().into_iter().find(|wanted| !kept.contains(wanted)) {
            Some((kind, value)) => {
                Err(what.unclear(format!("the kernel did not keep {value} as attribute {kind}: it has {kept:?}")))
            }
            None => Ok(()),
        }
    }

    /// How the `fq` of a device stands.
    ///
    /// # Errors
    /// When it has none.
    pub fn fq_counts(&self, index: u32) -> Result<FqCounts> {
        let counts = self.fq(index)?.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Stats2(all) => all.iter().find_map(|stats| match stats {
                TcStats2::Queue(queue) => {
                    Some(FqCounts { held: u64::from(queue.qlen), dropped: u64::from(queue.drops) })
                }
                _ => None,
            }),
            _ => None,
        });
        let what = What { tried: "read the counts of its fq", on: &on(index) };
        counts.ok_or_else(|| what.unclear("there are none".into()))
    }

    fn fq(&self, index: u32) -> Result<TcMessage> {
        let what = What { tried: "find its fq", on: &on(index) };
        let answers = self.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()), &what)?;
        let is_it = |message: &TcMessage| {
            i64::from(message.header.index) == i64::from(index)
                && message.header.parent == TcHandle::ROOT
                && message.attributes.contains(&TcAttribute::Kind(KIND.into()))
        };
        let found = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(message) if is_it(&message) => Some(message),
            _ => None,
        });
        found.ok_or_else(|| what.unclear("it is not there".into()))
    }
}

/// The options of a qdisc that are of four bytes: of kinds that it does not know the library hands on the whole attribute.
fn options(message: &TcMessage) -> Vec<(u16, u32)> {
    let all = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().find_map(|option| match option {
            TcOption::Other(all) => Some(all),
            _ => None,
        }),
        _ => None,
    });
    let mut bytes = vec![0; all.map_or(0, Nla::value_len)];
    if let Some(all) = all {
        all.emit_value(&mut bytes);
    }
    let word = |nla: NlaBuffer<&[u8]>| Some((nla.kind(), u32::from_ne_bytes(nla.value().try_into().ok()?)));
    NlasIterator::new(bytes.as_slice()).filter_map(|nla| word(nla.ok()?)).collect()
}
