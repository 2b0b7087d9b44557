//! The refresh token grant.

use super::{
    TokenPair, Tokens,
    mint::{TokenParams, audience_of},
};
use crate::{
    domain::{
        client::{Client, ClientId, Grant},
        scope::{MAX_SCOPES, NameError, Scope, without_repeats},
        session::{RotateOutcome, Rotation, TokenBasis},
    },
    error::{Error, Reason, Result},
    id::SessionId,
    keys::parse_refresh_token,
    secret::RefreshToken,
    service::access::{ClientCredentials, RequestContext},
};

/// A refresh request.
#[derive(Debug)]
pub struct RefreshInput {
    /// The client id from the request.
    pub client_id: String,
    /// The refresh token.
    pub refresh_token: RefreshToken,
    /// Requested audience; empty means the default.
    pub audience: String,
    /// Requested scopes; empty means all that were granted.
    pub scopes: Vec<String>,
    /// The caller's request id, or empty.
    pub request_id: String,
}

impl Tokens {
    /// Exchanges a refresh token. Usually this writes one row and reads nothing.
    ///
    /// # Errors
    /// The documented refresh reasons. Only reuse changes anything: it ends the session.
    pub async fn refresh(
        &self,
        ctx: &RequestContext,
        credentials: &ClientCredentials,
        input: RefreshInput,
    ) -> Result<TokenPair> {
        let client = self.callers.client_of(ctx, credentials, &input.client_id).await?;
        if !client.may(Grant::RefreshToken) {
            let text = "the client lacks the grant refresh_token";
            return Err(Error::Denied(Reason::ClientNotAllowed, text.to_owned()));
        }
        let request_id = request_id(&input.request_id)?;
        let scopes = requested_scopes(&client, &input.scopes)?;
        let audience = audience_of(&client, &input.audience)?.clone();
        if input.refresh_token.expose().is_empty() {
            return Err(Error::invalid("refresh_token", "must not be empty"));
        }
        // First of all: a process that is cut off may lack the version of the sealing key that the token was made with.
        let snapshot = self.live.for_signing()?;
        let parsed = parse_refresh_token(&self.sealing, &input.refresh_token)
            .ok_or(Error::Unauthenticated(Reason::RefreshTokenInvalid))?;
        // Check for a signing key before anything is written.
        if snapshot.ring.signing(client.config.algorithm).is_none() {
            return Err(Error::Unavailable(format!("no {} key signs yet", client.config.algorithm).into()));
        }
        let epoch = &snapshot.head.epoch;
        if let Some(refused) = self.ended.refusal(&parsed.session, &client.id, epoch) {
            return Err(refusal(refused, &parsed.session, &client.id));
        }
        ctx.check_deadline()?;
        let rotation = Rotation {
            session: parsed.session,
            generation: parsed.generation,
            secret: parsed.secret.hash(),
            client: client.id.clone(),
            audience: audience.clone(),
            scopes: scopes.clone(),
            request_id,
            arrived: ctx.now,
            tried_at: None,
        };
        let session_id = rotation.session.clone();
        let session = match self.writer.rotate(rotation, ctx.deadline).await? {
            RotateOutcome::Rotated(session)
            | RotateOutcome::Replayed(session)
            | RotateOutcome::FastForwarded(session) => session,
            refused => {
                self.ended.remember(&session_id, &client.id, epoch, &refused);
                return Err(refusal(refused, &session_id, &client.id));
            }
        };
        let params = TokenParams { audience: &audience, scopes: &scopes, now: ctx.now };
        let pair = self.minter.pair(&snapshot, &client, &session, &parsed.secret, params).await;
        if matches!(pair, Err(Error::TokenTooLarge { .. })) {
            // Boxed to keep the future small: this hardly ever happens.
            Box::pin(self.take_back(&session)).await;
        }
        pair
    }

    /// Makes the presented refresh token current again, because its successor was not given away. Otherwise using it
    /// again would count as reuse and end the session.
    async fn take_back(&self, session: &TokenBasis) {
        let undo = async {
            let mut tx = self.store.write().await?;
            tx.rotation_undo(&session.id, session.generation).await?;
            tx.commit().await
        };
        if let Err(error) = undo.await {
            tracing::warn!(session = %session.id, cause = ?error, "cannot take a rotation back");
        }
    }
}

/// Parses a request id: 1 to 64 characters of `[A-Za-z0-9-]`; empty means none.
fn request_id(text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let good = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good {
        return Ok(Some(text.to_owned()));
    }
    Err(Error::invalid("request_id", "must be 1 to 64 characters of [A-Za-z0-9-]"))
}

/// Parses the requested scopes. A scope that the client may no longer request is refused before anything is written.
/// The rotation checks whether the session was granted the others.
fn requested_scopes(client: &Client, texts: &[String]) -> Result<Vec<Scope>> {
    if texts.len() > MAX_SCOPES {
        return Err(Error::invalid("scopes", format!("must be at most {MAX_SCOPES}")));
    }
    let parsed: Result<Vec<Scope>, _> = texts.iter().map(|t| t.parse()).collect();
    let scopes = parsed.map_err(|e: NameError| Error::invalid("scopes", e.to_string()))?;
    if scopes.iter().all(|s| client.config.scopes.contains(s)) {
        return Ok(without_repeats(scopes));
    }
    Err(Error::invalid("scopes", "must contain only scopes that the client may ask for"))
}

fn refusal(outcome: RotateOutcome, session: &SessionId, client: &ClientId) -> Error {
    match outcome {
        RotateOutcome::Superseded => Error::Unauthenticated(Reason::RefreshTokenSuperseded),
        RotateOutcome::Reused { rotated_at } => {
            tracing::warn!(%session, %client, "refresh token reused; session ended");
            Error::Reused { session: session.as_str().to_owned(), rotated_at }
        }
        RotateOutcome::Expired => Error::Unauthenticated(Reason::SessionExpired),
        RotateOutcome::Revoked(cause) => {
            tracing::debug!(%session, cause = cause.as_str(), "refresh of an ended session");
            Error::Ended { cause: cause.as_str() }
        }
        RotateOutcome::AudienceNotGranted => Error::invalid("audience", "must be an audience granted to this session"),
        RotateOutcome::ScopeNotGranted => Error::invalid("scopes", "must contain only scopes granted to this session"),
        _ => Error::Unauthenticated(Reason::RefreshTokenInvalid),
    }
}
