//! Whose a datagram is.
//!
//! A leg is known by the user name fragment in STUN requests, and from then on by the addresses that
//! authentic requests came from.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use str0m::Input;
use str0m::ice::IceCreds;
use str0m::net::{Protocol, Receive};

use super::Shard;
use super::leg::Leg;
use crate::guard;
use crate::serve::metrics::add;
use crate::serve::stun::binding_request_username;

impl Shard {
    /// Takes a datagram to the leg that it is for.
    pub(super) fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let username = binding_request_username(datagram);
        let number = match username {
            Some((local, _)) => self.by_ufrag.get(local),
            None => self.by_address.get(&from),
        };
        let leg = number.copied().and_then(|number| self.take_leg(number));
        let Some(mut leg) = leg else {
            add(&self.metrics.datagrams_unknown, 1);
            return;
        };
        let taken = match username {
            Some((local, remote)) => self.receive_check(&mut leg, local, remote, from, datagram, now),
            None => self.give(&mut leg, from, datagram, now),
        };
        match taken {
            Ok(true) => self.drain(&mut leg, now),
            Ok(false) => add(&self.metrics.datagrams_unknown, 1),
            Err(reason) => self.fail(&mut leg, reason),
        }
        self.put_leg(leg);
    }

    /// Hands a datagram to str0m: whether it is one of the four kinds.
    fn give(&self, leg: &mut Leg, from: SocketAddr, datagram: &[u8], now: Instant) -> Result<bool, guard::Failure> {
        let local = self.local;
        guard::guarded(|| match Receive::new(Protocol::Udp, from, local, datagram) {
            Ok(received) => {
                let input = Input::Receive(now, received);
                leg.rtc.handle_input(input).map(|()| true).map_err(|error| error.to_string())
            }
            Err(_) => Ok(false),
        })
    }

    /// A connectivity check. A client with this dialect never tells its ICE credentials, and a lite
    /// agent needs no more of them than the fragment in the client's own checks: those, protected by
    /// our password, are authentic. The same holds when a client begins to use the credentials of a
    /// restart: until then the old ones hold.
    fn receive_check(
        &mut self,
        leg: &mut Leg,
        local: &str,
        remote: &str,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Result<bool, guard::Failure> {
        if !leg.may_come_from(from) {
            return Ok(false);
        }
        let restarting = leg.restart.as_ref().is_some_and(|new| new.ufrag == local);
        let before = leg.rtc.direct_api().local_ice_credentials();
        if let Some(new) = leg.restart.as_ref().filter(|_| restarting) {
            leg.rtc.direct_api().set_local_ice_credentials(new.clone());
        }
        let client = IceCreds { ufrag: remote.to_owned(), pass: String::new() };
        if restarting {
            leg.rtc.direct_api().set_remote_ice_credentials(client.clone());
        }
        let at = self.local;
        // What comes from the address that media goes to str0m takes unread; from no address it reads
        // the check and verifies it, whoever sent it.
        let nobody = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let authentic = guard::guarded(|| {
            let received = Receive::new(Protocol::Udp, nobody, at, datagram).map_err(|error| error.to_string());
            Ok(received.is_ok_and(|received| leg.rtc.accepts(&Input::Receive(now, received))))
        })?;
        if !authentic {
            if restarting {
                leg.rtc.direct_api().set_local_ice_credentials(before);
                if let Some(old) = leg.remote.clone() {
                    leg.rtc.direct_api().set_remote_ice_credentials(old);
                }
            }
            return Ok(false);
        }
        if leg.remote.is_none() || restarting {
            leg.rtc.direct_api().set_remote_ice_credentials(client.clone());
            leg.remote = Some(client);
        }
        if restarting && let Some(new) = leg.restart.take() {
            self.by_ufrag.remove(&leg.local_ufrag);
            leg.local_ufrag = new.ufrag;
        }
        // Another leg may have it by now.
        if let Some(forgotten) = leg.remember(from)
            && self.by_address.get(&forgotten) == Some(&leg.number)
        {
            self.by_address.remove(&forgotten);
        }
        self.by_address.insert(from, leg.number);
        self.give(leg, from, datagram, now)
    }
}
