//! Ticket tokens, for links and the next step of a sign-in: `chl_` + base64url(format, ticket, secret) + checksum.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ulid::Ulid;
use zeroize::Zeroizing;

use crate::{
    id::TicketId,
    secret::{TicketSecret, TicketToken, with_checksum, without_checksum},
};

const PREFIX: &str = "chl_";
const FORMAT: u8 = 1;
const TOTAL: usize = 1 + 16 + 32;

/// Makes the token of a ticket.
#[must_use]
pub fn mint(id: &TicketId, secret: &TicketSecret) -> TicketToken {
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOTAL));
    bytes.push(FORMAT);
    bytes.extend_from_slice(&id.ulid().to_bytes());
    bytes.extend_from_slice(&*secret.0);
    TicketToken::new(with_checksum(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*bytes))))
}

/// Parses a token. Returns nothing if it is malformed.
#[must_use]
pub fn parse(token: &TicketToken) -> Option<(TicketId, TicketSecret)> {
    let body = without_checksum(token.expose())?.strip_prefix(PREFIX)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let (&format, rest) = bytes.split_first()?;
    let (ulid, secret) = rest.split_first_chunk::<16>()?;
    let secret = Zeroizing::new(<[u8; 32]>::try_from(secret).ok()?);
    (format == FORMAT).then(|| (TicketId::from_ulid(Ulid::from_bytes(*ulid)), TicketSecret(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entropy::{Entropy, SeededEntropy},
        time::Timestamp,
    };

    #[test]
    fn a_ticket_token_parses_and_other_texts_do_not() {
        let entropy = SeededEntropy::new(1);
        let (id, secret) =
            (TicketId::new(Timestamp::from_millis(1), &entropy), TicketSecret(Zeroizing::new(entropy.bytes32())));
        let token = mint(&id, &secret);
        let (read, again) = parse(&token).unwrap();
        assert!(read == id && again.hash().matches(&secret.hash()));
        for bad in ["", "chl_", "chl_AAAA00000000", &token.expose()[1..], &token.expose().replace("chl_", "chr_")] {
            assert!(parse(&TicketToken::new(bad.to_owned())).is_none(), "{bad}");
        }
    }
}
