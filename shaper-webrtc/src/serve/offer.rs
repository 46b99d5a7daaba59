//! Offers of WHIP and WHEP: what is refused of one before it reaches a shard, which has media to forward.

use hyper::StatusCode;
use str0m::change::SdpOffer;

use super::http::Refusal;

/// Media sections of one offer. What each costs grows with how many there are, and a shard answers an
/// offer between two packets.
const SECTIONS: usize = 32;
/// The longest media identification, in bytes: str0m's `Mid` has no room for more, and cuts it off.
const MID_BYTES: usize = 16;

/// Parses an offer.
pub(crate) fn read(offer: &[u8]) -> Result<SdpOffer, Refusal> {
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, message);
    let offer = std::str::from_utf8(offer).map_err(|_| bad("the offer is no UTF-8\n".to_owned()))?;
    check(offer).map_err(|message| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))?;
    match std::panic::catch_unwind(|| SdpOffer::from_sdp_string(offer)) {
        Ok(Ok(offer)) => Ok(offer),
        Ok(Err(error)) => Err(bad(format!("cannot read the offer: {}\n", told(&error)))),
        Err(_) => Err(bad("cannot read the offer\n".to_owned())),
    }
}

fn check(offer: &str) -> Result<(), String> {
    // Whatever the parser takes for the end of a line.
    let lines = || offer.split(['\r', '\n']);
    let sections = lines().filter(|line| line.starts_with("m=")).count();
    if sections > SECTIONS {
        return Err(format!("no more than {SECTIONS} media sections, and not {sections}\n"));
    }
    let mut mids: Vec<&str> = lines().filter_map(|line| line.strip_prefix("a=mid:")).map(str::trim).collect();
    if mids.iter().any(|mid| mid.len() > MID_BYTES) {
        return Err(format!("a=mid must not be longer than {MID_BYTES} bytes\n"));
    }
    let all = mids.len();
    if all < sections {
        return Err("each media section needs an a=mid of its own (RFC 9429, JSEP)\n".to_owned());
    }
    mids.sort_unstable();
    mids.dedup();
    if mids.len() < all {
        return Err("two media sections have the same a=mid\n".to_owned());
    }
    Ok(())
}

/// What is wrong with an offer, without where it lay in our memory, which the parser tells too.
fn told(error: &impl ToString) -> String {
    let told = error.to_string();
    let lines = told.lines().filter(|line| !line.is_empty() && !line.contains("PointerOffset"));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_offer_is_told_and_no_address_of_ours() {
        let error = SdpOffer::from_sdp_string("nonsense").err();
        let told = error.map(|error| super::told(&error)).unwrap_or_default();
        assert!(told.contains("Unexpected") && !told.contains("0x"), "{told}");
    }

    #[test]
    fn offers_of_too_many_sections_and_of_mids_that_cannot_be_told_apart_are_refused() {
        let section = |mid: &str| format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\n");
        let offer = |count: usize| (0..count).map(|mid| section(&mid.to_string())).collect::<String>();
        assert_eq!(check(&offer(32)), Ok(()));
        assert!(check(&offer(33)).is_err_and(|message| message.contains("32 media sections")));
        assert!(check(&offer(33).replace("\r\n", "\r")).is_err());
        assert!(check("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n").is_err_and(|message| message.contains("a=mid")));
        assert!(check(&(section("0") + &section("0"))).is_err_and(|message| message.contains("same")));
        assert_eq!(check(&section(&"x".repeat(16))), Ok(()));
        assert!(check(&section(&"x".repeat(17))).is_err_and(|message| message.contains("16 bytes")));
    }
}
