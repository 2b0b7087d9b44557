//! Builds the message for the wire. The library makes every header from a typed value, so that no value can inject
//! another header.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, MultiPartKind, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{Cause, Failure, Letter, Rendered};

/// The sender of mails: an address, optionally with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(Mailbox);

impl FromStr for Sender {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be an address such as no-reply@example.org or Example <no-reply@example.org>";
        let mailbox: Mailbox = text.parse().map_err(|_| WRONG)?;
        let named = mailbox.email.domain().split('.').count() >= 2;
        // Not every mail server supports other characters in the sender's address.
        let plain = text.chars().all(|c| !c.is_control()) && AsRef::<str>::as_ref(&mailbox.email).is_ascii();
        if named && plain { Ok(Self(mailbox)) } else { Err(WRONG) }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sender {
    /// The address.
    pub(super) fn address(&self) -> &Address {
        &self.0.email
    }

    /// The domain of the address.
    pub(super) fn domain(&self) -> &str {
        self.0.email.domain()
    }
}

/// The recipient's address in the library's type.
pub(super) fn address(letter: &Letter) -> Result<Address, Failure> {
    // The address was checked when it was queued and read back. The library's parser must agree.
    letter.to.as_str().parse().map_err(|_| Failure::new(Cause::Refused, "mail cannot be sent to this address"))
}

/// How an encoded word begins (RFC 2047 §2).
const ENCODED_WORD: &str = "=?";
/// How many bytes of text an encoded word holds: with its frame it has at most 75 characters.
const WORD_BYTES: usize = 45;

/// A subject that is encoded as a whole. The library leaves ASCII as it is, and so whoever chooses a text could encode
/// what may not be in it.
fn encoded_subject(text: &str) -> HeaderValue {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    let name = HeaderName::new_from_ascii_str("Subject");
    HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), words.join("\r\n "))
}

/// Builds the whole message: headers and both parts.
pub(super) fn message(from: &Sender, letter: &Letter, rendered: Rendered) -> Result<Vec<u8>, Failure> {
    let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(letter.now.millis()).unwrap_or(0));
    // The library would choose a random boundary. No line in either part looks like this one.
    let parts = MultiPart::builder().kind(MultiPartKind::Alternative).boundary(format!("=_{}", letter.id));
    let parts = parts.singlepart(SinglePart::plain(rendered.text)).singlepart(SinglePart::html(rendered.html));
    // Asks automatic responders not to reply (RFC 3834 §5).
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let built = Message::builder()
        .message_id(Some(format!("<{}@{}>", letter.id, from.domain())))
        .date(date)
        .from(from.0.clone())
        .to(Mailbox::new(None, address(letter)?))
        .raw_header(automatic);
    let built = if rendered.subject.contains(ENCODED_WORD) {
        built.raw_header(encoded_subject(&rendered.subject))
    } else {
        built.subject(rendered.subject)
    };
    let built = built.multipart(parts);
    Ok(built.map_err(|e| Failure::new(Cause::Broken, &e.to_string()))?.formatted())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::mail::{Content, MailKind},
        id::MailId,
        time::{Timestamp, Ttl},
    };

    fn letter() -> Letter {
        let now = Timestamp::from_millis(1_893_456_000_123);
        Letter {
            id: MailId::from_ulid(ulid::Ulid::nil()),
            to: "ada@example.org".parse().unwrap(),
            kind: MailKind::AccountExists,
            language: "en".parse().unwrap(),
            params: Content::AccountExists.params("Shop"),
            now,
            expires_at: now.plus(Ttl::from_secs(60)),
        }
    }

    fn bytes(from: &str, subject: &str, text: &str) -> String {
        let rendered = Rendered { subject: subject.into(), text: text.into(), html: "<p>é</p>".into() };
        String::from_utf8(message(&from.parse().unwrap(), &letter(), rendered).unwrap()).unwrap()
    }

    #[test]
    fn a_message_is_built_deterministically() {
        let made = bytes("Crémerie <no-reply@id.example.com>", "Grüße 🦀", "Zoë\n.\nend\n");
        assert_eq!(made, bytes("Crémerie <no-reply@id.example.com>", "Grüße 🦀", "Zoë\n.\nend\n"));
        assert!(made.is_ascii(), "{made}");
        for line in [
            "Message-ID: <mai_00000000000000000000000000@id.example.com>",
            "Date: Tue, 01 Jan 2030 00:00:00 +0000",
            "To: ada@example.org",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(made.split("\r\n").any(|l| l == line), "{line} in {made}");
        }
        assert!(!made.replace("\r\n", "").contains(['\r', '\n']), "{made:?}");
    }

    #[test]
    fn an_encoded_word_in_a_subject_is_shown_as_it_was_typed() {
        let subject = format!("=?utf-8?q?=E2=80=AEgnp=2E?= x {}", "é".repeat(60));
        let made = bytes("no-reply@id.example.com", &subject, "text");
        assert!(made.is_ascii() && !made.contains("utf-8?q?=E2=80=AE"), "{made}");
        let begin = made.find("Subject: ").unwrap() + "Subject: ".len();
        let header = made[begin..].replace("\r\n ", " ");
        let words = header.lines().next().unwrap().split(' ');
        let decoded = words.map(|word| {
            assert!(word.len() <= 75, "{word}");
            let word = word.strip_prefix("=?utf-8?b?").unwrap().strip_suffix("?=").unwrap();
            String::from_utf8(STANDARD.decode(word).unwrap()).unwrap()
        });
        assert_eq!(decoded.collect::<String>(), subject);
    }

    #[test]
    fn a41_no_value_can_inject_a_header() {
        let made = bytes("no-reply@id.example.com", "Hello\r\nBcc: v@y.org\r\n\r\nbody", "text");
        let headers = made.split("\r\n\r\n").next().unwrap();
        assert!(!headers.lines().any(|l| l.starts_with("Bcc")), "{headers}");
        for bad in [
            "",
            "no-reply",
            "a@x\r\nBcc:v@y",
            "A\r\nBcc: v@y.org <a@x.org>",
            "a@x.org, b@y.org",
            "a@localhost",
            "ä@x.org",
        ] {
            assert!(bad.parse::<Sender>().is_err(), "{bad:?}");
        }
    }
}
