//! Step-up: a session of one factor goes on as a new one of two. It stands for what its user has proved before, so it must
//! be live until the new one replaces it, in the same transaction.

use super::{
    BrowserGoal, Challenge, Device, Goal, Granted, SignInCall, SignInStep, SignIns, Typed,
    state::{Basis, SignInState},
    step_passkeys::factors_here,
};
use crate::{
    domain::{
        assurance::acr_needs_two_factors,
        client::Client,
        end_user::EndUser,
        factor::Methods,
        session::{Session, SessionKind},
        ticket::TicketKind,
        user::User,
    },
    error::{Error, Reason, Result, Violations},
    id::TicketId,
    keys::parse_refresh_token,
    secret::{DeviceToken, Password, RefreshToken, sha256},
    service::{
        access::{ClientCredentials, FRESH_SIGN_IN, RequestContext},
        people::{accounts::Write, new_passwords::check_may_handle_passwords, person::Person},
        tokens::audience_of,
    },
    time::Ttl,
};

/// How long a browser that comes again gets the same step. The step itself can be taken for longer.
const SAME_STEP: Ttl = Ttl::from_secs(300);

/// A request to raise a session to a higher level.
#[derive(Debug)]
pub struct StepUpRequest {
    /// The client id from the request.
    pub client_id: String,
    /// The newest refresh token of the session.
    pub refresh_token: RefreshToken,
    /// The level.
    pub acr: String,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// The end user's address as reported by the client; may be empty.
    pub address: String,
    /// The end user's user agent as reported by the client.
    pub user_agent: String,
}

/// A browser whose session is too weak for a page.
#[derive(Debug)]
pub(in crate::service) struct PageStepUp<'a> {
    /// Its session.
    pub(in crate::service) session: &'a Session,
    /// What it leads to.
    pub(in crate::service) goal: BrowserGoal,
    /// The hash of the browser's visitor, who alone may take the step.
    pub(in crate::service) holder: [u8; 32],
    /// The device tokens that the browser has sent.
    pub(in crate::service) devices: Vec<DeviceToken>,
}

impl SignIns {
    /// Begins to raise the session of a refresh token. The token stays as it is.
    ///
    /// # Errors
    /// As those of a refresh; [`Reason::SignInTooOld`] for a user who has no second factor and has not just signed in;
    /// [`Error::RateLimited`].
    pub async fn start_step_up(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: StepUpRequest,
    ) -> Result<Challenge> {
        let client = self.callers.client_of(ctx, credentials, &request.client_id).await?;
        check_may_handle_passwords(&client)?;
        let StepUpRequest { refresh_token, acr, audience, address, user_agent, .. } = request;
        let end_user = check_fields(&refresh_token, &acr, (&address, &user_agent))?;
        let audience = audience_of(&client, &audience)?.clone();
        self.live.for_signing()?;
        let session = self.session_of_token(&client, &refresh_token).await?;
        let scopes = session.scopes.iter().filter(|scope| client.config.scopes.contains(scope)).cloned().collect();
        let person = Person::behind(ctx, &client, &end_user);
        let device = Device { label: session.device_label.clone(), address, user_agent };
        let call = SignInCall {
            client: &client,
            person,
            device,
            goal: Goal::Tokens(Granted { audience, scopes }),
            guest: None,
        };
        let step = self.step_up(&call, &session, &[]).await?;
        let (user, state) = step.ok_or(Error::Unauthenticated(Reason::SignInTooOld))?;
        let work = self.challenge(&client, &user, state);
        self.budget.spend(Write::Security(&session.id), ctx.now, work).await
    }

    /// The live session of a refresh token that has not been exchanged.
    async fn session_of_token(&self, client: &Client, token: &RefreshToken) -> Result<Session> {
        const INVALID: Error = Error::Unauthenticated(Reason::RefreshTokenInvalid);
        let parsed = parse_refresh_token(&self.sealing, token).ok_or(INVALID)?;
        let session = self.store.read().await?.session_by_id(&parsed.session).await?;
        let own = |s: &Session| {
            s.kind == SessionKind::Token && s.client == client.id && s.secret.matches(&parsed.secret.hash())
        };
        let session = session.filter(own).ok_or(INVALID)?;
        if let Some((_, cause)) = session.revoked {
            return Err(Error::Ended { cause: cause.as_str() });
        }
        if self.live.now() >= session.expires_at() {
            return Err(Error::Unauthenticated(Reason::SessionExpired));
        }
        // A newer one is good: the database has lost the refresh that issued it.
        if parsed.generation < session.generation {
            return Err(Error::Unauthenticated(Reason::RefreshTokenSuperseded));
        }
        Ok(session)
    }

    /// Begins to raise the session of a browser; nothing if its user has to sign in with the password once more. The same
    /// browser on the same way gets the same step for some minutes, so that it can reload the page.
    ///
    /// # Errors
    /// [`Error::RateLimited`], or the database is unreachable.
    pub(in crate::service) async fn step_up_at_page(
        &self,
        ctx: &RequestContext,
        client: &Client,
        request: PageStepUp<'_>,
    ) -> Result<Option<TicketId>> {
        let PageStepUp { session, goal, holder, devices } = request;
        let flow = goal.flow.clone();
        let call = SignInCall {
            client,
            person: Person::at_browser(ctx),
            device: Device::default(),
            goal: Goal::Browser(goal),
            guest: None,
        };
        let Some((user, state)) = self.step_up(&call, session, &devices).await? else { return Ok(None) };
        let slot = self.live.now().millis() / SAME_STEP.millis();
        let id = page_step_id(&[
            session.id.as_str().as_bytes(),
            &holder,
            flow.as_bytes(),
            &user.security_version.to_be_bytes(),
            &slot.to_be_bytes(),
        ]);
        if self.store.read().await?.ticket_of_holder(&id, &holder).await?.is_some() {
            return Ok(Some(id));
        }
        let of = Some((&user.id, user.security_version));
        let mut issued = self.tickets.issue_as(id.clone(), (TicketKind::SignIn, &client.id), of, &state)?;
        issued.ticket.holder = Some(holder);
        let work = async {
            let mut tx = self.store.write().await?;
            if tx.ticket_insert_once(&issued.ticket).await? {
                tx.commit().await?;
            }
            Ok(())
        };
        self.budget.spend(Write::Security(&session.id), ctx.now, work).await?;
        Ok(Some(id))
    }

    /// The step that raises a session: to show a second factor or, for whoever has none and has just signed in, to set one
    /// up. An old sign-in is not enough for that: the thief of a session would set up a factor of their own.
    async fn step_up(
        &self,
        call: &SignInCall<'_>,
        session: &Session,
        devices: &[DeviceToken],
    ) -> Result<Option<(User, SignInState)>> {
        let Some(id) = &session.user else {
            return Err(Error::Precondition("a guest has no second factor; sign in first".to_owned()));
        };
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(id).await?.filter(|user| user.disabled_at.is_none());
        let user = user.ok_or(Error::TokenRevoked)?;
        let logins = tx.logins_of(id).await?;
        let has_factor = user.second_factors > 0;
        let (factors, passkeys) = factors_here(&mut tx, call.client, &user, &*self.entropy).await?;
        drop(tx);
        if !has_factor && self.live.now() > session.auth_time.plus(FRESH_SIGN_IN) {
            return Ok(None);
        }
        let step = if has_factor { SignInStep::Mfa } else { SignInStep::Enrol };
        let totp = (!has_factor).then(|| self.factors.new_totp("", &logins));
        let login = logins.first().map(String::as_str).unwrap_or_default();
        let typed = Typed { login, password: &Password::new(String::new()), devices };
        let mut state = SignInState::new(vec![step], call, &typed, Methods::of_amr(&session.amr));
        state.basis = Some(Basis::of(session));
        Ok(Some((user, SignInState { factors, totp, passkeys, ..state })))
    }
}

/// The id of a step that the same browser comes to again.
fn page_step_id(parts: &[&[u8]]) -> TicketId {
    let hashed: Vec<u8> = parts.iter().flat_map(|part| sha256(part)).collect();
    TicketId::of_hash(&sha256(&[&b"step up"[..], &hashed].concat()))
}

fn check_fields(token: &RefreshToken, acr: &str, (address, user_agent): (&str, &str)) -> Result<EndUser> {
    let mut wrong = Violations::default();
    let end_user = wrong.absorb(EndUser::parse(address, user_agent))?;
    wrong.require(!token.expose().is_empty(), "refresh_token", "must not be empty");
    wrong.require(acr_needs_two_factors(acr), "acr", "must be 2, the only level above that of a password");
    wrong.into_result(end_user)
}
