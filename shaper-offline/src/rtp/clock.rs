//! Clock rates: known by payload type (RFC 3551, tables 4 and 5), or estimated from how timestamps
//! go on with time.

/// Rates that are in use, in Hz: those of RFC 3551, of the media types registered for RTP, 1000 for
/// text (RFC 4103) and 10,000 as MIDI is sent by some.
const IN_USE: [u32; 15] = [
    1_000, 8_000, 10_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 90_000, 96_000, 176_400,
    192_000,
];
/// How far from a rate in use an estimate may be to be taken for it: less than half of the
/// smallest distance between two (90 to 96 kHz: 6 %).
const NEAR: f64 = 0.025;
/// Relative standard error at which an estimate near a rate in use counts.
const SURE_OF_KNOWN: f64 = 0.008;
/// The same for any other rate.
const SURE: f64 = 0.001;
/// Packets an estimate needs.
const LEAST_PACKETS: u64 = 24;
/// Seconds that it needs: senders let packets go in lumps of tens of milliseconds.
const LEAST_SECONDS: f64 = 1.0;

/// Clock rate of a static payload type, in Hz (RFC 3551, section 6).
#[must_use]
pub fn of_payload_type(payload_type: u8) -> Option<u32> {
    match payload_type {
        0 | 3..=5 | 7..=9 | 12 | 13 | 15 | 18 => Some(8_000),
        6 => Some(16_000),
        10 | 11 => Some(44_100),
        14 | 25 | 26 | 28 | 31..=34 => Some(90_000),
        16 => Some(11_025),
        17 => Some(22_050),
        _ => None,
    }
}

/// Name of a static payload type, as RFC 3551 has it.
#[must_use]
pub fn encoding(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G722",
        10 | 11 => "L16",
        12 => "QCELP",
        13 => "CN",
        14 => "MPA",
        15 => "G728",
        18 => "G729",
        25 => "CelB",
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        _ => return None,
    })
}

/// An estimated rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Hz; one of those in use if near one.
    pub hz: f64,
    /// Whether it is one of those in use.
    pub in_use: bool,
}

/// A line through timestamps over time, by least squares, in one pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    count: u64,
    /// Seconds and units of the last packet, from the first one.
    seconds: f64,
    units: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Line {
    /// The next packet, by what passed since the one before: nanoseconds, and units of the timestamp.
    #[inline]
    pub fn step(&mut self, ns: i64, units: i32) {
        self.seconds += ns as f64 * 1e-9;
        self.units += f64::from(units);
        self.count += 1;
        // Welford's update: the sums are of distances from the means, so nothing cancels.
        let weight = 1.0 / self.count as f64;
        let (dx, dy) = (self.seconds - self.mean_x, self.units - self.mean_y);
        self.mean_x += dx * weight;
        self.mean_y += dy * weight;
        self.xx += dx * (self.seconds - self.mean_x);
        self.xy += dx * (self.units - self.mean_y);
        self.yy += dy * (self.units - self.mean_y);
    }

    /// The slope in Hz, and its relative standard error.
    fn slope(&self) -> Option<(f64, f64)> {
        if self.count < LEAST_PACKETS || self.xx <= 0.0 {
            return None;
        }
        let slope = self.xy / self.xx;
        let residual = (self.yy - slope * self.xy).max(0.0) / (self.count - 2) as f64;
        (slope > 0.0).then(|| (slope, (residual / self.xx).sqrt() / slope))
    }

    /// The rate, if it is certain enough.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        if self.seconds < LEAST_SECONDS {
            return None;
        }
        let (slope, error) = self.slope()?;
        let near = IN_USE.iter().map(|&rate| f64::from(rate)).find(|rate| (slope / rate - 1.0).abs() <= NEAR);
        match near {
            Some(hz) if error <= SURE_OF_KNOWN => Some(Estimate { hz, in_use: true }),
            None if error <= SURE => Some(Estimate { hz: slope, in_use: false }),
            _ => None,
        }
    }

    /// Seconds since the first packet.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Packets since the first one.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::{IN_USE, Line, NEAR, of_payload_type};

    #[test]
    fn rates_in_use_cannot_be_taken_for_each_other() {
        for pair in IN_USE.windows(2) {
            assert!(f64::from(pair[0]) * (1.0 + NEAR) < f64::from(pair[1]) * (1.0 - NEAR), "{pair:?}");
        }
    }

    #[test]
    fn static_types_have_their_rates() {
        let rates = [(0, 8_000), (8, 8_000), (9, 8_000), (6, 16_000), (10, 44_100), (14, 90_000), (34, 90_000)];
        for (payload_type, rate) in rates {
            assert_eq!(of_payload_type(payload_type), Some(rate));
        }
        assert_eq!([1, 2, 19, 35, 96, 127].map(of_payload_type), [None; 6]);
    }

    /// Packets every 20 ms, jittered by a fixed pattern of up to `jitter_ns`.
    fn line(rate: f64, packets: i32, jitter_ns: i64) -> Line {
        let mut line = Line::default();
        let at = |packet: i32| i64::from(packet) * 20_000_000 + i64::from(packet * 7_919 % 101) * jitter_ns / 101;
        for packet in 1..packets {
            line.step(at(packet) - at(packet - 1), (rate / 50.0).round() as i32);
        }
        line
    }

    #[test]
    fn every_rate_in_use_is_found_under_jitter() {
        for rate in IN_USE {
            let found = line(rate.into(), 500, 30_000_000).estimate().unwrap();
            // 11,025 is no whole number of units in 20 ms: the nearest is 220.
            assert!(found.in_use && found.hz == f64::from(rate), "{rate}: {found:?}");
        }
    }

    #[test]
    fn another_rate_is_told_as_it_is_measured() {
        let found = line(13_000.0, 500, 0).estimate().unwrap();
        assert!(!found.in_use && (found.hz - 13_000.0).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn too_little_is_no_estimate() {
        assert_eq!(line(8_000.0, 20, 0).estimate(), None);
        // 40 packets are 0.8 s.
        assert_eq!(line(8_000.0, 41, 0).estimate(), None);
        assert_eq!(line(0.0, 500, 0).estimate(), None);
    }
}
