//! Sign-in with a password.

mod guess;
mod steps;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

pub use self::steps::{Challenge, NextStep, SignInStep};
use self::{guess::Guess, steps::SignInState};
use super::{
    emails::Emails,
    limits::Limits,
    new_passwords::{
        NewPasswords, check_may_handle_passwords, end_user_address, hash_error, known_end_user, wait_min_response_time,
        warn_if_unusable,
    },
    tickets::Tickets,
    users::mapped_claims,
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        client::Client,
        end_user::EndUser,
        scope::{Audience, Scope},
        session::Session,
        text::cleaned,
        user::User,
    },
    entropy::Entropy,
    error::{Error, Reason, Result, Violations},
    id::{AuditEventId, RoleId, SessionId},
    keys::SealingKey,
    passwords::{PasswordVerdict, Passwords, Phc},
    secret::{DeviceToken, Password, SessionSecret},
    service::{
        access::{Callers, ClientCredentials, RequestContext},
        runtime::{Live, Opening, SessionWriter, TRIES},
        tokens::{Minter, StatusLists, Subject, TokenPair, TokenParams, audience_of, scopes_of},
    },
    store::Store,
    time::Timestamp,
};

/// Maximum length of a password, in bytes.
const MAX_PASSWORD: usize = 1024;
/// Maximum length of a device's name, in bytes: 128 characters of any script.
const MAX_LABEL: usize = 512;

/// A sign-in request.
#[derive(Debug)]
pub struct SignInRequest {
    /// The client id from the request.
    pub client_id: String,
    /// User name or email address.
    pub login: String,
    /// The password.
    pub password: Password,
    /// Requested scopes; empty means all.
    pub scopes: Vec<String>,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// The device token from an earlier sign-in.
    pub device_token: DeviceToken,
    /// The device.
    pub device: Device,
}

/// The device that the user signs in on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    /// Its name, for the list of sessions.
    pub label: String,
    /// The end user's address as reported by the client; may be empty.
    pub address: String,
    /// The end user's user agent as reported by the client.
    pub user_agent: String,
}

/// The audience and scopes granted to a sign-in.
struct Granted {
    audience: Audience,
    scopes: Vec<Scope>,
}

/// A user whose password was correct.
struct VerifiedUser {
    user: User,
    roles: Vec<RoleId>,
    /// A new hash that replaces one with outdated parameters.
    rehash: Option<Phc>,
    /// Whether the user must choose a new password.
    must_change: bool,
}

/// The result of a sign-in request.
#[derive(Debug)]
pub enum SignedIn {
    /// The user is signed in.
    Tokens(TokenPair),
    /// The user must complete a step first.
    Challenge(Challenge),
}

/// Signs users in. Cheap to clone.
#[derive(Clone)]
pub struct SignIns {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) sealing: Arc<SealingKey>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) limits: Limits,
    pub(super) writer: SessionWriter,
    pub(super) callers: Callers,
    pub(super) minter: Minter,
    pub(super) lists: StatusLists,
    pub(super) tickets: Tickets,
    pub(super) emails: Emails,
    pub(super) new_passwords: NewPasswords,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIns")
    }
}

impl SignIns {
    /// Checks the password and opens a session.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`] whatever is wrong with the user or the password; [`Reason::TooManyAttempts`]
    /// before the password is checked.
    pub async fn sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        mut request: SignInRequest,
    ) -> Result<SignedIn> {
        // A device's name is as its maker or owner chose it: no reason to keep its user out.
        request.device.label = cleaned(&request.device.label, MAX_LABEL);
        let client = self.callers.client_of(ctx, credentials, &request.client_id).await?;
        check_may_handle_passwords(&client)?;
        let end_user = check_fields(&request)?;
        let audience = audience_of(&client, &request.audience)?.clone();
        let granted = Granted { audience, scopes: scopes_of(&client, &request.scopes)? };
        self.live.for_signing()?;
        let arrived = Instant::now();
        // Boxed, because it is part of the future of every call.
        let result = Box::pin(self.sign_in_checked(ctx, &client, (&request, &end_user), &granted)).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            wait_min_response_time(arrived).await;
        }
        result
    }

    /// Verifies the password and opens the session; retries if the user changed in between.
    async fn sign_in_checked(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (request, end_user): (&SignInRequest, &EndUser),
        granted: &Granted,
    ) -> Result<SignedIn> {
        for _ in 0..TRIES {
            let mut guess = self.start_guess(ctx, client, (request, end_user))?;
            let Some(verified) = self.check_password(&mut guess, request).await? else {
                guess.failed().await?;
                return Err(Error::Unauthenticated(Reason::InvalidCredentials));
            };
            ctx.check_deadline()?;
            if verified.must_change || client.config.require_email {
                // Boxed to keep the future small: few sign-ins have further steps.
                let steps = Box::pin(self.steps(client, &verified)).await?;
                if !steps.is_empty() {
                    guess.take_back().await;
                    let state = SignInState::new(steps, granted, &request.device);
                    let challenge = Box::pin(self.challenge(client, &verified.user, state)).await;
                    return challenge.map(SignedIn::Challenge);
                }
            }
            let user = verified.user.id.clone();
            match self.open_session(ctx, client, verified, (&request.device.label, end_user), granted).await {
                Err(Error::Conflict) => guess.take_back().await,
                Err(other) => {
                    guess.take_back().await;
                    return Err(other);
                }
                Ok(pair) => {
                    let device = guess.succeeded(self, &user, self.live.now()).await;
                    return Ok(SignedIn::Tokens(TokenPair { device: Some(device), ..pair }));
                }
            }
        }
        Err(Error::Conflict)
    }

    /// Returns the user if the password is correct and the user may sign in. Every check costs one hash. A refusal
    /// costs nothing: a queue slot is acquired before the database is queried, when others at the account are done.
    async fn check_password(&self, guess: &mut Guess, request: &SignInRequest) -> Result<Option<VerifiedUser>> {
        guess.counts_if_abandoned(true);
        // Boxed to keep the future small.
        let checked = Box::pin(self.check_password_in_turn(guess, request)).await;
        // A deadline that passes is another way to stop waiting. Any other answer counts by itself.
        if !matches!(checked, Err(Error::DeadlineExceeded)) {
            guess.counts_if_abandoned(false);
        }
        checked
    }

    async fn check_password_in_turn(&self, guess: &mut Guess, request: &SignInRequest) -> Result<Option<VerifiedUser>> {
        guess.wait_for_turn(self).await?;
        let slot = self.passwords.admit(&guess.applicant).map_err(hash_error)?;
        guess.count(self).await?;
        let mut tx = self.store.read().await?;
        let found = match &guess.canonical {
            Some(canonical) => tx.user_by_login(canonical).await?,
            None => None,
        };
        drop(tx);
        if let Some(found) = &found {
            guess.bind_to_user(self, &found.user.id, &found.user.subject).await?;
        }
        let (user, stored) = found.map_or((None, None), |f| (Some((f.user, f.roles, f.must_change)), f.password));
        let password = Password::new(request.password.expose().to_owned());
        self.passwords.expect(self.live.snapshot().settings.costliest_import);
        let verdict = slot.verify(password, stored).await.map_err(hash_error)?;
        let subject = user.as_ref().map_or("", |(user, ..)| user.subject.as_str());
        warn_if_unusable(&verdict, subject);
        Ok(match (verdict, user) {
            (PasswordVerdict::Right { rehash }, Some((user, roles, must_change))) if user.disabled_at.is_none() => {
                Some(VerifiedUser { user, roles, rehash, must_change })
            }
            _ => None,
        })
    }

    /// Inserts the session, provided the user has not changed since the password was checked.
    async fn open_session(
        &self,
        ctx: &RequestContext,
        client: &Client,
        verified: VerifiedUser,
        (label, stated): (&str, &EndUser),
        granted: &Granted,
    ) -> Result<TokenPair> {
        // Since it was authenticated, a password was checked and steps were taken.
        let client = &*self.callers.current_client(client)?;
        audience_of(client, granted.audience.as_str())?;
        let max_sessions = self.live.snapshot().settings.sessions_per_user.max(1);
        let secret = SessionSecret::generate(&*self.entropy);
        let now = self.live.now();
        let VerifiedUser { user, roles, rehash, .. } = verified;
        let mut session = self.new_session(client, &user, &secret, &granted.scopes, now);
        let end_user = known_end_user(ctx, client, stated);
        label.clone_into(&mut session.device_label);
        end_user.address().clone_into(&mut session.address);
        end_user.user_agent().clone_into(&mut session.user_agent);
        session.roles = roles;
        session.status = Some(self.lists.next_index(now).await?);
        let event = self.signed_in_event(&session, end_user_address(ctx, client, stated).to_owned(), now);
        let opening =
            Opening { session: session.clone(), security_version: user.security_version, rehash, max_sessions, event };
        let params = TokenParams { audience: &granted.audience, scopes: &granted.scopes, now };
        self.check_first_token(client, &session, params)?;
        if !self.writer.open(opening, ctx.deadline).await? {
            return Err(Error::Conflict);
        }
        let snapshot = self.live.for_signing()?;
        self.minter.pair(&snapshot, client, &session.into(), &secret, params).await
    }

    /// Fails if the first token would be too large: a session that cannot have a token is not opened.
    fn check_first_token(&self, client: &Client, session: &Session, params: TokenParams<'_>) -> Result<()> {
        let basis = session.clone().into();
        self.minter.check_size(&self.live.snapshot(), client, Subject::Session(&basis), params)
    }

    fn signed_in_event(&self, session: &Session, address: String, now: Timestamp) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::new(now, &*self.entropy),
            at: now,
            kind: AuditKind::SignedIn,
            actor: Actor {
                client: Some(session.client.as_str().to_owned()),
                address,
                ..Actor::named(&session.subject)
            },
            subject: session.subject.clone(),
            session: Some(session.id.clone()),
            details: json!({ "amr": session.amr }),
        }
    }

    fn new_session(
        &self,
        client: &Client,
        user: &User,
        secret: &SessionSecret,
        scopes: &[Scope],
        now: Timestamp,
    ) -> Session {
        let config = &client.config;
        let absolute_expires_at = now.plus(config.session_absolute);
        Session {
            id: SessionId::new(now, &*self.entropy),
            user: user.id.clone(),
            subject: user.subject.clone(),
            client: client.id.clone(),
            generation: 0,
            secret: secret.hash(),
            rotated_at: now,
            previous_rotated_at: now,
            rotation_request_id: None,
            auth_time: now,
            amr: vec!["pwd".to_owned()],
            acr: "1".to_owned(),
            scopes: scopes.to_vec(),
            audiences: config.audiences.clone(),
            claims: mapped_claims(client, user),
            roles: Vec::new(),
            created_at: now,
            idle_ttl: config.session_idle.max(config.token_lifetime),
            idle_expires_at: now.plus(config.session_idle.max(config.token_lifetime)),
            absolute_expires_at,
            revoked: None,
            device_label: String::new(),
            user_agent: String::new(),
            address: String::new(),
            status: None,
        }
    }
}

fn check_fields(request: &SignInRequest) -> Result<EndUser> {
    let device = &request.device;
    let mut violations = Violations::default();
    let end_user = violations.absorb(EndUser::parse(&device.address, &device.user_agent))?;
    let mut check = |field: &'static str, bad: bool, description: &str| violations.require(!bad, field, description);
    check("login", request.login.is_empty(), "must not be empty");
    check("login", request.login.len() > 1024, "must be at most 1024 bytes");
    check("password", request.password.expose().is_empty(), "must not be empty");
    check("password", request.password.expose().len() > MAX_PASSWORD, "must be at most 1024 bytes");
    violations.into_result(end_user)
}
