//! The values in filters: numbers, names, addresses, ports.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::ast::{Family, Net};
use super::error::FilterError;
use super::names::{self, number};
use super::parse::Parser;
use crate::names::suggest;

/// A value's text and place.
pub(super) type Value<'t> = (&'t str, Range<usize>);

const NO_ADDRESS: &str = "names are not looked up: write an address, such as 10.0.0.1 or 2001:db8::1";

fn family_of(word: &str) -> &'static str {
    if word.contains(':') { "IPv6" } else { "IPv4" }
}

impl<'t> Parser<'t> {
    /// A decimal number or `0x…`, up to `limit`.
    pub(super) fn number<T: TryFrom<u32>>(
        &self,
        (word, at): &Value<'t>,
        limit: u32,
        what: &str,
        hint: &str,
    ) -> Result<T, FilterError> {
        let no = |problem: String| self.error(at.clone(), problem, hint);
        let (digits, radix) = match word.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (*word, 10),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(no(format!("\"{word}\" is no {what}")));
        }
        if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
            return Err(no(format!("\"{word}\" is octal to some and decimal to others")));
        }
        let number = u32::from_str_radix(digits, radix).ok().filter(|number| *number <= limit);
        let too_large = || no(format!("{word} is too large: a {what} is {limit} at most"));
        T::try_from(number.ok_or_else(too_large)?).map_err(|_| too_large())
    }

    /// A name of the table, or a number.
    pub(super) fn named<T: TryFrom<u32> + Copy>(
        &self,
        value: &Value<'t>,
        table: &[(&'static str, T)],
        limit: u32,
        what: &str,
        hint: &str,
    ) -> Result<T, FilterError> {
        let (word, at) = value;
        // pcap-filter wants names that are also keywords escaped.
        let name = word.strip_prefix('\\').unwrap_or(word);
        if let Some(number) = number(table, name) {
            return Ok(number);
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number(value, limit, what, hint);
        }
        let problem = format!("\"{word}\" is no {what}");
        match suggest(name, &names::known(table)) {
            Some(near) => Err(self.error(at.clone(), problem, format!("did you mean {near}?"))),
            None => Err(self.error(at.clone(), problem, hint)),
        }
    }

    /// One address of a host.
    pub(super) fn host(&self, value: &Value<'t>, family: Option<Family>) -> Result<Net, FilterError> {
        let (word, at) = value;
        let net = if let Ok(address) = word.parse::<Ipv4Addr>() {
            Net::V4 { address: u32::from(address), mask: u32::MAX }
        } else if let Ok(address) = word.parse::<Ipv6Addr>() {
            v6(u128::from(address), u128::MAX)
        } else if ether(word).is_some() {
            let hint = format!("write `ether host {word}`");
            return Err(self.error(at.clone(), format!("{word} is a MAC address"), hint));
        } else if word.chars().all(|c| c.is_ascii_digit() || c == '.') {
            let hint = "write all four numbers, such as 10.0.0.1, or `net` for a prefix";
            return Err(self.error(at.clone(), format!("\"{word}\" is no complete IPv4 address"), hint));
        } else {
            return Err(self.error(at.clone(), format!("\"{word}\" is no IP address"), NO_ADDRESS));
        };
        self.of_family(value, net, family)
    }

    /// A network, with what may follow it: its length or its mask.
    pub(super) fn net(
        &self,
        value: &Value<'t>,
        length: Option<Value<'t>>,
        mask: Option<Value<'t>>,
        family: Option<Family>,
    ) -> Result<Net, FilterError> {
        let (word, at) = value;
        if let Ok(address) = word.parse::<Ipv6Addr>() {
            if let Some((_, at)) = mask {
                return Err(self.error(at, "an IPv6 network has no mask", "write its length: 2001:db8::/32"));
            }
            let length = match length {
                Some(length) => self.number::<u32>(&length, 128, "prefix length", "write for example 2001:db8::/32")?,
                None => 128,
            };
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            let address = u128::from(address);
            if address & !mask != 0 {
                let right = Ipv6Addr::from(address & mask);
                return Err(self.host_bits(at, word, &format!("{right}/{length}")));
            }
            return self.of_family(value, v6(address, mask), family);
        }
        let parts: Vec<&str> = word.split('.').collect();
        let hint = "write for example 10.0.0.0/8, 192.168 or 2001:db8::/32";
        let no_net = || self.error(at.clone(), format!("\"{word}\" is no network"), hint);
        if parts.len() > 4 {
            return Err(no_net());
        }
        let mut address = 0u32;
        for part in &parts {
            let byte: u8 = part.parse().map_err(|_| no_net())?;
            address = address << 8 | u32::from(byte);
        }
        // As pcap-filter reads it: 192.168 is 192.168.0.0/16.
        let written = 8 * parts.len() as u32;
        address = address.checked_shl(32 - written).unwrap_or(0);
        let mask = match (length, mask) {
            (Some(length), _) => {
                let length: u32 = self.number(&length, 32, "prefix length", "write for example 10.0.0.0/8")?;
                u32::MAX.checked_shl(32 - length).unwrap_or(0)
            }
            (None, Some((mask, at))) => {
                let hint = "write for example `net 10.0.0.0 mask 255.0.0.0`";
                let mask = mask.parse::<Ipv4Addr>();
                u32::from(mask.map_err(|_| self.error(at, "the mask is no IPv4 mask", hint))?)
            }
            (None, None) => u32::MAX.checked_shl(32 - written).unwrap_or(0),
        };
        if address & !mask != 0 {
            let right = Ipv4Addr::from(address & mask);
            let length = mask.leading_ones();
            let right = match u32::MAX.checked_shl(32 - length).unwrap_or(0) == mask {
                true => format!("{right}/{length}"),
                false => format!("{right} mask {}", Ipv4Addr::from(mask)),
            };
            return Err(self.host_bits(at, word, &right));
        }
        self.of_family(value, Net::V4 { address, mask }, family)
    }

    fn host_bits(&self, at: &Range<usize>, word: &str, right: &str) -> FilterError {
        let hint = format!("write {right} for the network, or `host {word}`");
        self.error(at.clone(), format!("{word} has bits set behind its prefix"), hint)
    }

    fn of_family(&self, (word, at): &Value<'t>, net: Net, family: Option<Family>) -> Result<Net, FilterError> {
        let fits = match (family, net) {
            (None, _) | (Some(Family::V4), Net::V4 { .. }) | (Some(Family::V6), Net::V6 { .. }) => true,
            (Some(_), _) => false,
        };
        if fits {
            return Ok(net);
        }
        let (other, right) = if family == Some(Family::V6) { ("ip6", "ip") } else { ("ip", "ip6") };
        let problem = format!("{word} is an {} address, and `{other}` has none", family_of(word));
        Err(self.error(at.clone(), problem, format!("write `{right}`, or leave `{other}` away")))
    }

    /// A MAC address.
    pub(super) fn ether_address(&self, (word, at): &Value<'t>) -> Result<[u8; 6], FilterError> {
        let hint = "write six bytes in hexadecimal: 02:00:00:00:00:01";
        ether(word).ok_or_else(|| self.error(at.clone(), format!("\"{word}\" is no MAC address"), hint))
    }

    /// A port by number or name.
    pub(super) fn port(&self, value: &Value<'t>) -> Result<u16, FilterError> {
        let (word, at) = value;
        if word.contains('-') && word.starts_with(|c: char| c.is_ascii_digit()) {
            let hint = format!("write `portrange {word}`");
            return Err(self.error(at.clone(), format!("{word} is a range of ports"), hint));
        }
        self.named(value, &names::SERVICES, 65535, "port", "write a number from 0 to 65535, or a name such as https")
    }

    /// The first and the last port of a range.
    pub(super) fn portrange(&self, value: &Value<'t>) -> Result<(u16, u16), FilterError> {
        let (word, at) = value;
        let hint = "write for example `portrange 5000-5010`";
        let Some((first, last)) = word.split_once('-') else {
            let port = self.port(value)?;
            return Ok((port, port));
        };
        let middle = at.start + first.len();
        let first: u16 = self.number(&(first, at.start..middle), 65535, "port", hint)?;
        let last: u16 = self.number(&(last, middle + 1..at.end), 65535, "port", hint)?;
        if last < first {
            let hint = format!("write {last}-{first}");
            return Err(self.error(at.clone(), format!("the range {word} runs backwards"), hint));
        }
        Ok((first, last))
    }
}

fn v6(address: u128, mask: u128) -> Net {
    let words = |bits: u128| [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
    Net::V6 { address: words(address), mask: words(mask) }
}

/// Six bytes, set apart by colons or hyphens.
fn ether(word: &str) -> Option<[u8; 6]> {
    let sign = if word.contains(':') { ':' } else { '-' };
    let bytes: Vec<u8> = word
        .split(sign)
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() <= 2 && !byte.starts_with('+')))
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}
