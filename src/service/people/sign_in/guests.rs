//! Sessions of guests: people without an account.

use serde_json::Map;

use super::{
    Device, FormProof, Granted, MAX_LABEL, NewCookies, SignInRequest, SignIns, SignedIn, VerifiedUser,
    opening::OpenedSession,
};
use crate::{
    domain::{
        client::{Client, Grant},
        end_user::EndUser,
        factor::Methods,
        guest::{GUEST_IDLE, GuestJoin, GuestPolicies, MAX_POLICIES},
        scope::{Audience, Scope},
        session::{FormSpending, OpenOutcome, RevokedCause, Session, SessionKind, browser_idle_expiry},
        session_data::Namespace,
        text::cleaned,
        user::User,
    },
    error::{Error, Reason, Result, Violations},
    id::UserId,
    keys::session_cookie,
    secret::{RefreshToken, SessionSecret},
    service::{
        access::{ClientCredentials, RequestContext},
        people::{guest_limits::GuestFigures, guest_tokens::guest_of_token, person::Person},
        tokens::{Subject, TokenPair, TokenParams, audience_of, scopes_of},
    },
    store::Opening,
    time::Timestamp,
};

/// A request for a session of a guest.
#[derive(Debug)]
pub struct GuestRequest {
    /// The client id from the request.
    pub client_id: String,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// Requested scopes; empty means all.
    pub scopes: Vec<String>,
    /// The device.
    pub device: Device,
}

/// A guest's request to sign in.
#[derive(Debug)]
pub struct UpgradeRequest {
    /// The sign-in.
    pub sign_in: SignInRequest,
    /// The newest refresh token of the guest.
    pub guest_token: RefreshToken,
    /// What becomes of the guest's data.
    pub policies: GuestPolicies,
}

/// The guest has signed in meanwhile.
pub(super) const GUEST_JOINED: Error = Error::Ended { cause: RevokedCause::Superseded.as_str() };

/// A guest who has just come, in a browser.
#[derive(Debug)]
pub struct NewGuest {
    /// The session.
    pub session: Session,
    /// Its cookie.
    pub cookies: NewCookies,
}

impl SignIns {
    /// Opens a session for a guest.
    ///
    /// # Errors
    /// [`Reason::ClientNotAllowed`]; [`Error::TooManyAttempts`] before anything is written.
    pub async fn start_guest(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: GuestRequest,
    ) -> Result<TokenPair> {
        let client = self.callers.client_of(ctx, credentials, &request.client_id).await?;
        check_may_have_guests(&client)?;
        let snapshot = self.live.for_signing()?;
        let stated = EndUser::parse(&request.device.address, &request.device.user_agent)?;
        let audience = audience_of(&client, &request.audience)?.clone();
        let granted = Granted { audience, scopes: scopes_of(&client, &request.scopes)? };
        let person = Person::behind(ctx, &client, &stated);
        let now = self.live.now();
        let mut guest = self.guest(&client, &granted.scopes, now);
        guest.session.device_label = cleaned(&request.device.label, MAX_LABEL);
        let params = TokenParams { audience: &granted.audience, scopes: &granted.scopes, now };
        let basis = guest.session.clone().into();
        self.minter.check_size(&snapshot, &client, Subject::Session(&basis), params)?;
        let opened = self.open_guest(ctx, &client, guest, (&person, None)).await?;
        let OpenedSession { session, secret, .. } = opened.ok_or(Error::Conflict)?;
        let snapshot = self.live.for_signing()?;
        self.minter.pair(&snapshot, &client, &session.into(), &secret, params).await
    }

    /// Opens a session for a guest in a browser, which `browser` stands for. Where another request of that browser has just
    /// opened one, at whatever process, it is that one.
    ///
    /// # Errors
    /// As those of [`SignIns::start_guest`]; [`Error::Conflict`] if that one has ended meanwhile.
    pub async fn start_guest_at_site(
        &self,
        ctx: &RequestContext,
        client: &Client,
        browser: &FormProof,
    ) -> Result<NewGuest> {
        check_may_have_guests(client)?;
        self.live.for_signing()?;
        let Some(site) = &client.config.site else {
            let text = "the client has this site no longer".to_owned();
            return Err(Error::Denied(Reason::ClientNotAllowed, text));
        };
        let now = self.live.now();
        let mut guest = self.guest(client, &scopes_of(client, &[])?, now);
        let session = &mut guest.session;
        session.audiences = client.config.application_audiences(self.live.issuer()).cloned().collect::<Vec<Audience>>();
        session.kind = SessionKind::Browser;
        session.site = Some(site.origin().to_owned());
        session.idle_expires_at = browser_idle_expiry(now, session.idle_ttl);
        let cookies = NewCookies {
            session: session.id.clone(),
            cookie: session_cookie::mint(&self.sealing, &session.id, &guest.secret, true),
            expires_at: Some(session.absolute_expires_at),
            devices: None,
        };
        let kept = self.kept_for(browser, &cookies)?;
        match self.open_guest(ctx, client, guest, (&Person::at_browser(ctx), Some(kept))).await? {
            Some(OpenedSession { session, .. }) => Ok(NewGuest { session, cookies }),
            None => self.guest_of_browser(browser).await,
        }
    }

    /// The guest that a browser has just become.
    async fn guest_of_browser(&self, browser: &FormProof) -> Result<NewGuest> {
        let cookies = *self.cookies_of_form(browser).await?.ok_or(Error::Conflict)?;
        let session = self.store.read().await?.session_by_id(&cookies.session).await?.ok_or(Error::Conflict)?;
        Ok(NewGuest { session, cookies })
    }

    /// Signs a guest in with the password of an account, who gets what the guest has stored.
    ///
    /// # Errors
    /// As those of [`SignIns::sign_in`]; the documented refresh reasons for the guest's token. All of them leave the
    /// guest as it was.
    pub async fn upgrade_guest(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: UpgradeRequest,
    ) -> Result<SignedIn> {
        let UpgradeRequest { sign_in, guest_token, policies } = request;
        let client = self.callers.client_of(ctx, credentials, &sign_in.client_id).await?;
        let grace = self.live.snapshot().settings.refresh_grace;
        let mut tx = self.store.read().await?;
        let found = guest_of_token(&mut tx, &self.sealing, (&client, &guest_token), (ctx.now, grace)).await;
        drop(tx);
        // A client that has lost the grant keeps the guests it has, and this is none.
        if found.as_ref().is_err_and(|e| matches!(e.reason(), Reason::InvalidArgument | Reason::RefreshTokenInvalid)) {
            check_may_have_guests(&client)?;
        }
        check_policies(&policies)?;
        let guest = GuestJoin { session: found?.id, policies };
        Box::pin(self.sign_in_to(ctx, &client, sign_in, Some(guest))).await
    }

    /// Why a user cannot join a guest, if that is so: its session has ended, other than by becoming this very user.
    pub(super) async fn guest_end(&self, guest: &GuestJoin, user: &UserId) -> Result<Option<Error>> {
        const EXPIRED: Error = Error::Ended { cause: "expired" };
        let session = self.store.read().await?.session_by_id(&guest.session).await?;
        // Expired long ago, it is deleted.
        let Some(session) = session else { return Ok(Some(EXPIRED)) };
        let is_this_user = session.superseded_by.is_none() && session.subject == user.as_str();
        Ok(match session.revoked {
            Some((_, RevokedCause::Superseded)) if is_this_user => None,
            Some((_, cause)) => Some(Error::Ended { cause: cause.as_str() }),
            None => (self.live.now() >= session.expires_at()).then_some(EXPIRED),
        })
    }

    /// Statistics of guests so far.
    #[must_use]
    pub fn guest_figures(&self) -> GuestFigures {
        self.guests.figures()
    }

    /// The session of a guest. Its subject is the id of the account that the guest may open.
    fn guest(&self, client: &Client, scopes: &[Scope], now: Timestamp) -> OpenedSession {
        let id = UserId::new(now, &*self.entropy);
        let (subject, attributes) = (id.as_str().to_owned(), Map::new());
        let user = User {
            id,
            subject,
            attributes,
            language: None,
            security_version: 0,
            second_factors: 0,
            disabled_at: None,
            created_at: now,
        };
        let nobody = VerifiedUser::new(user, Vec::new(), Methods::default());
        let secret = SessionSecret::generate(&*self.entropy);
        let mut session = self.session_of(client, &nobody, &secret, now, scopes);
        session.user = None;
        // Nothing is said about a guest, not even what is said about every user.
        session.claims.clear();
        session.idle_ttl = session.idle_ttl.min(GUEST_IDLE.max(client.config.token_lifetime));
        session.idle_expires_at = now.plus(session.idle_ttl);
        OpenedSession { session, secret, conflicts: Vec::new() }
    }

    /// Opens the session of a guest. Nothing if the browser that it would be kept for is a guest's already.
    async fn open_guest(
        &self,
        ctx: &RequestContext,
        client: &Client,
        mut guest: OpenedSession,
        (person, browser): (&Person, Option<FormSpending>),
    ) -> Result<Option<OpenedSession>> {
        ctx.check_deadline()?;
        self.guests.admit(&client.id, person.address()).await?;
        person.known().address().clone_into(&mut guest.session.address);
        person.known().user_agent().clone_into(&mut guest.session.user_agent);
        guest.session.status = Some(self.lists.next_index(guest.session.created_at).await?);
        let opening = Opening { form: browser, ..Opening::of_guest(guest.session.clone()) };
        match self.writer.open(opening, ctx.deadline).await? {
            OpenOutcome::Opened => Ok(Some(guest)),
            OpenOutcome::FormSpent => Ok(None),
            // Nothing decides about a guest's session but the database.
            _ => Err(Error::Conflict),
        }
    }
}

/// Fails if a client has no new guests.
fn check_may_have_guests(client: &Client) -> Result<()> {
    if client.may(Grant::Guest) {
        return Ok(());
    }
    Err(Error::Denied(Reason::ClientNotAllowed, "the client lacks the grant guest".to_owned()))
}

fn check_policies(policies: &GuestPolicies) -> Result<()> {
    let mut wrong = Violations::default();
    wrong.require(policies.of.len() <= MAX_POLICIES, "policies", "must be at most 64");
    for namespace in policies.of.keys().take(MAX_POLICIES) {
        if let Err(problem) = namespace.parse::<Namespace>() {
            wrong.add("policies", format!("the name of a namespace {problem}"));
        }
    }
    wrong.into_result(())
}
