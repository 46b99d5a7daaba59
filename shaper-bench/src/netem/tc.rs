//! netem, and the filters that lead packets to it, in the bytes of their netlink attributes.
//!
//! Layouts: include/uapi/linux/pkt_sched.h and pkt_cls.h; what netem makes of them: net/sched/sch_netem.c.

use std::net::Ipv4Addr;

use shaper_net::rtnl::encoded;

use super::figures::Shape;

/// Packets that a qdisc holds at most: netem's default of 1,000 would be what is measured otherwise.
pub(super) const LIMIT: u32 = 1_000_000;
/// Entries of a table of delays.
const TABLE: u32 = 4_096;
/// What stands for a whole sigma in such a table (`NETEM_DIST_SCALE`).
const SCALE: f64 = 8_192.0;

const TCA_NETEM_DELAY_DIST: u16 = 2;
const TCA_NETEM_LOSS: u16 = 5;
const TCA_NETEM_RATE: u16 = 6;
const TCA_NETEM_LATENCY64: u16 = 10;
const TCA_NETEM_JITTER64: u16 = 11;
const NETEM_LOSS_GE: u16 = 2;
const TCA_U32_CLASSID: u16 = 1;
const TCA_U32_SEL: u16 = 5;
const TC_U32_TERMINAL: u8 = 1;
const TCA_FLOWER_CLASSID: u16 = 1;
const TCA_FLOWER_KEY_ETH_TYPE: u16 = 8;
const TCA_FLOWER_KEY_IPV4_DST: u16 = 12;
const TCA_FLOWER_KEY_IPV4_DST_MASK: u16 = 13;
/// Says that attributes stand in an attribute.
const NLA_F_NESTED: u16 = 0x8000;

/// The ethertype of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// Filters that u32 holds in one priority without a hash table of the user's: twelve bits number them.
pub(super) const U32_FILTERS: usize = 4_095;

/// Settings of netem.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Netem {
    /// Seconds.
    pub(super) delay: f64,
    pub(super) jitter: f64,
    /// Of the jitter; none is uniform.
    pub(super) table: Option<Shape>,
    /// Share of packets, each on its own.
    pub(super) loss: f64,
    /// Gilbert-Elliott: into the bad state, and out of it.
    pub(super) bursts: Option<(f64, f64)>,
    /// Bits a second.
    pub(super) rate: Option<f64>,
}

impl Netem {
    /// The value of `TCA_OPTIONS`.
    pub(super) fn options(&self) -> Vec<u8> {
        // struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter; times stand in attributes of their own.
        let mut bytes: Vec<u8> = [0, LIMIT, share(self.loss), 0, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend(encoded(TCA_NETEM_LATENCY64, &nanos(self.delay).to_ne_bytes()));
        bytes.extend(encoded(TCA_NETEM_JITTER64, &nanos(self.jitter).to_ne_bytes()));
        if let Some(shape) = self.table {
            bytes.extend(encoded(TCA_NETEM_DELAY_DIST, &table(shape)));
        }
        if let Some((bad, good)) = self.bursts {
            // struct tc_netem_gemodel: p, r, h, 1-k; all is lost in the bad state, nothing in the good one.
            let model: Vec<u8> = [share(bad), share(good), 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
            let mut nested = Vec::new();
            nested.extend(encoded(NETEM_LOSS_GE, &model));
            bytes.extend(encoded(TCA_NETEM_LOSS | NLA_F_NESTED, &nested));
        }
        if let Some(rate) = self.rate {
            // struct tc_netem_rate: bytes a second, overhead, cells.
            let rate: Vec<u8> = [(rate / 8.0) as u32, 0, 0, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
            bytes.extend(encoded(TCA_NETEM_RATE, &rate));
        }
        bytes
    }
}

/// Three bands, and all that no filter names goes to the first.
pub(super) fn prio() -> Vec<u8> {
    // struct tc_prio_qopt: bands, and a band for each of 16 priorities.
    let mut bytes = 3i32.to_ne_bytes().to_vec();
    bytes.extend([0; 16]);
    bytes
}

/// IPv4 packets to an address, to a class.
pub(super) fn u32_filter(to: Ipv4Addr, class: u32) -> Vec<u8> {
    /// Where the destination stands in an IPv4 header.
    const DESTINATION: i32 = 16;
    let mut bytes = Vec::new();
    bytes.extend(encoded(TCA_U32_CLASSID, &class.to_ne_bytes()));
    // struct tc_u32_sel: flags, offset's shift, keys; offsets that are not used; and a key: mask, value, place.
    let mut selector = vec![TC_U32_TERMINAL, 0, 1, 0];
    selector.extend([0; 12]);
    selector.extend(u32::MAX.to_be_bytes());
    selector.extend(to.octets());
    selector.extend(DESTINATION.to_ne_bytes());
    selector.extend(0i32.to_ne_bytes());
    bytes.extend(encoded(TCA_U32_SEL, &selector));
    bytes
}

/// The same by flower.
pub(super) fn flower_filter(to: Ipv4Addr, class: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(encoded(TCA_FLOWER_CLASSID, &class.to_ne_bytes()));
    bytes.extend(encoded(TCA_FLOWER_KEY_ETH_TYPE, &IPV4.to_be_bytes()));
    bytes.extend(encoded(TCA_FLOWER_KEY_IPV4_DST, &to.octets()));
    bytes.extend(encoded(TCA_FLOWER_KEY_IPV4_DST_MASK, &[0xff; 4]));
    bytes
}

/// The table that iproute2 documents for a shape: quantiles in sigma, as far as 16 bits reach.
fn table(shape: Shape) -> Vec<u8> {
    let entry = |number: u32| {
        let probability = (f64::from(number) + 0.5) / f64::from(TABLE);
        let value = (shape.netem_quantile(probability) * SCALE).round();
        value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    };
    (0..TABLE).map(entry).flat_map(i16::to_ne_bytes).collect()
}

/// A probability of 32 bits.
fn share(probability: f64) -> u32 {
    (probability * f64::from(u32::MAX)).round() as u32
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_one_key_of_sixteen_bytes_behind_sixteen() {
        let bytes = u32_filter(Ipv4Addr::new(10, 77, 0, 2), 0x1_0003);
        assert_eq!(bytes.len(), 8 + 4 + 32);
        assert_eq!(bytes[8..10], 36u16.to_ne_bytes());
        assert_eq!(bytes[28..36], [255, 255, 255, 255, 10, 77, 0, 2]);
    }

    #[test]
    fn a_table_rises_and_ends_where_its_numbers_do() {
        let entries =
            |shape| -> Vec<i16> { table(shape).chunks(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]])).collect() };
        let normal = entries(Shape::Normal);
        assert!(normal.is_sorted());
        let square = normal.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / normal.len() as f64;
        assert!((square.sqrt() / SCALE - 1.0).abs() < 0.01, "{}", square.sqrt() / SCALE);
        let pareto = entries(Shape::Pareto);
        assert!(pareto.is_sorted());
        // Above 4 sigma lie (3 + 3/2)^-3 of all.
        let cut = pareto.iter().filter(|x| **x == i16::MAX).count() as f64 / pareto.len() as f64;
        assert!((cut - 4.5f64.powi(-3)).abs() < 1.0 / 4096.0, "{cut}");
    }
}
