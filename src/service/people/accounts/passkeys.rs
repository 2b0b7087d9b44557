//! Passkeys that signed-in users add to their accounts. What was asked stands sealed in what the application holds; it
//! counts once, because the account is another version afterwards.

use serde::{Deserialize, Serialize};

use super::{Accounts, budget::Write, factors::NewFactor};
use crate::{
    domain::{
        passkey::{Credential, HANDLE, Passkey, UserHandle},
        text::cleaned,
    },
    error::{Error, Reason, Result},
    id::{FactorId, SessionId, UserId},
    keys::passkey_login::{self, Asked},
    passkeys::{Challenge, creation_options, register},
    secret::{PasskeyResponse, RecoveryCode, TicketToken},
    service::{
        access::{Me, RequestContext, TOKEN_REFUSED},
        people::{
            factors::{FactorChange, MAX_NAME},
            passkey_factors::relying_party,
            tickets::CODE_INVALID,
        },
    },
    time::{Timestamp, Ttl},
};

/// How long a user may take to make a passkey.
const ENROLMENT_TTL: Ttl = Ttl::from_secs(600);

/// A passkey that is being made.
#[derive(Debug)]
pub struct PasskeyEnrolment {
    /// What completes it.
    pub enrolment: TicketToken,
    /// What the browser or the device is asked.
    pub options_json: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What was asked.
#[derive(Serialize, Deserialize)]
struct EnrolmentState {
    challenge: Challenge,
    user: UserId,
    session: SessionId,
    version: i64,
    name: String,
    issued_at: i64,
}

impl Accounts {
    /// Begins to add a passkey. Nothing is stored but, the first time, what authenticators will call the user.
    ///
    /// # Errors
    /// [`Reason::SignInTooOld`]; [`Error::Precondition`] if the client has no site for
    /// which passkeys are made.
    pub async fn start_passkey(&self, ctx: &RequestContext, me: &Me, name: &str) -> Result<PasskeyEnrolment> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(&me.user).await?.ok_or(TOKEN_REFUSED)?;
        let logins = tx.logins_of(&me.user).await?;
        let known = tx.passkey_handle_of(&me.user).await?;
        let present = tx.passkeys_of(&me.user).await?;
        drop(tx);
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        let rp = relying_party(&*self.live.client(&me.client)?)?;
        let handle = match known {
            Some(handle) => handle,
            None => self.new_handle(me).await?,
        };
        let here: Vec<Credential> = present
            .into_iter()
            .filter(|one| one.host == rp.host())
            .map(|Passkey { credential, .. }| credential)
            .collect();
        let (challenge, now) = (Challenge::new(&*self.entropy), self.live.now());
        let state = EnrolmentState {
            challenge,
            user: me.user.clone(),
            session: me.session.clone(),
            version: user.security_version,
            name: cleaned(name, MAX_NAME),
            issued_at: now.millis(),
        };
        let plain = serde_json::to_vec(&state).map_err(|e| Error::Internal(Box::new(e)))?;
        let enrolment = passkey_login::seal(&self.sealing, Asked::Enrolment, &plain, &*self.entropy)
            .ok_or_else(|| Error::invalid("name", "is too long"))?;
        let login = logins.first().map_or(user.subject.as_str(), String::as_str);
        let options_json = creation_options(&rp, challenge, (&handle, login), &here);
        Ok(PasskeyEnrolment { enrolment, options_json, expires_at: now.plus(ENROLMENT_TTL) })
    }

    /// Adds the passkey that was made. Ends every other session. Returns the recovery codes as well, if it is the first
    /// factor. The same call gets the same answer for as long as the enrolment is valid.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`] if it is not what was asked for, or too late;
    /// [`Error::Precondition`] if it is registered already, or the user has too many factors.
    pub async fn finish_passkey(
        &self,
        ctx: &RequestContext,
        me: &Me,
        enrolment: &TicketToken,
        response: &PasskeyResponse,
    ) -> Result<NewFactor> {
        let state = self.enrolment_of(me, enrolment)?;
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(&me.user).await?.ok_or(TOKEN_REFUSED)?;
        let handle = tx.passkey_handle_of(&me.user).await?.ok_or(CODE_INVALID)?;
        drop(tx);
        let client = self.live.client(&me.client)?;
        let rp = relying_party(&client)?;
        let made = register(&rp, state.challenge, &handle, response.expose()).map_err(|fault| {
            tracing::debug!(subject = %me.subject, %fault, "a new passkey was refused");
            CODE_INVALID
        })?;
        let credential = made.stored.id.clone();
        // It was made for this enrolment, so whoever sends it again has missed the answer.
        if let Some(passkey) = self.own_passkey(me, &credential).await? {
            return self.passkey_added_before(passkey, enrolment).await;
        }
        me.check_may_change_factors(user.second_factors, ctx.now)?;
        let codes = self.factors.codes_of_enrolment(enrolment);
        let work = Box::pin(self.add_passkey(me, &state, (made.stored, rp.host().to_owned()), codes));
        match self.budget.spend(Write::Security(&me.session), ctx.now, work).await {
            Err(Error::Unauthenticated(Reason::CodeInvalid)) => match self.own_passkey(me, &credential).await? {
                Some(passkey) => self.passkey_added_before(passkey, enrolment).await,
                None => Err(CODE_INVALID),
            },
            added => added,
        }
    }

    async fn own_passkey(&self, me: &Me, credential: &[u8]) -> Result<Option<Passkey>> {
        let passkey = self.store.read().await?.passkey_by_credential(credential).await?;
        Ok(passkey.filter(|passkey| passkey.user == me.user))
    }

    fn enrolment_of(&self, me: &Me, token: &TicketToken) -> Result<EnrolmentState> {
        let state = passkey_login::open(&self.sealing, Asked::Enrolment, token).ok_or(CODE_INVALID)?;
        let state: EnrolmentState = serde_json::from_slice(&state).map_err(|_| CODE_INVALID)?;
        let age = self.live.now().since(Timestamp::from_millis(state.issued_at));
        let own = state.user == me.user && state.session == me.session;
        if own && age.millis() <= ENROLMENT_TTL.millis() { Ok(state) } else { Err(CODE_INVALID) }
    }

    async fn new_handle(&self, me: &Me) -> Result<UserHandle> {
        let mut new = [0; HANDLE];
        self.entropy.fill(&mut new);
        let mut tx = me.write(&self.store).await?;
        let handle = tx.passkey_handle(&me.user, &new).await?.ok_or(TOKEN_REFUSED)?;
        tx.commit().await?;
        Ok(handle)
    }

    async fn add_passkey(
        &self,
        me: &Me,
        state: &EnrolmentState,
        (credential, host): (Credential, String),
        codes: Vec<RecoveryCode>,
    ) -> Result<NewFactor> {
        let (client, now) = (self.live.client(&me.client)?, self.live.now());
        let (mut tx, user) = self.begin_factor_change(me, Some(state.version), CODE_INVALID).await?;
        let change = FactorChange {
            service: client.display_name(),
            user: &user,
            actor: &me.actor,
            keep: Some(&me.session),
            now,
        };
        let new = (FactorId::new(now, &*self.entropy), state.name.clone(), host);
        let (factor, with_codes) = self.factors.add_passkey(&mut tx, change, new, (credential, &codes)).await?;
        self.live.commit(tx).await?;
        Ok(NewFactor { factor, recovery_codes: if with_codes { codes } else { Vec::new() } })
    }
}
