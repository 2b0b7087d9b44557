//! Issues and redeems tickets: links and codes in mails, and the steps of a sign-in.

use std::{fmt, sync::Arc};

use aws_lc_rs::constant_time;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    domain::{
        client::{Client, ClientId},
        login::Login,
        mail::LinkAndCode,
        ticket::{ATTEMPTS, DIGITS, Ticket, TicketKind},
    },
    entropy::Entropy,
    error::{Error, Reason, Result},
    id::{TicketId, UserId},
    keys::{SealingKey, SealingKeys, mint_ticket_token, parse_ticket_token},
    secret::{CodeHash, MailedSecret, TicketSecret, TicketToken, TypedCode},
    service::runtime::{Live, Runtime},
    store::{Store, Tx},
    time::Timestamp,
};

/// A presented ticket: the token of a link, or the ticket with the code.
#[derive(Debug)]
pub struct PresentedTicket {
    /// The token; empty if there is a code.
    pub token: TicketToken,
    /// The ticket. With a token, it proves that the caller made the request.
    pub ticket: String,
    /// The code.
    pub code: TypedCode,
}

/// A ticket whose code or link is sent by mail.
#[derive(Clone, Debug)]
pub struct PendingTicket {
    /// The ticket, which goes with the code. Neither the code nor the link reveals it.
    pub ticket: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A new ticket with its secrets.
pub(in crate::service) struct IssuedTicket {
    pub(in crate::service) ticket: Ticket,
    pub(in crate::service) token: TicketToken,
    pub(in crate::service) code: TypedCode,
    for_asker: String,
}

/// A valid ticket, and who presents it.
pub(in crate::service) struct FoundTicket {
    pub(in crate::service) ticket: Ticket,
    /// Whether the caller has shown the ticket that only the person who made the request was given.
    pub(in crate::service) by_asker: bool,
}

/// Length of the tag in a ticket, in bytes.
const ASKER_TAG: usize = 16;

/// The error for every invalid ticket.
pub(in crate::service) const CODE_INVALID: Error = Error::Unauthenticated(Reason::CodeInvalid);

impl IssuedTicket {
    /// The response to the caller, before the mail arrives.
    pub(in crate::service) fn pending(&self) -> PendingTicket {
        PendingTicket { ticket: self.for_asker.clone(), expires_at: self.ticket.expires_at }
    }

    /// Link and code, for the mail.
    pub(in crate::service) fn link_and_code(&self, client: &Client) -> LinkAndCode {
        let link = self.link(client);
        let code = MailedSecret::new(self.code.expose().to_owned());
        LinkAndCode { link: MailedSecret::new(link), code, expires_at: self.ticket.expires_at }
    }
}

impl IssuedTicket {
    /// The link: as the client's template says or, without one, to a page of the client's site; else there is none. Its
    /// host is always one that was declared, never one that a request has named.
    fn link(&self, client: &Client) -> String {
        let (kind, token) = (self.ticket.kind, self.token.expose());
        if let Some(template) = &client.config.link_template {
            return template.replace("{kind}", kind.as_str()).replace("{token}", token);
        }
        let Some(site) = &client.config.site else { return String::new() };
        match kind {
            TicketKind::Register | TicketKind::VerifyEmail => {
                site.url(&format!("verify?kind={}&token={token}", kind.as_str()))
            }
            TicketKind::PasswordReset | TicketKind::Invitation => site.url(&format!("reset?token={token}")),
            TicketKind::SignIn | TicketKind::Enrol => String::new(),
        }
    }
}

/// Issues and redeems tickets. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Tickets {
    store: Store,
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    pub(in crate::service) fn new(runtime: Runtime) -> Self {
        let Runtime { store, live, sealing, entropy } = runtime;
        Self { store, live, sealing, entropy }
    }

    /// Creates a ticket without storing it. A user's ticket is bound to the user's `security_version` and becomes
    /// invalid when that changes.
    pub(in crate::service) fn issue(
        &self,
        kind: TicketKind,
        client: &ClientId,
        user: Option<(&UserId, i64)>,
        data: &impl Serialize,
    ) -> Result<IssuedTicket> {
        let id = TicketId::new(self.live.now(), &*self.entropy);
        self.issue_as(id, (kind, client), user, data)
    }

    /// Does what [`Tickets::issue`] does, for a ticket with this id.
    pub(in crate::service) fn issue_as(
        &self,
        id: TicketId,
        (kind, client): (TicketKind, &ClientId),
        user: Option<(&UserId, i64)>,
        data: &impl Serialize,
    ) -> Result<IssuedTicket> {
        let now = self.live.now();
        let secret = TicketSecret::generate(&*self.entropy);
        let key = self.sealing.in_use();
        let (code, code_hash) = self.generate_code(key, &id);
        let ticket = Ticket {
            kind,
            client: client.clone(),
            user: user.map(|(id, _)| id.clone()),
            security_version: user.map_or(0, |(_, version)| version),
            secret: secret.hash(),
            code: code_hash,
            attempts_left: ATTEMPTS,
            topic: None,
            sealed: self.seal_under(key, &sealing_context(&id, kind), data)?,
            sealing_version: i64::from(key.version()),
            holder: None,
            revision: 0,
            created_at: now,
            expires_at: now.plus(kind.lifetime()),
            id,
        };
        let token = mint_ticket_token(&ticket.id, &secret);
        let for_asker = for_asker(key, &ticket.id);
        Ok(IssuedTicket { ticket, token, code, for_asker })
    }

    /// What the person who made the request is given.
    ///
    /// # Errors
    /// [`CODE_INVALID`] if the version of the sealing key that the ticket was made with was dropped.
    pub(in crate::service) fn pending(&self, ticket: &Ticket) -> Result<PendingTicket> {
        Ok(PendingTicket { ticket: for_asker(self.key_of(ticket)?, &ticket.id), expires_at: ticket.expires_at })
    }

    /// The version of the sealing key that a ticket was made with. All that belongs to it stays with that version, for as
    /// long as the ticket is valid: nobody but its owner knows the code, which could not be hashed again.
    ///
    /// # Errors
    /// [`CODE_INVALID`] if that version was dropped.
    pub(in crate::service) fn key_of(&self, ticket: &Ticket) -> Result<&SealingKey> {
        self.sealing.version_of_row(ticket.sealing_version).ok_or(CODE_INVALID)
    }

    /// Whether the account that a ticket is of, if it is of one, is as it was when the ticket was made.
    pub(in crate::service) async fn is_of_account(&self, tx: &mut Tx, ticket: &Ticket) -> Result<bool> {
        let Some(user) = &ticket.user else { return Ok(true) };
        let user = tx.user_by_id(user).await?;
        Ok(user.is_some_and(|u| u.security_version == ticket.security_version && u.disabled_at.is_none()))
    }

    /// A code for a ticket.
    fn generate_code(&self, key: &SealingKey, id: &TicketId) -> (TypedCode, CodeHash) {
        let modulus = 10u128.pow(u32::try_from(DIGITS).unwrap_or(8));
        let code = format!("{:0DIGITS$}", u128::from_be_bytes(self.entropy.bytes16()) % modulus);
        let hash = CodeHash(key.code_hash(id.as_str(), &code));
        (TypedCode::new(code), hash)
    }

    /// A ticket that exists, with a new code in place of its own, and no link. It is not stored.
    ///
    /// # Errors
    /// As [`Tickets::key_of`].
    pub(in crate::service) fn with_new_code(&self, ticket: &Ticket, expires_at: Timestamp) -> Result<IssuedTicket> {
        let (code, hash) = self.generate_code(self.key_of(ticket)?, &ticket.id);
        let ticket = Ticket { code: hash, attempts_left: ATTEMPTS, expires_at, ..ticket.clone() };
        Ok(IssuedTicket { ticket, token: TicketToken::new(String::new()), code, for_asker: String::new() })
    }

    /// Encrypts new data of a ticket.
    ///
    /// # Errors
    /// As [`Tickets::key_of`].
    pub(in crate::service) fn seal(&self, ticket: &Ticket, data: &impl Serialize) -> Result<Vec<u8>> {
        self.seal_under(self.key_of(ticket)?, &sealing_context(&ticket.id, ticket.kind), data)
    }

    fn seal_under(&self, key: &SealingKey, purpose: &str, data: &impl Serialize) -> Result<Vec<u8>> {
        let data = Zeroizing::new(serde_json::to_vec(data).map_err(|e| Error::Internal(Box::new(e)))?);
        Ok(key.seal(&data, purpose, &*self.entropy))
    }

    /// The keyed hash of an address that is registered. Of all registrations of an address, in any form and through
    /// any client, only the latest is valid.
    pub(in crate::service) fn registration_topic(&self, email: &Login) -> [u8; 32] {
        self.sealing.oldest().topic_hash(TicketKind::Register.as_str(), email.canonical())
    }

    /// The id in a ticket that this server gave to the person who made the request.
    fn id_from_asker(&self, text: &str) -> Option<TicketId> {
        let (id, tag) = text.split_once('.')?;
        let id: TicketId = id.parse().ok()?;
        let is_tag = |key| {
            let want = asker_tag(key, &id);
            constant_time::verify_slices_are_equal(want.as_bytes(), tag.as_bytes()).is_ok()
        };
        self.sealing.valid().any(is_tag).then_some(id)
    }

    /// The id of the ticket that is presented, whether or not it is valid. A link has to have the right form, a code the
    /// ticket that only the person who made the request was given.
    pub(in crate::service) fn id_of(&self, presented: &PresentedTicket) -> Option<TicketId> {
        if presented.token.expose().is_empty() {
            return self.id_from_asker(&presented.ticket);
        }
        parse_ticket_token(&presented.token).map(|(id, _)| id)
    }

    /// Finds the presented ticket, if it is valid and belongs to this client. This does not consume it: the
    /// transaction that performs its action does. Every wrong code uses up an attempt. A link uses none and works
    /// when none are left: it cannot be guessed, and whoever requested the mail in another person's name must not be
    /// able to invalidate it.
    pub(in crate::service) async fn find_valid(
        &self,
        client: &Client,
        kinds: &[TicketKind],
        presented: &PresentedTicket,
    ) -> Result<FoundTicket> {
        let wanted = |t: &Ticket| t.client == client.id && kinds.contains(&t.kind);
        let asked = self.id_from_asker(&presented.ticket);
        let ticket = if presented.token.expose().is_empty() {
            self.by_code(&asked.clone().ok_or(CODE_INVALID)?, &presented.code, wanted).await?
        } else {
            self.by_link(&presented.token).await?.filter(wanted)
        };
        let ticket = ticket.ok_or(CODE_INVALID)?;
        let by_asker = asked.is_some_and(|id| id == ticket.id);
        Ok(FoundTicket { ticket, by_asker })
    }

    /// The ticket whose secret is in the link.
    async fn by_link(&self, token: &TicketToken) -> Result<Option<Ticket>> {
        let (id, secret) = parse_ticket_token(token).ok_or(CODE_INVALID)?;
        let found = self.store.read().await?.ticket_find(&id, self.live.now()).await?;
        Ok(found.filter(|t| t.secret.matches(&secret.hash())))
    }

    /// The ticket whose code was typed, if `wanted` accepts it.
    async fn by_code(
        &self,
        id: &TicketId,
        code: &TypedCode,
        wanted: impl Fn(&Ticket) -> bool,
    ) -> Result<Option<Ticket>> {
        // What cannot be right costs a read, and no turn among the writers. The steps of a sign-in accept only its token.
        let found = self.store.read().await?.ticket_find(id, self.live.now()).await?;
        let open = |t: &Ticket| t.attempts_left > 0 && t.kind != TicketKind::SignIn && wanted(t);
        if !found.is_some_and(|t| open(&t)) || !is_code(code) {
            return Ok(None);
        }
        // A guess is counted before it is looked at.
        let mut tx = self.store.write().await?;
        let Some(ticket) = tx.ticket_attempt(id, self.live.now()).await? else { return Ok(None) };
        let valid = self.code_matches(&ticket, code);
        if valid {
            tx.ticket_give_back(&ticket.id).await?;
        }
        tx.commit().await?;
        Ok(valid.then_some(ticket))
    }

    /// Whether a code matches the ticket, ignoring spaces and hyphens.
    pub(in crate::service) fn code_matches(&self, ticket: &Ticket, code: &TypedCode) -> bool {
        let hash = |key: &SealingKey| CodeHash(key.code_hash(ticket.id.as_str(), &digits_of(code)));
        self.key_of(ticket).is_ok_and(|key| ticket.code.matches(&hash(key)))
    }

    /// Decrypts the data of a ticket.
    pub(in crate::service) fn data<T: DeserializeOwned>(&self, ticket: &Ticket) -> Result<T> {
        let plain = self.key_of(ticket)?.open(&ticket.sealed, &sealing_context(&ticket.id, ticket.kind));
        let plain = plain.ok_or_else(|| Error::Internal(format!("{} does not open", ticket.id).into()))?;
        serde_json::from_slice(&plain).map_err(|e| Error::Internal(Box::new(e)))
    }
}

/// What the person who asks for a ticket is given.
fn for_asker(key: &SealingKey, id: &TicketId) -> String {
    format!("{id}.{}", asker_tag(key, id))
}

/// The tag in the ticket that the caller is given. The id alone stands in the link too, so it proves nothing.
fn asker_tag(key: &SealingKey, id: &TicketId) -> String {
    let tag = key.asker_tag(id.as_str());
    URL_SAFE_NO_PAD.encode(tag.get(..ASKER_TAG).unwrap_or(&tag))
}

/// What was typed, without spaces and hyphens, and not much longer than a code.
fn digits_of(code: &TypedCode) -> String {
    code.expose().chars().filter(|c| !matches!(c, ' ' | '-')).take(DIGITS + 1).collect()
}

/// Whether a text has the form of a code. One that has not is no guess.
pub(in crate::service) fn is_code(code: &TypedCode) -> bool {
    let digits = digits_of(code);
    digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit())
}

fn sealing_context(id: &TicketId, kind: TicketKind) -> String {
    format!("ticket {} {id}", kind.as_str())
}
