//! Whether one processor keeps up with a link: what a packet costs against how often one comes.

use std::fmt::Write as _;

use super::results::Cost;

/// Links, in bits a second.
const SPEEDS: [(&str, f64); 5] = [("100M", 1e8), ("1G", 1e9), ("10G", 1e10), ("25G", 2.5e10), ("100G", 1e11)];
/// Bytes of a frame, check sequence included.
const SIZES: [u32; 3] = [64, 512, 1518];
/// Preamble, start of frame and the gap to the next one (IEEE 802.3).
const BETWEEN: u32 = 20;

/// Packets a second of a full link.
fn packets(bits: f64, size: u32) -> f64 {
    bits / (8.0 * f64::from(size + BETWEEN))
}

/// A table: by link and size how many packets come, and of them how many one processor takes.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut out = String::from("| link | bytes | packets a second | ns a packet |");
    let mut rule = String::from("\n| --- | --- | --- | --- |");
    for cost in costs {
        let _ = write!(out, " {} ({:.0} ns) |", cost.what, cost.nanos);
        rule.push_str(" --- |");
    }
    out.push_str(&rule);
    for (link, bits) in SPEEDS {
        for size in SIZES {
            let rate = packets(bits, size);
            let _ = write!(out, "\n| {link} | {size} | {} | {:.1} |", grouped(rate), 1e9 / rate);
            for cost in costs {
                let share = 1e9 / cost.nanos / rate;
                if share >= 1.0 {
                    out.push_str(" yes |");
                } else {
                    let _ = write!(out, " {:.0} % |", (100.0 * share).floor());
                }
            }
        }
    }
    out.push('\n');
    out
}

/// A whole number, with a comma every three digits.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_link_has_the_known_numbers_of_packets() {
        assert_eq!(grouped(packets(1e10, 64)), "14,880,952");
        assert_eq!(grouped(packets(1e9, 1518)), "81,274");
    }

    #[test]
    fn a_processor_keeps_up_or_takes_a_share() {
        let table = table(&[Cost { what: "x".into(), nanos: 100.0, host: String::new() }]);
        assert!(table.contains("| 1G | 64 | 1,488,095 | 672.0 | yes |"), "{table}");
        assert!(table.contains("| 10G | 64 | 14,880,952 | 67.2 | 67 % |"), "{table}");
    }
}
