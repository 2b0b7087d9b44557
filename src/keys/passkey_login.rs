//! What a passkey was asked, before anything is proved or changed: sign-ins, and passkeys that are to be made. The whole
//! state stands sealed in what the application holds, so that nothing is stored for it: a prefix, and what
//! `fresh_seal` of the parent makes of the state and its kind.

use zeroize::Zeroizing;

use super::{fresh_seal, sealing::SealingKey, sealing_keys::SealingKeys};
use crate::{entropy::Entropy, id::TicketId, secret::TicketToken};

/// What was asked. The kind is sealed with the state, so that none passes for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A sign-in.
    Login,
    /// A new passkey.
    Enrolment,
}

impl Asked {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Login => "chp_",
            Self::Enrolment => "chq_",
        }
    }

    const fn kind(self) -> u8 {
        match self {
            Self::Login => 1,
            Self::Enrolment => 2,
        }
    }
}

/// Seals a state. Returns nothing if it is too long.
#[must_use]
pub fn seal(keys: &SealingKeys, asked: Asked, plain: &[u8], entropy: &dyn Entropy) -> Option<TicketToken> {
    let plain = Zeroizing::new([&[asked.kind()], plain].concat());
    let sealed = || fresh_seal::seal(keys, SealingKey::passkey_login_keys, &plain, entropy);
    (plain.len() <= fresh_seal::MAX_PLAIN).then(|| TicketToken::new(format!("{}{}", asked.prefix(), sealed())))
}

/// Whether the challenge of a sign-in is one of these.
#[must_use]
pub fn is_one(token: &TicketToken) -> bool {
    token.expose().starts_with(Asked::Login.prefix())
}

/// Opens a state. Returns nothing unless this server has sealed it as this.
#[must_use]
pub fn open(keys: &SealingKeys, asked: Asked, token: &TicketToken) -> Option<Zeroizing<Vec<u8>>> {
    let text = token.expose().strip_prefix(asked.prefix())?;
    let plain = fresh_seal::open(keys, SealingKey::passkey_login_keys, text)?;
    let (kind, state) = plain.split_first()?;
    (*kind == asked.kind()).then(|| Zeroizing::new(state.to_vec()))
}

/// What a passkey signs at a step that a ticket stands for. It is of this step alone, and nobody knows it before.
#[must_use]
pub fn challenge_of_step(key: &SealingKey, ticket: &TicketId, revision: i64) -> [u8; 16] {
    let tag = key.passkey_challenge(&[ticket.as_str().as_bytes(), &revision.to_be_bytes()]);
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(tag) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SeededEntropy, time::Timestamp};

    fn key(byte: u8) -> SealingKeys {
        SealingKey::new(&Zeroizing::new([byte; 32])).into()
    }

    #[test]
    fn a_state_opens_with_its_key_alone_and_as_nothing_else() {
        let entropy = SeededEntropy::new(1);
        for (asked, other) in [(Asked::Login, Asked::Enrolment), (Asked::Enrolment, Asked::Login)] {
            let token = seal(&key(7), asked, b"state", &entropy).unwrap();
            assert_eq!(is_one(&token), asked == Asked::Login);
            assert_eq!(open(&key(7), asked, &token).unwrap().as_slice(), b"state");
            assert!(open(&key(8), asked, &token).is_none() && open(&key(7), other, &token).is_none());
            let bare = token.expose().strip_prefix(asked.prefix()).unwrap();
            let renamed = TicketToken::new(format!("{}{bare}", other.prefix()));
            assert!(open(&key(7), other, &renamed).is_none(), "the prefix is not what tells them apart");
            assert!(super::super::flow_seal::open(&key(7), bare).is_none());
        }
        let flow = super::super::flow_seal::seal(&key(7), b"\x01state", &entropy).unwrap();
        assert!(open(&key(7), Asked::Login, &TicketToken::new(format!("chp_{flow}"))).is_none());
        assert!(seal(&key(7), Asked::Login, &[0; 3000], &entropy).is_none());
    }

    #[test]
    fn each_step_has_a_challenge_of_its_own() {
        let id = |seed| TicketId::new(Timestamp::from_millis(0), &SeededEntropy::new(seed));
        let of = challenge_of_step(key(7).in_use(), &id(1), 0);
        assert_eq!(of, challenge_of_step(key(7).in_use(), &id(1), 0));
        for other in [
            challenge_of_step(key(7).in_use(), &id(1), 1),
            challenge_of_step(key(7).in_use(), &id(2), 0),
            challenge_of_step(key(8).in_use(), &id(1), 0),
        ] {
            assert_ne!(of, other);
        }
    }
}
