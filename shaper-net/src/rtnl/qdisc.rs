//! Qdiscs: listing and deleting. What adds one journals it.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::link::on;
use super::socket::{Rtnl, What};
use crate::Result;

/// A queueing discipline as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// Its kind: `fq`, `clsact`, `noqueue` …
    pub kind: String,
    /// Its handle, major in the upper half.
    pub handle: u32,
    /// Its parent: `0xffff_ffff` is the root.
    pub parent: u32,
}

impl Rtnl {
    /// The qdiscs of a device.
    pub fn qdiscs(&self, index: u32) -> Result<Vec<Qdisc>> {
        let what = What { tried: "list the qdiscs", on: &on(index) };
        let answers = self.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()), &what)?;
        let mut found = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewQueueDiscipline(message) = answer else { continue };
            if i64::from(message.header.index) != i64::from(index) {
                continue;
            }
            let kind = message.attributes.iter().find_map(|a| match a {
                TcAttribute::Kind(kind) => Some(kind.clone()),
                _ => None,
            });
            found.push(Qdisc {
                kind: kind.unwrap_or_default(),
                handle: message.header.handle.into(),
                parent: message.header.parent.into(),
            });
        }
        Ok(found)
    }

    /// Deletes the root, `clsact` or `ingress` qdisc of a device if it is of `kind`; false when there is none.
    pub fn delete_qdisc(&self, index: u32, kind: &str) -> Result<bool> {
        let ours = |q: &Qdisc| {
            q.kind == kind && (q.parent == u32::from(TcHandle::ROOT) || q.parent == u32::from(TcHandle::INGRESS))
        };
        let Some(qdisc) = self.qdiscs(index)?.into_iter().find(ours) else { return Ok(false) };
        let mut message = TcMessage::default();
        message.header.index = i32::try_from(index).unwrap_or(i32::MAX);
        message.header.handle = qdisc.handle.into();
        message.header.parent = qdisc.parent.into();
        message.attributes.push(TcAttribute::Kind(kind.into()));
        let tried = format!("delete the qdisc {kind}");
        let what = What { tried: &tried, on: &on(index) };
        match self.request(RouteNetlinkMessage::DelQueueDiscipline(message), 0, &what) {
            Ok(_) => Ok(true),
            // A default root qdisc has no handle and cannot be deleted: it is not ours.
            Err(e) if e.errno() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The priorities of the filters of a device's `clsact` qdisc; none where it has no such qdisc.
    pub fn filter_priorities(&self, index: u32, egress: bool) -> Result<Vec<u16>> {
        let what = What { tried: "list the filters", on: &on(index) };
        let mut message = TcMessage::default();
        message.header.index = i32::try_from(index).unwrap_or(i32::MAX);
        message.header.parent = clsact(egress);
        let answers = self.dump(RouteNetlinkMessage::GetTrafficFilter(message), &what)?;
        let mut priorities: Vec<u16> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                // Priority above, protocol below.
                RouteNetlinkMessage::NewTrafficFilter(filter) => u16::try_from(filter.header.info >> 16).ok(),
                _ => None,
            })
            .collect();
        priorities.sort_unstable();
        priorities.dedup();
        Ok(priorities)
    }

    /// Deletes the filters of one priority of a device's `clsact` qdisc; false when there is no such priority.
    pub fn delete_filter(&self, index: u32, egress: bool, priority: u16) -> Result<bool> {
        let mut message = TcMessage::default();
        message.header.index = i32::try_from(index).unwrap_or(i32::MAX);
        message.header.parent = clsact(egress);
        // Priority above, protocol below; protocol 0 matches any (`tc_del_tfilter`, net/sched/cls_api.c).
        message.header.info = u32::from(priority) << 16;
        let what = What { tried: "delete the filter", on: &on(index) };
        match self.request(RouteNetlinkMessage::DelTrafficFilter(message), 0, &what) {
            Ok(_) => Ok(true),
            // No such priority; or no clsact qdisc at all; or no device any more.
            Err(e) if matches!(e.errno(), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// A side of a `clsact` qdisc.
fn clsact(egress: bool) -> TcHandle {
    // TC_H_MIN_INGRESS and TC_H_MIN_EGRESS of include/uapi/linux/pkt_sched.h.
    TcHandle { major: 0xffff, minor: if egress { 0xfff3 } else { 0xfff2 } }
}
