//! Reading a filter: words and signs to conditions, joined.
//!
//! The grammar is pcap-filter's: `and` and `or` bind alike, from left to right, and `not` binds closest. A value without
//! a keyword takes that of the value before: `port 80 or 443`.

use std::ops::Range;

use super::ast::{Condition, Expression, Family, Side, Tag, Transport};
use super::error::FilterError;
use super::lex::{self, Kind, Token};
use super::names::{self, number};
use super::values::Value;
use crate::names::suggest;

/// Parentheses and changes between `and` and `or` that a filter may have: each is a level of recursion.
const LEVELS: usize = 500;

/// What a value is and belongs to.
#[derive(Clone, Copy)]
enum Head {
    Host(Option<Family>, Side),
    Net(Option<Family>, Side),
    Port(Option<Transport>, Side),
    PortRange(Option<Transport>, Side),
    Protocol(Option<Family>),
    EtherType,
    EtherAddress(Side),
}

/// What stands before `host`, `port` and so on.
#[derive(Clone, Copy)]
enum Qualifier<'t> {
    None,
    Ip(Family),
    Transport(Transport),
    Ether,
    /// A protocol that has neither addresses nor ports here.
    Other(&'t str),
}

/// Where reading is.
pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    next: usize,
    /// What a value without a keyword takes.
    last: Option<Head>,
    levels: usize,
}

/// Reads a whole filter.
pub(super) fn expression(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, tokens: lex::tokens(text)?, next: 0, last: None, levels: 0 };
    if parser.peek() == Kind::End {
        let hint = "write what is to match, such as `udp port 5004`, or `not control` for every packet";
        return Err(parser.error(0..text.len(), "the filter is empty", hint));
    }
    let mut expression = parser.joined()?;
    let (kind, at) = parser.take();
    if kind != Kind::End {
        let hint = match kind {
            Kind::Close => "take it away, or open it with `(`",
            _ => "join conditions by `and` or `or`",
        };
        return Err(parser.error(at, format!("{kind} does not belong behind a condition"), hint));
    }
    expression.place_tags(Tag::Any).map_err(|at| {
        let hint = "two tags are read: the first `vlan` is the outer one, the second the inner one";
        parser.error(at, "a third VLAN tag is not read", hint)
    })?;
    Ok(expression)
}

impl<'t> Parser<'t> {
    pub(super) fn error(&self, at: Range<usize>, problem: impl Into<String>, hint: impl Into<String>) -> FilterError {
        lex::error(self.text, at, problem, hint)
    }

    pub(super) fn peek(&self) -> Kind<'t> {
        self.peek_over(0)
    }

    fn peek_over(&self, others: usize) -> Kind<'t> {
        self.tokens.get(self.next + others).map_or(Kind::End, |token| token.kind)
    }

    /// The place of the next token.
    pub(super) fn at(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.text.len()..self.text.len(), |token| token.at.clone())
    }

    pub(super) fn take(&mut self) -> (Kind<'t>, Range<usize>) {
        let taken = (self.peek(), self.at());
        self.next += 1;
        taken
    }

    /// Takes the next token if it is this one.
    pub(super) fn took(&mut self, kind: Kind<'_>) -> bool {
        let is = self.peek() == kind;
        self.next += usize::from(is);
        is
    }

    pub(super) fn need(&mut self, kind: Kind<'_>, hint: &str) -> Result<(), FilterError> {
        if self.took(kind) {
            return Ok(());
        }
        Err(self.error(self.at(), format!("{kind} is missing before {}", self.peek()), hint))
    }

    /// The word that stands next.
    pub(super) fn word(&mut self, what: &str, hint: &str) -> Result<Value<'t>, FilterError> {
        match self.take() {
            (Kind::Word(word), at) => Ok((word, at)),
            (kind, at) => Err(self.error(at, format!("{what} is missing before {kind}"), hint)),
        }
    }

    fn level(&mut self) -> Result<(), FilterError> {
        self.levels += 1;
        if self.levels <= LEVELS {
            return Ok(());
        }
        let problem = format!("the filter has more than {LEVELS} parentheses and changes between `and` and `or`");
        Err(self.error(self.at(), problem, "make several rules of it"))
    }

    /// Operands joined by `and` and `or`, as `operand` reads them.
    fn join(
        &mut self,
        operand: impl Fn(&mut Self) -> Result<Expression, FilterError>,
    ) -> Result<Expression, FilterError> {
        let mut left = operand(self)?;
        let mut before = None;
        loop {
            let sign = self.peek();
            let join = match sign {
                Kind::And => Expression::and,
                Kind::Or => Expression::or,
                _ => return Ok(left),
            };
            if before.is_some_and(|before| before != sign) {
                self.level()?;
            }
            before = Some(sign);
            self.next += 1;
            left = join(left, operand(self)?);
        }
    }

    fn joined(&mut self) -> Result<Expression, FilterError> {
        self.join(Self::operand)
    }

    /// `inner` behind any number of `not`.
    fn negated(
        &mut self,
        inner: impl Fn(&mut Self) -> Result<Expression, FilterError>,
    ) -> Result<Expression, FilterError> {
        let mut positive = true;
        while self.took(Kind::Not) {
            positive = !positive;
        }
        let expression = inner(self)?;
        Ok(if positive { expression } else { Expression::Not(Box::new(expression)) })
    }

    fn parenthesis(
        &mut self,
        inner: impl Fn(&mut Self) -> Result<Expression, FilterError>,
    ) -> Result<Expression, FilterError> {
        self.level()?;
        let expression = inner(self)?;
        self.need(Kind::Close, "close the parenthesis with `)`")?;
        Ok(expression)
    }

    fn operand(&mut self) -> Result<Expression, FilterError> {
        self.negated(|parser| match parser.take() {
            (Kind::Open, _) => parser.parenthesis(Self::joined),
            (Kind::Word(word), at) => parser.condition(word, at),
            (kind, at) => {
                let problem = format!("a condition is missing before {kind}");
                Err(parser.error(at, problem, "write for example `udp port 5004`"))
            }
        })
    }

    fn condition(&mut self, word: &'t str, at: Range<usize>) -> Result<Expression, FilterError> {
        if let Some((_, problem, hint)) = names::REFUSED.iter().find(|(refused, _, _)| *refused == word) {
            return Err(self.error(at, *problem, *hint));
        }
        if !names::KEYWORDS.contains(&word) {
            return match self.last {
                Some(head) => self.value(head, (word, at)),
                None => Err(self.stray(word, at)),
            };
        }
        self.last = None;
        match word {
            "ip" => self.qualified(Qualifier::Ip(Family::V4), word, at),
            "ip6" => self.qualified(Qualifier::Ip(Family::V6), word, at),
            "tcp" => self.qualified(Qualifier::Transport(Transport::Tcp), word, at),
            "udp" => self.qualified(Qualifier::Transport(Transport::Udp), word, at),
            "sctp" => self.qualified(Qualifier::Transport(Transport::Sctp), word, at),
            "ether" => self.qualified(Qualifier::Ether, word, at),
            "arp" | "rarp" | "icmp" | "icmp6" | "igmp" | "ah" | "esp" | "pim" => {
                self.qualified(Qualifier::Other(word), word, at)
            }
            "src" | "dst" | "host" | "net" | "port" | "portrange" | "proto" => {
                self.next -= 1;
                self.qualified(Qualifier::None, word, at)
            }
            "vlan" => self.vlan(at),
            "multicast" => Ok(Expression::Is(Condition::Multicast)),
            "broadcast" => Ok(Expression::Is(Condition::Broadcast)),
            "dscp" => {
                let hint = "write a number up to 63 or a name: ef, af11 to af43, cs0 to cs7, be";
                let value = self.word("the code point", hint)?;
                Ok(Expression::Is(Condition::Dscp(self.named(&value, &names::DSCPS, 63, "code point", hint)?)))
            }
            "ecn" => {
                let hint = "write not-ect, ect0, ect1 or ce";
                let value = self.word("the code point", hint)?;
                Ok(Expression::Is(Condition::Ecn(self.named(&value, &names::ECNS, 3, "code point", hint)?)))
            }
            "fragment" => Ok(Expression::Is(Condition::Fragment)),
            "control" => Ok(Expression::Is(Condition::Control)),
            _ => Err(self.stray(word, at)),
        }
    }

    /// A word that nothing begins with.
    fn stray(&self, word: &str, at: Range<usize>) -> FilterError {
        let value = word.starts_with(|c: char| c.is_ascii_digit()) || word.contains([':', '.']);
        if value {
            let hint = if word.contains([':', '.']) { "host" } else { "port" };
            let hint = format!("say what it is: `{hint} {word}`");
            return self.error(at, format!("{word} stands alone"), hint);
        }
        let hint = match suggest(word, &names::KEYWORDS) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("a condition begins with one of {}", names::KEYWORDS.join(", ")),
        };
        self.error(at, format!("no condition begins with \"{word}\""), hint)
    }

    /// A condition that may have a protocol, a side and a type in front of its value.
    fn qualified(
        &mut self,
        qualifier: Qualifier<'t>,
        word: &'t str,
        at: Range<usize>,
    ) -> Result<Expression, FilterError> {
        let side = self.side()?;
        let kind_at = self.at();
        let kind = match self.peek() {
            Kind::Word(kind @ ("host" | "net" | "port" | "portrange" | "proto")) => {
                self.next += 1;
                Some(kind)
            }
            _ => None,
        };
        let side_given = side.is_some();
        let side = side.unwrap_or(Side::Either);
        let Some(kind) = kind else {
            if !side_given {
                return self.protocol_alone(qualifier, word, at);
            }
            let head = match qualifier {
                Qualifier::None => Head::Host(None, side),
                Qualifier::Ip(family) => Head::Host(Some(family), side),
                Qualifier::Ether => Head::EtherAddress(side),
                Qualifier::Transport(_) | Qualifier::Other(_) => {
                    return Err(self.misfit(word, "an address", at.start..kind_at.start));
                }
            };
            return self.values(head);
        };
        let family = match qualifier {
            Qualifier::Ip(family) => Some(family),
            _ => None,
        };
        let transport = match qualifier {
            Qualifier::Transport(transport) => Some(transport),
            _ => None,
        };
        let whole = at.start..kind_at.end;
        let head = match (kind, qualifier) {
            ("host", Qualifier::None | Qualifier::Ip(_)) => Head::Host(family, side),
            ("host", Qualifier::Ether) => Head::EtherAddress(side),
            ("net", Qualifier::None | Qualifier::Ip(_)) => Head::Net(family, side),
            ("port", Qualifier::None | Qualifier::Transport(_)) => Head::Port(transport, side),
            ("portrange", Qualifier::None | Qualifier::Transport(_)) => Head::PortRange(transport, side),
            ("proto", _) if side_given => {
                return Err(self.error(whole, "a protocol has no source or destination", "take `src` or `dst` away"));
            }
            ("proto", Qualifier::None | Qualifier::Ip(_)) => Head::Protocol(family),
            ("proto", Qualifier::Ether) => Head::EtherType,
            _ => return Err(self.misfit(word, &format!("`{kind}`"), whole)),
        };
        self.values(head)
    }

    /// A protocol that has no such thing.
    fn misfit(&self, word: &str, what: &str, at: Range<usize>) -> FilterError {
        let hint = match word {
            "arp" | "rarp" => "the addresses in it are not read; write `arp` alone, or `ether host`".to_owned(),
            _ => format!("join them: `{word} and …`"),
        };
        self.error(at, format!("`{word}` does not go together with {what}"), hint)
    }

    /// `src`, `dst`, `src or dst` or `src and dst`.
    fn side(&mut self) -> Result<Option<Side>, FilterError> {
        let first = match self.peek() {
            Kind::Word("src") => Side::Source,
            Kind::Word("dst") => Side::Destination,
            _ => return Ok(None),
        };
        self.next += 1;
        let both = match self.peek() {
            Kind::Or => Side::Either,
            Kind::And => Side::Both,
            _ => return Ok(Some(first)),
        };
        match (first, self.peek_over(1)) {
            (Side::Source, Kind::Word("dst")) | (Side::Destination, Kind::Word("src")) => {
                self.next += 2;
                Ok(Some(both))
            }
            _ => {
                let problem = format!("an address or port is missing before {}", self.peek());
                Err(self.error(self.at(), problem, "write for example `src host 10.0.0.1` or `src or dst port 53`"))
            }
        }
    }

    /// A protocol's word, with nothing of an address behind it.
    fn protocol_alone(
        &mut self,
        qualifier: Qualifier<'t>,
        word: &'t str,
        at: Range<usize>,
    ) -> Result<Expression, FilterError> {
        let next = self.peek();
        if let (Qualifier::Ip(_) | Qualifier::Ether, Kind::Word(group @ ("multicast" | "broadcast"))) =
            (qualifier, next)
        {
            let whole = at.start..self.at().end;
            self.next += 1;
            return match (qualifier, group) {
                (Qualifier::Ip(family), "multicast") => Ok(Expression::Is(Condition::GroupAddress(family))),
                (Qualifier::Ip(_), _) => {
                    let hint = "write `dst host 255.255.255.255`, the network's own address such as \
                                `dst host 10.0.0.255`, or `broadcast` for the link's";
                    Err(self.error(whole, format!("`{word} broadcast` needs the interface's netmask"), hint))
                }
                (_, "multicast") => Ok(Expression::Is(Condition::Multicast)),
                _ => Ok(Expression::Is(Condition::Broadcast)),
            };
        }
        if next == Kind::OpenBracket {
            return self.byte(word, at);
        }
        if let ("icmp" | "icmp6", Kind::Word(part @ ("type" | "code"))) = (word, next) {
            self.next += 1;
            return self.icmp(word, part);
        }
        if let Kind::Word(refused @ ("protochain" | "gateway")) = next {
            let at = self.at();
            return self.condition(refused, at);
        }
        let both = |number| Condition::Protocol { family: None, number };
        let condition = match qualifier {
            Qualifier::Ip(family) => Condition::Family(family),
            Qualifier::Transport(Transport::Tcp) => both(6),
            Qualifier::Transport(Transport::Udp) => both(17),
            Qualifier::Transport(Transport::Sctp) => both(132),
            Qualifier::Other("icmp") => Condition::Protocol { family: Some(Family::V4), number: 1 },
            Qualifier::Other("igmp") => Condition::Protocol { family: Some(Family::V4), number: 2 },
            Qualifier::Other("icmp6") => Condition::Protocol { family: Some(Family::V6), number: 58 },
            Qualifier::Other(name) => match (number(&names::ETHERTYPES, name), number(&names::PROTOCOLS, name)) {
                (Some(ethertype), _) => Condition::EtherType(ethertype),
                (None, Some(protocol)) => both(protocol),
                (None, None) => return Err(self.stray(word, at)),
            },
            Qualifier::Ether | Qualifier::None => {
                let hint = "write `ether host`, `ether proto`, `ether multicast` or `ether broadcast`";
                return Err(self.error(at, format!("`{word}` says nothing alone"), hint));
            }
        };
        Ok(Expression::Is(condition))
    }

    fn vlan(&mut self, at: Range<usize>) -> Result<Expression, FilterError> {
        let id = match self.peek() {
            Kind::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => {
                let value = (word, self.at());
                self.next += 1;
                Some(self.number(&value, 4095, "VLAN identifier", "write for example `vlan 100`")?)
            }
            _ => None,
        };
        Ok(Expression::Is(Condition::Vlan { id, tag: Tag::Any, at }))
    }

    /// One value, or several in parentheses: `port (80 or 443)`.
    fn values(&mut self, head: Head) -> Result<Expression, FilterError> {
        self.last = Some(head);
        if self.took(Kind::Open) {
            return self.parenthesis(|parser| parser.join(|parser| parser.negated(|parser| parser.values(head))));
        }
        let (what, hint) = match head {
            Head::Host(..) => ("the address", "write for example `host 10.0.0.1`"),
            Head::Net(..) => ("the network", "write for example `net 10.0.0.0/8`"),
            Head::Port(..) => ("the port", "write for example `port 53`"),
            Head::PortRange(..) => ("the range", "write for example `portrange 5000-5010`"),
            Head::Protocol(_) => ("the protocol", "write for example `proto 47`"),
            Head::EtherType => ("the ethertype", "write for example `ether proto 0x88cc`"),
            Head::EtherAddress(_) => ("the MAC address", "write for example `ether host 02:00:00:00:00:01`"),
        };
        let value = self.word(what, hint)?;
        self.value(head, value)
    }

    fn value(&mut self, head: Head, value: Value<'t>) -> Result<Expression, FilterError> {
        let condition = match head {
            Head::Host(family, side) => {
                if self.peek() == Kind::Slash {
                    let hint = format!("write `net {}/…`", value.0);
                    return Err(self.error(self.at(), "a host has no prefix length", hint));
                }
                Condition::Address { side, net: self.host(&value, family)? }
            }
            Head::Net(family, side) => {
                let length = match self.took(Kind::Slash) {
                    true => Some(self.word("the prefix length", "write for example `net 10.0.0.0/8`")?),
                    false => None,
                };
                let mask = match length.is_none() && self.took(Kind::Word("mask")) {
                    true => Some(self.word("the mask", "write for example `net 10.0.0.0 mask 255.0.0.0`")?),
                    false => None,
                };
                Condition::Address { side, net: self.net(&value, length, mask, family)? }
            }
            Head::Port(transport, side) => {
                let port = self.port(&value)?;
                Condition::Port { transport, side, first: port, last: port }
            }
            Head::PortRange(transport, side) => {
                let (first, last) = self.portrange(&value)?;
                Condition::Port { transport, side, first, last }
            }
            Head::Protocol(family) => {
                let hint = "write a number up to 255 or a name such as udp or gre";
                Condition::Protocol { family, number: self.named(&value, &names::PROTOCOLS, 255, "protocol", hint)? }
            }
            Head::EtherType => self.ethertype(&value)?,
            Head::EtherAddress(side) => Condition::EtherAddress { side, address: self.ether_address(&value)? },
        };
        Ok(Expression::Is(condition))
    }

    fn ethertype(&self, value: &Value<'t>) -> Result<Condition, FilterError> {
        let hint = "write a number such as 0x88cc, or a name such as arp";
        let ethertype = self.named(value, &names::ETHERTYPES, 0xffff, "ethertype", hint)?;
        match ethertype {
            0x0800 => Ok(Condition::Family(Family::V4)),
            0x86dd => Ok(Condition::Family(Family::V6)),
            0x8100 | 0x88a8 => Err(self.error(
                value.1.clone(),
                "tags are looked through: the type is the one behind them",
                "write `vlan`",
            )),
            0x0600.. => Ok(Condition::EtherType(ethertype)),
            _ => {
                let problem = format!("{} is a length of IEEE 802.3 and no ethertype", value.0);
                Err(self.error(value.1.clone(), problem, "write one from 0x600 on; IEEE 802.2 headers are not read"))
            }
        }
    }
}
