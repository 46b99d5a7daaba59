//! ECN-capable transport, as a workload's packets say it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Which codepoint says that a packet may be marked (RFC 3168, section 5; RFC 9331 for ECT(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Ect {
    /// ECT(0): classic congestion control
    #[value(name = "0")]
    #[serde(rename = "ECT(0)")]
    Zero,
    /// ECT(1): L4S, which the aqm "step" and pi2's scalable half mark alone
    #[value(name = "1")]
    #[serde(rename = "ECT(1)")]
    One,
}

impl Ect {
    /// The two lowest bits of the octet that was the type of service.
    #[must_use]
    pub const fn field(self) -> u8 {
        match self {
            Self::Zero => 2,
            Self::One => 1,
        }
    }

    /// Its name in the RFCs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zero => "ECT(0)",
            Self::One => "ECT(1)",
        }
    }
}
