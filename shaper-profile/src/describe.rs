//! One line about a direction.

use std::fmt;

use crate::expected::{Expected, percent};
use crate::loss::Loss;
use crate::outages::share;
use crate::profile::{Direction, Outages};

impl fmt::Display for Outages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return formatter.write_str("no outages");
        }
        formatter.write_str("outages")?;
        let mut separator = " ";
        if !self.rate.is_zero() {
            write!(formatter, " {:#} of {:#}", self.rate, self.length)?;
            separator = " and ";
        }
        for outage in &self.scheduled {
            write!(formatter, "{separator}{:#} at {:#}", outage.length, outage.at)?;
            if let Some(every) = outage.every {
                write!(formatter, " and every {every:#}")?;
            }
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Expected {
    /// Such as "delay 15 ms +-30 ms uniform (cut at 0: 25 % at 0, mean 16.9 ms), loss 5 %, outages 1 %/s of
    /// 500 ms, order free".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = self.direction();
        delay(formatter, direction)?;
        if self.delay.is_cut() {
            let zero = self.delay.zero_share();
            let mean = self.delay.mean().0 as f64 / 1e6;
            write!(formatter, " (cut at 0: {} at 0, mean {mean:.1} ms)", percent(zero))?;
        }
        write!(formatter, ", {}", loss(self))?;
        if !direction.rate.is_unlimited() {
            write!(formatter, ", rate {:#}", direction.rate)?;
            if direction.overhead.0 > 0 {
                write!(formatter, " with {:#} overhead a packet", direction.overhead)?;
            }
            let queue = crate::quantity::Duration(direction.queue_time());
            match direction.queue {
                Some(limit @ (crate::quantity::QueueLimit::Bytes(_) | crate::quantity::QueueLimit::Packets(_))) => {
                    write!(formatter, ", queue {limit:#} ({:.1} ms)", queue.as_millis_f64())?;
                }
                Some(crate::quantity::QueueLimit::Time(_)) => write!(formatter, ", queue {queue:#}")?,
                None => write!(formatter, ", queue {:.1} ms (default)", queue.as_millis_f64())?,
            }
        }
        write!(formatter, ", {}, order {}", self.outages(), direction.order)?;
        if !self.outages().is_none() {
            let down = share(&self.windows, self.horizon.0);
            write!(formatter, " (down {} of {:#})", percent(down), self.horizon)?;
        }
        Ok(())
    }
}

fn delay(formatter: &mut fmt::Formatter<'_>, direction: &Direction) -> fmt::Result {
    if direction.delay.is_zero() && direction.jitter.is_zero() {
        return formatter.write_str("no delay");
    }
    write!(formatter, "delay {:#}", direction.delay)?;
    if !direction.jitter.is_zero() {
        write!(formatter, " +-{:#} {}", direction.jitter, direction.distribution)?;
    }
    Ok(())
}

fn loss(expected: &Expected) -> String {
    let asked = &expected.direction().loss;
    if asked.is_none() {
        return "no loss".to_owned();
    }
    if !expected.is_correlated() {
        return format!("loss {asked:#}");
    }
    let burst = format!("{:.1} packets lost in a row", expected.loss.burst);
    match (asked, asked.ratio()) {
        (Loss::Bursts { .. } | Loss::Every(_), _) => format!("loss {asked:#}"),
        (_, Some(_)) => format!("loss {asked:#} ({burst})"),
        (_, None) => format!("loss {asked:#} ({} lost, {burst})", percent(expected.loss.ratio)),
    }
}
