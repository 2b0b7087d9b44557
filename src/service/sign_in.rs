//! Signing a user in with a password.

mod guess;
mod steps;

use std::time::Duration;

use serde_json::{Map, Value, json};

use self::guess::Guess;
pub use self::steps::{Challenge, NextStep, Step};
use super::{
    ClientCredentials, RequestContext, Service, TRIES, TokenPair,
    accounts::may_handle_passwords,
    mint::{Asked, audience_of, scopes_of},
    session_writer::Opening,
};
use crate::{
    domain::{
        audit::{Actor, AuditEvent, AuditKind},
        client::{ClaimSource, Client},
        scope::{Audience, Scope},
        session::Session,
        user::User,
    },
    error::{Error, Reason, Result, Violation},
    id::{AuditEventId, RoleId, SessionId},
    passwords::{HashError, Phc, Verdict},
    secret::{DeviceToken, Password, SessionSecret},
    time::Timestamp,
};

/// A failed sign-in is answered no earlier than this after it arrived, so that its cause cannot be
/// told by the time it took.
pub(super) const FLOOR: Duration = Duration::from_millis(100);
/// Most bytes of a password.
const MAX_PASSWORD: usize = 1024;
/// Most characters of a device's name.
const MAX_LABEL: usize = 128;
/// Most bytes of a user agent.
const MAX_USER_AGENT: usize = 512;

/// What a sign-in says.
#[derive(Debug)]
pub struct SignInRequest {
    /// The client, as it names itself.
    pub client_id: String,
    /// User name or email address.
    pub login: String,
    /// The password.
    pub password: Password,
    /// Scopes; empty for all.
    pub scopes: Vec<String>,
    /// Audience; empty for the default.
    pub audience: String,
    /// The device's name.
    pub device_label: String,
    /// What an earlier sign-in gave to the device.
    pub device_token: DeviceToken,
    /// The person's address, as the client tells it.
    pub address: String,
    /// The person's user agent, as the client tells it.
    pub user_agent: String,
}

/// What a sign-in was granted.
struct Granted {
    audience: Audience,
    scopes: Vec<Scope>,
}

/// A user whose password was right.
struct Proved {
    user: User,
    roles: Vec<RoleId>,
    /// A new hash to put in place of one with older parameters.
    rehash: Option<Phc>,
    /// Whether the password counts only until another is chosen.
    must_change: bool,
}

/// How far a sign-in has come.
#[derive(Debug)]
pub enum SignedIn {
    /// The user is signed in.
    Tokens(TokenPair),
    /// There is a step to take first.
    Challenge(Challenge),
}

impl Service {
    /// Checks the password and opens a session.
    ///
    /// # Errors
    /// [`Reason::InvalidCredentials`] whatever is wrong with user or password; [`Reason::TooManyAttempts`]
    /// before anybody has looked.
    pub async fn sign_in(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        request: SignInRequest,
    ) -> Result<SignedIn> {
        let client = self.client_of(ctx, credentials, &request.client_id).await?;
        may_handle_passwords(&client)?;
        check_fields(&request)?;
        let audience = audience_of(&client, &request.audience)?.clone();
        let granted = Granted { audience, scopes: scopes_of(&client, &request.scopes)? };
        self.live.for_signing()?;
        let arrived = tokio::time::Instant::now();
        let result = self.sign_in_checked(ctx, &client, &request, &granted).await;
        if matches!(result, Err(Error::Unauthenticated(_))) {
            tokio::time::sleep_until(arrived + FLOOR).await;
        }
        result
    }

    /// Reads, verifies, inserts; once more if the user changed in between.
    async fn sign_in_checked(
        &self,
        ctx: &RequestContext,
        client: &Client,
        request: &SignInRequest,
        granted: &Granted,
    ) -> Result<SignedIn> {
        for _ in 0..TRIES {
            let mut guess = self.guess(ctx, client, request)?;
            let Some(proved) = self.check_password(&mut guess, request).await? else {
                guess.failed().await?;
                return Err(Error::Unauthenticated(Reason::InvalidCredentials));
            };
            Self::in_time(ctx)?;
            if proved.must_change || client.config.require_email {
                // Apart: few sign-ins have further steps, and all would carry their state.
                let steps = Box::pin(self.steps(client, &proved)).await?;
                if !steps.is_empty() {
                    let challenge = Box::pin(self.challenge(client, (&proved, steps), request, granted)).await;
                    return challenge.map(SignedIn::Challenge);
                }
            }
            let user = proved.user.id.clone();
            match self.open_session(ctx, client, proved, request, granted).await {
                Err(Error::Conflict) => {}
                Err(other) => return Err(other),
                Ok(pair) => {
                    let device = guess.succeeded(self, &user, self.now()).await;
                    return Ok(SignedIn::Tokens(TokenPair { device: Some(device), ..pair }));
                }
            }
        }
        Err(Error::Conflict)
    }

    /// The user, if the password is right and the user may sign in. Every outcome costs one hash, but for
    /// a refusal, which costs nothing: there must be a place for it before the database is asked.
    async fn check_password(&self, guess: &mut Guess, request: &SignInRequest) -> Result<Option<Proved>> {
        let slot = self.passwords.admit(&guess.applicant).map_err(hash_failure)?;
        let mut tx = self.store.read().await?;
        guess.check(&mut tx).await?;
        let found = match &guess.canonical {
            Some(canonical) => tx.user_by_login(canonical).await?,
            None => None,
        };
        drop(tx);
        if let Some(found) = &found {
            guess.is_at(self, &found.user.id, &found.user.subject)?;
        }
        let (user, stored) = found.map_or((None, None), |f| (Some((f.user, f.roles, f.must_change)), f.password));
        let password = Password::new(request.password.expose().to_owned());
        let verdict = slot.verify(password, stored).await.map_err(hash_failure)?;
        Ok(match (verdict, user) {
            (Verdict::Right { rehash }, Some((user, roles, must_change))) if user.disabled_at.is_none() => {
                Some(Proved { user, roles, rehash, must_change })
            }
            _ => None,
        })
    }

    /// Inserts the session, provided the user is still what the password was checked against.
    async fn open_session(
        &self,
        ctx: &RequestContext,
        client: &Client,
        proved: Proved,
        request: &SignInRequest,
        granted: &Granted,
    ) -> Result<TokenPair> {
        let most = self.live.snapshot().settings.sessions_per_user.max(1);
        let secret = SessionSecret::generate(&*self.entropy);
        let now = self.now();
        let Proved { user, roles, rehash, .. } = proved;
        let mut session = self.new_session(client, &user, &secret, request, &granted.scopes, now);
        session.roles = roles;
        session.status = Some(self.next_status(now).await?);
        let address = if session.address.is_empty() { &ctx.peer } else { &session.address };
        let event = self.signed_in(&session, address.clone(), now);
        let opening =
            Opening { session: session.clone(), security_version: user.security_version, rehash, most, event };
        if !self.writer.open(opening, ctx.deadline).await? {
            return Err(Error::Conflict);
        }
        let snapshot = self.live.for_signing()?;
        let asked = Asked { audience: &granted.audience, scopes: &granted.scopes, now };
        self.pair(&snapshot, client, &session.into(), &secret, asked).await
    }

    fn signed_in(&self, session: &Session, address: String, now: Timestamp) -> AuditEvent {
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
        request: &SignInRequest,
        scopes: &[Scope],
        now: Timestamp,
    ) -> Session {
        let config = &client.config;
        let absolute_expires_at = now.plus(config.session_absolute);
        let (address, user_agent) = if client.tells_end_user() {
            (request.address.clone(), request.user_agent.clone())
        } else {
            (String::new(), String::new())
        };
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
            device_label: request.device_label.clone(),
            user_agent,
            address,
            status: None,
        }
    }
}

/// What the client's claim map selects from the user. A path that leads nowhere gives no claim.
pub(super) fn mapped_claims(client: &Client, user: &User) -> Map<String, Value> {
    let select = |source: &ClaimSource| match source {
        ClaimSource::Literal(text) => Some(json!(text)),
        ClaimSource::Attribute(path) => {
            let mut parts = path.split('.');
            let first = user.attributes.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part)).cloned()
        }
    };
    client.config.claim_map.iter().filter_map(|(name, source)| Some((name.clone(), select(source)?))).collect()
}

fn check_fields(request: &SignInRequest) -> Result<()> {
    let mut violations = Vec::new();
    let mut check = |field: &'static str, bad: bool, description: &str| {
        if bad {
            violations.push(Violation { field: field.into(), description: description.to_owned() });
        }
    };
    check("login", request.login.is_empty(), "must not be empty");
    check("login", request.login.len() > 1024, "must be at most 1024 bytes");
    check("password", request.password.expose().is_empty(), "must not be empty");
    check("password", request.password.expose().len() > MAX_PASSWORD, "must be at most 1024 bytes");
    check("device_label", request.device_label.chars().count() > MAX_LABEL, "must be at most 128 characters");
    check("device_label", request.device_label.chars().any(char::is_control), "must hold no control characters");
    check("end_user.user_agent", request.user_agent.len() > MAX_USER_AGENT, "must be at most 512 bytes");
    check("end_user.user_agent", request.user_agent.chars().any(char::is_control), "must hold no control characters");
    let bad_address = !request.address.is_empty() && request.address.parse::<std::net::IpAddr>().is_err();
    check("end_user.address", bad_address, "must be an IP address");
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
}

/// What a hash that was not made means for the caller.
pub(super) fn hash_failure(error: HashError) -> Error {
    match error {
        HashError::Busy { after } => Error::Throttled { after },
        HashError::Gone => Error::DeadlineExceeded,
        other => Error::Internal(Box::new(other)),
    }
}
