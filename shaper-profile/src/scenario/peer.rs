//! What is said of single peers: `b@5s`, `b@2500us,40ppm`.

use std::str::FromStr;

use crate::quantity::Duration;

/// A peer, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAt {
    /// Who.
    pub peer: String,
    /// Since the start.
    pub at: Duration,
}

/// A peer whose clock is put wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerClock {
    /// Whose.
    pub peer: String,
    /// In microseconds.
    pub offset_us: i64,
    /// In parts per million.
    pub skew_ppm: f64,
}

/// Why a text says nothing of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPeer {
    /// No peer and time.
    #[error("want PEER@TIME, such as b@5s")]
    At,
    /// The time is none.
    #[error(transparent)]
    Time(#[from] crate::quantity::QuantityError),
    /// No peer and offset.
    #[error("want PEER@OFFSET[,SKEW], such as b@2500us,40ppm or b@-3ms")]
    Clock,
}

impl FromStr for PeerAt {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Self, NoPeer> {
        let (peer, time) = text.split_once('@').ok_or(NoPeer::At)?;
        Ok(Self { peer: peer.to_owned(), at: time.parse()? })
    }
}

impl FromStr for PeerClock {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Self, NoPeer> {
        let (peer, rest) = text.split_once('@').ok_or(NoPeer::Clock)?;
        let (offset, skew) = rest.split_once(',').map_or((rest, None), |(offset, skew)| (offset, Some(skew)));
        let (sign, magnitude) = offset.strip_prefix('-').map_or((1, offset), |magnitude| (-1, magnitude));
        let magnitude: Duration = magnitude.parse().map_err(|_| NoPeer::Clock)?;
        let micros = i64::try_from(magnitude.0.0 / 1_000).map_err(|_| NoPeer::Clock)?;
        let skew_ppm = skew.map_or(Some(0.0), |skew| skew.strip_suffix("ppm")?.trim().parse::<f64>().ok());
        let skew_ppm = skew_ppm.filter(|skew| skew.is_finite()).ok_or(NoPeer::Clock)?;
        Ok(Self { peer: peer.to_owned(), offset_us: sign * micros, skew_ppm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_with_what_is_said_of_them() {
        let at: PeerAt = "b@5s".parse().unwrap();
        assert_eq!((at.peer.as_str(), at.at), ("b", Duration::from_millis(5_000)));
        let clock: PeerClock = "c@-2500us,-40ppm".parse().unwrap();
        assert_eq!((clock.peer.as_str(), clock.offset_us, clock.skew_ppm), ("c", -2_500, -40.0));
        for text in ["b", "b@5", "@"] {
            assert!(text.parse::<PeerAt>().is_err(), "{text}");
        }
        for text in ["b", "b@5", "b@5ms,3", "b@5ms,NaNppm", "b@--5ms"] {
            assert_eq!(text.parse::<PeerClock>(), Err(NoPeer::Clock), "{text}");
        }
    }
}
