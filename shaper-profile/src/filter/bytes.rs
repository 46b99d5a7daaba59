//! The bytes that can be asked for: type and code of ICMP, and the flags of TCP.

use std::ops::Range;

use super::ast::{Condition, Expression, Family, Icmp};
use super::error::FilterError;
use super::lex::Kind;
use super::names;
use super::parse::Parser;

const BYTES: &str = "the bytes that can be asked for are icmp[icmptype], icmp[icmpcode], icmp6[icmp6type], \
                     icmp6[icmp6code] and tcp[tcpflags]";
const FLAGS: &str = "write for example `tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn` or `tcp[tcpflags] & tcp-rst != 0`";
const TYPES: &str = "write a number up to 255, or pcap-filter's name, such as icmp-echo or icmp6-echo";

impl Parser<'_> {
    /// Behind a protocol's word stands a bracket.
    pub(super) fn byte(&mut self, protocol: &str, at: Range<usize>) -> Result<Expression, FilterError> {
        self.need(Kind::OpenBracket, BYTES)?;
        let (inside, inside_at) = self.take();
        let offset = match inside {
            Kind::Word(offset) => offset.strip_suffix(":1").unwrap_or(offset),
            _ => "",
        };
        let family = if protocol == "icmp6" { Family::V6 } else { Family::V4 };
        let byte = match (protocol, offset) {
            ("tcp", "tcpflags" | "13") => None,
            ("icmp", "icmptype" | "0") | ("icmp6", "icmp6type" | "0") => Some(Icmp::Type),
            ("icmp", "icmpcode" | "1") | ("icmp6", "icmp6code" | "1") => Some(Icmp::Code),
            _ => {
                let whole = at.start..inside_at.end.max(at.end);
                return Err(self.error(
                    whole,
                    format!("this byte of `{protocol}` is not in the key of a packet"),
                    BYTES,
                ));
            }
        };
        self.need(Kind::CloseBracket, "close the bracket with `]`")?;
        match byte {
            None => self.tcp_flags(),
            Some(part) => {
                if let Kind::Ampersand | Kind::Arithmetic(_) = self.peek() {
                    return Err(self.error(self.at(), "type and code are compared as a whole", TYPES));
                }
                let equal = self.comparison(TYPES)?;
                let value = self.icmp_value(family, part)?;
                Ok(Expression::Is(Condition::Icmp { family, part, value, equal }))
            }
        }
    }

    /// `icmp type N`, behind `type` or `code`.
    pub(super) fn icmp(&mut self, protocol: &str, part: &str) -> Result<Expression, FilterError> {
        let family = if protocol == "icmp6" { Family::V6 } else { Family::V4 };
        let part = if part == "type" { Icmp::Type } else { Icmp::Code };
        let value = self.icmp_value(family, part)?;
        Ok(Expression::Is(Condition::Icmp { family, part, value, equal: true }))
    }

    fn icmp_value(&mut self, family: Family, part: Icmp) -> Result<u8, FilterError> {
        let value = self.word("the number", TYPES)?;
        match (family, part) {
            (Family::V4, Icmp::Type) => self.named(&value, &names::ICMP_TYPES, 255, "type of ICMP", TYPES),
            (Family::V6, Icmp::Type) => self.named(&value, &names::ICMP6_TYPES, 255, "type of ICMPv6", TYPES),
            (_, Icmp::Code) => self.number(&value, 255, "code of ICMP", "write a number up to 255"),
        }
    }

    /// Whether equality is asked for, or inequality.
    fn comparison(&mut self, hint: &str) -> Result<bool, FilterError> {
        match self.take() {
            (Kind::Equal, _) => Ok(true),
            (Kind::NotEqual, _) => Ok(false),
            (kind @ Kind::Order(_), at) => {
                Err(self.error(at, format!("{kind} is not supported"), "compare by `=` or `!=`, joined by `or`"))
            }
            (kind @ Kind::Arithmetic(_), at) => {
                Err(self.error(at, format!("{kind}: there is no arithmetic here"), hint))
            }
            (kind, at) => Err(self.error(at, format!("a comparison, `=` or `!=`, is missing before {kind}"), hint)),
        }
    }

    fn tcp_flags(&mut self) -> Result<Expression, FilterError> {
        let mask_at = self.at();
        let mask = if self.took(Kind::Ampersand) { self.flags()? } else { 0xff };
        if let Kind::Bar = self.peek() {
            return Err(self.error(self.at(), "`|` binds less than `&`", "put the flags into parentheses"));
        }
        let equal = self.comparison(FLAGS)?;
        let value_at = self.at();
        let value = self.flags()?;
        if let Kind::Bar = self.peek() {
            return Err(self.error(self.at(), "`|` binds less than `=`", "put the flags into parentheses"));
        }
        if mask == 0 {
            return Err(self.error(mask_at, "no flag is looked at", FLAGS));
        }
        if value & !mask != 0 {
            let always = if equal { "never" } else { "always" };
            let problem = format!("this is {always} so: flags are compared that are not looked at");
            return Err(self.error(value_at.start..self.at().start, problem, FLAGS));
        }
        Ok(Expression::Is(Condition::TcpFlags { mask, value, equal }))
    }

    /// A flag, a number, or several in parentheses joined by `|`.
    fn flags(&mut self) -> Result<u8, FilterError> {
        let parenthesis = self.took(Kind::Open);
        let mut flags = 0;
        loop {
            let value = self.word("a flag of TCP", FLAGS)?;
            flags |= self.named(&value, &names::TCP_FLAGS, 255, "flag of TCP", FLAGS)?;
            if !parenthesis {
                return Ok(flags);
            }
            if !self.took(Kind::Bar) {
                self.need(Kind::Close, "join flags by `|`, and close the parenthesis with `)`")?;
                return Ok(flags);
            }
        }
    }
}
