//! Email verification. A code or link proves that its reader has the address, not that they made the request: a stranger
//! may have registered with the address and a password of their own, and a user may have mistyped it. Who made the
//! request shows the ticket that they were given.

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tokio::time::Instant;

use super::{Accounts, once::Kept, register::PendingAccount, visit::Visit};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        login::Login,
        mail::Language,
        session::RevokedCause,
        ticket::{Ticket, TicketKind},
        user::User,
    },
    error::{Error, Reason, Result, Violations},
    id::{SessionId, UserId, VisitorId},
    passwords::Phc,
    secret::Password,
    service::{
        access::{ClientCredentials, Me, RequestContext},
        people::{
            new_passwords::{check_may_handle_passwords, check_new_password, hash_error, wait_min_response_time},
            tickets::{CODE_INVALID, FoundTicket, PresentedTicket},
        },
    },
    store::{By, NewUser, Tx},
    time::Timestamp,
};

/// The tickets that prove an address.
pub(super) const VERIFY_KINDS: [TicketKind; 2] = [TicketKind::Register, TicketKind::VerifyEmail];

/// An address waiting for verification.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingEmail {
    pub(super) email: String,
    /// The session in which the request was made. The request ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<SessionId>,
}

impl PendingEmail {
    /// Fails if the session has been ended in which the request was made: whoever has ended it wants nothing of what was
    /// begun there. One that its user has replaced by signing in once more goes on in the new one. Returns whether it
    /// is still live; it may also have expired.
    pub(super) async fn check_session(&self, tx: &mut Tx, now: Timestamp) -> Result<bool> {
        let id = self.session.clone().ok_or(CODE_INVALID)?;
        let session = tx.session_or_successor(id).await?.ok_or(CODE_INVALID)?;
        Ok(now < session.expires_at())
    }
}

/// What comes with a code or link, besides its text.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// The credentials of a call.
    Credentials(&'a ClientCredentials),
    /// The browser's visitor, and the account that is signed in there.
    Browser(&'a VisitorId, Option<&'a Me>),
}

impl Shown<'_> {
    /// Whether this is the browser in which the request was made. It shows who has asked for a new account; whose an
    /// account is takes a session.
    fn is_of(self, visit: Option<&Visit>) -> bool {
        matches!(self, Self::Browser(visitor, _) if visit.is_some_and(|visit| visit.is_of(visitor)))
    }
}

/// What the reader of a mail chooses.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) new_password: Password,
    pub(super) name: Option<String>,
}

/// A verified address.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) email: String,
    /// The account that was opened, if one was.
    pub(super) account: Option<User>,
    /// Whether the person who made the request has verified it.
    pub(super) by_asker: bool,
    /// The browser in which the request was made, if it was made at a site.
    pub(super) visit: Option<Visit>,
    /// The session of the guest who has become the account's user.
    pub(super) guest: Option<SessionId>,
}

/// A verification of an address.
#[derive(Debug)]
pub struct VerifyEmailInput {
    /// The client id from the request.
    pub client_id: String,
    /// The code or link.
    pub presented: PresentedTicket,
    /// A password for the new account instead of the one in the request; empty means none.
    pub new_password: Password,
    /// A user name for the new account instead of the one in the request; empty means no name.
    pub name: Option<String>,
}

impl Accounts {
    /// Verifies an address with the mailed code or link: creates the registered account, or changes the user's
    /// address. Returns the address.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`]; [`Reason::NewPasswordRequired`] or [`Reason::OwnTokenRequired`] if the caller has not
    /// shown the ticket; [`Error::Exists`] if the user name was taken meanwhile. All but the first leave the code and
    /// the link valid.
    pub async fn verify_email(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        input: VerifyEmailInput,
    ) -> Result<String> {
        let client = self.callers.client_of(ctx, credentials, &input.client_id).await?;
        check_may_handle_passwords(&client)?;
        let VerifyEmailInput { presented, new_password, name, .. } = input;
        let shown = Shown::Credentials(credentials);
        let verified =
            self.verify_ticket(ctx, &client, (&presented, shown), (Chosen { new_password, name }, None)).await?;
        Ok(verified.email)
    }

    /// Does what [`Accounts::verify_email`] does for a client that has been checked.
    pub(super) async fn verify_ticket(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (presented, shown): (&PresentedTicket, Shown<'_>),
        (chosen, kept): (Chosen, Option<Kept<'_>>),
    ) -> Result<Verified> {
        // Check the rules that are the same for everybody before looking at the code.
        check_choices(&chosen)?;
        let arrived = Instant::now();
        let result = async {
            let found = self.tickets.find_valid(client, &VERIFY_KINDS, presented).await?;
            if found.ticket.kind == TicketKind::Register {
                self.open_account(ctx, client, (found, shown), (chosen, kept)).await
            } else {
                self.change_email(ctx, client, (found, shown), kept).await
            }
        };
        let result = result.await;
        if result.is_err() {
            wait_min_response_time(arrived).await;
        }
        result
    }

    /// Opens an account. Without the ticket of the person who registered, nothing that they chose is taken over: the
    /// reader of the mail chooses the password, and the name if there is to be one.
    async fn open_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (found, shown): (FoundTicket, Shown<'_>),
        (chosen, kept): (Chosen, Option<Kept<'_>>),
    ) -> Result<Verified> {
        let FoundTicket { ticket, by_asker } = found;
        let PendingAccount { email, name, phc, language, visit, guest } = self.tickets.data(&ticket)?;
        let by_asker = by_asker || shown.is_of(visit.as_ref());
        let Chosen { new_password, name: chosen } = chosen;
        let email_login = stored(&email)?;
        let name = match chosen {
            Some(name) => name,
            None if by_asker => name,
            None => String::new(),
        };
        let mut logins = vec![email_login.clone()];
        if !name.is_empty() {
            logins.push(stored(&name)?);
        }
        let phc = if !new_password.expose().is_empty() {
            check_new_password(&new_password, &[email.clone(), name], 0)?;
            self.passwords.hash(new_password).await.map_err(hash_error)?
        } else if by_asker {
            Phc::from_database(phc)
        } else {
            return Err(Error::Needs(Reason::NewPasswordRequired));
        };
        let language = language.filter(|_| by_asker).and_then(|tag| tag.parse().ok()).or_else(|| ctx.language.clone());
        // A stranger may have registered with the address, as a guest whose tokens the stranger has.
        let guest = guest.filter(|_| by_asker);
        let new = (logins, phc, language);
        let (account, guest) = self.insert_account(ctx, client, (&ticket, kept), (new, guest)).await?;
        Ok(Verified { email, account: Some(account), by_asker, visit, guest })
    }

    async fn insert_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (ticket, kept): (&Ticket, Option<Kept<'_>>),
        ((logins, phc, language), guest): ((Vec<Login>, Phc, Option<Language>), Option<SessionId>),
    ) -> Result<(User, Option<SessionId>)> {
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !use_ticket(&mut tx, ticket, kept, now).await? {
            return Err(CODE_INVALID);
        }
        if let Some(topic) = &ticket.topic {
            tx.tickets_void(topic, now).await?;
        }
        let mut became = None;
        if let Some(guest) = guest {
            let actor = Actor { address: ctx.peer.clone(), ..Actor::named(client.id.as_str()) };
            let by =
                By { actor: &actor, cause: RevokedCause::Superseded, settings: &self.live.snapshot().settings, now };
            became = tx.guest_become(&guest, &by).await?.map(|id| (id, guest));
        }
        let user = |id: UserId| User {
            subject: id.as_str().to_owned(),
            id,
            attributes: Map::new(),
            language: language.clone(),
            security_version: 1,
            second_factors: 0,
            disabled_at: None,
            created_at: now,
        };
        let (id, guest) = became.unzip();
        let id = id.unwrap_or_else(|| UserId::new(now, &*self.entropy));
        let new = NewUser { user: user(id), logins, password: Some(phc) };
        if let Some(taken) = tx.user_insert(&new).await? {
            return Err(taken.into());
        }
        let subject = &new.user.subject;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(subject) };
        tx.audit(now, AuditKind::UserRegistered, &actor, subject, json!({})).await?;
        self.live.commit(tx).await?;
        Ok((new.user, guest))
    }

    /// Replaces the user's addresses with the verified one, and notifies the old and the new ones. If the address was
    /// mistyped, its owner reads the link: that alone must not give them the account. Nor must the ticket, once the
    /// session has ended that it was given to.
    async fn change_email(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (found, shown): (FoundTicket, Shown<'_>),
        kept: Option<Kept<'_>>,
    ) -> Result<Verified> {
        let FoundTicket { ticket, by_asker } = found;
        let pending: PendingEmail = self.tickets.data(&ticket)?;
        let login = stored(&pending.email)?;
        let user = ticket.user.clone().ok_or(CODE_INVALID)?;
        let owner = self.owner(ctx, shown, &user).await?;
        let mut tx = self.store.write().await?;
        let now = self.live.now();
        // Check the account's version first: the ticket is invalid after any other change.
        if !tx.user_touch(&user, Some(ticket.security_version), now).await? {
            return Err(CODE_INVALID);
        }
        // The sessions then: on PostgreSQL, one may have ended while this waited for the row.
        let live = pending.check_session(&mut tx, now).await?;
        match owner {
            Some(me) => me.check_current(&mut tx).await?,
            None if live && by_asker && matches!(shown, Shown::Credentials(_)) => {}
            None => return Err(Error::Needs(Reason::OwnTokenRequired)),
        }
        if !use_ticket(&mut tx, &ticket, kept, now).await? {
            return Err(CODE_INVALID);
        }
        let user = tx.user_by_id(&user).await?.ok_or(CODE_INVALID)?;
        let old = tx.logins_of(&user.id).await?;
        self.emails.replace(&mut tx, client, (&user, &old), &login).await?;
        let subject = user.subject;
        let actor = Actor { client: Some(client.id.to_string()), address: ctx.peer.clone(), ..Actor::named(&subject) };
        tx.audit(now, AuditKind::EmailChanged, &actor, &subject, json!({})).await?;
        tx.commit().await?;
        Ok(Verified { email: pending.email, account: None, by_asker, visit: None, guest: None })
    }

    /// The account's owner, if that is who calls.
    async fn owner(&self, ctx: &RequestContext, shown: Shown<'_>, user: &UserId) -> Result<Option<Me>> {
        let me = match shown {
            Shown::Credentials(credentials @ ClientCredentials::Bearer(_)) => {
                match self.callers.me(ctx, credentials).await {
                    // A guest is nobody's account.
                    Err(Error::Denied(Reason::GuestNotAllowed, _)) => None,
                    me => Some(me?),
                }
            }
            Shown::Credentials(_) => None,
            Shown::Browser(_, me) => me.cloned(),
        };
        Ok(me.filter(|me| me.user == *user))
    }
}

/// Uses a ticket, and keeps with it what it was used for. Returns whether this call used it.
async fn use_ticket(tx: &mut Tx, ticket: &Ticket, kept: Option<Kept<'_>>, now: Timestamp) -> Result<bool> {
    match kept {
        Some(kept) => tx.ticket_use_for(&ticket.id, now, &kept.to_bytes()).await,
        None => tx.ticket_use(&ticket.id, now).await,
    }
}

/// A login that was valid when it was sealed, or has just been checked.
fn stored(text: &str) -> Result<Login> {
    Login::parse(text).map_err(|e| Error::Internal(Box::new(e)))
}

/// Fails if the chosen password is too weak, or the chosen name is no name.
fn check_choices(input: &Chosen) -> Result<()> {
    if !input.new_password.expose().is_empty() {
        check_new_password(&input.new_password, &[], 0)?;
    }
    let mut violations = Violations::default();
    if let Some(name) = input.name.as_deref().filter(|name| !name.is_empty()) {
        violations.take("name", Login::parse_name(name));
    }
    violations.into_result(())
}
