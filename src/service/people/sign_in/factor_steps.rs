//! The steps that take a second factor: to show one, and to set one up.

use super::{
    SignIns,
    guess::{FactorGuess, FactorGuesser},
    page_step::StepTyped,
    passkey_steps::MadePasskey,
    state::{NextStep, PendingSignIn, actor},
};
use crate::{
    domain::{
        client::Client,
        factor::{FactorKind, Method},
        passkey::PasskeyUse,
        recovery::{self, NO_RECOVERY_CODE},
        totp::TotpCode,
    },
    error::{Error, Result},
    id::{FactorId, SessionId},
    passkeys::{Purpose, Signed},
    secret::{PasskeyResponse, RecoveryCode, RecoveryCodeHash, TypedCode},
    service::{
        access::RequestContext,
        people::{
            factors::{FactorChange, read_code},
            ticket_turn::TicketTurn,
            tickets::CODE_INVALID,
        },
    },
};

/// A second factor, as it is shown.
#[derive(Debug)]
pub(super) enum ShownFactor {
    /// The code of an app.
    Totp(TypedCode),
    /// A recovery code.
    RecoveryCode(TypedCode),
    /// What a passkey has signed.
    Passkey(PasskeyResponse),
}

impl ShownFactor {
    /// What it is.
    pub(super) const fn kind(&self) -> FactorKind {
        match self {
            Self::Totp(_) => FactorKind::Totp,
            Self::RecoveryCode(_) => FactorKind::RecoveryCode,
            Self::Passkey(_) => FactorKind::Passkey,
        }
    }

    /// The one that was typed at a page, if that is what was typed.
    pub(super) fn typed(typed: StepTyped) -> Option<Self> {
        match typed {
            StepTyped::Code(code) => Some(Self::Totp(code)),
            StepTyped::RecoveryCode(code) => Some(Self::RecoveryCode(code)),
            StepTyped::Passkey(response) => Some(Self::Passkey(response)),
            _ => None,
        }
    }

    /// The one that a client has sent.
    pub(super) fn of(next: NextStep) -> Result<Self> {
        let NextStep { code, recovery_code, passkey_response, .. } = next;
        let sent = [code.expose(), recovery_code.expose(), passkey_response.expose()];
        match sent.map(str::is_empty) {
            [false, true, true] => Ok(Self::Totp(code)),
            [true, false, true] => Ok(Self::RecoveryCode(recovery_code)),
            [true, true, false] => Ok(Self::Passkey(passkey_response)),
            [true, true, true] => Err(Error::invalid("code", "must not be empty")),
            _ => Err(Error::invalid("code", "must be empty with another factor")),
        }
    }
}

/// A factor that was right, or that only its spending can tell. It counts once it is spent.
pub(super) struct MatchedFactor {
    /// What it has proved.
    pub(super) method: Method,
    what: Matched,
    guess: FactorGuess,
}

/// What is spent.
enum Matched {
    /// The apps that show the code, each with the step in which it does.
    Apps(Vec<(FactorId, i64)>),
    /// A recovery code.
    RecoveryCode(RecoveryCodeHash),
    /// A passkey.
    Passkey(PasskeyUse),
}

/// A factor as it was read.
enum ReadFactor {
    Code(TotpCode),
    RecoveryCode(RecoveryCodeHash),
    Passkey(Box<Signed>),
}

/// A factor that is right and is to be set up, and the recovery codes that its user is given with it.
pub(super) struct Enrolling {
    what: Made,
    pub(super) codes: Vec<RecoveryCode>,
}

/// What is set up.
enum Made {
    /// The app, whose code of this step was right.
    App(i64),
    /// A passkey.
    Passkey(Box<MadePasskey>),
}

impl Enrolling {
    /// What it has proved.
    pub(super) fn method(&self) -> Method {
        match &self.what {
            Made::App(_) => Method::Totp,
            Made::Passkey(made) => made.method,
        }
    }
}

impl SignIns {
    /// Checks a second factor. Nothing is spent yet, but a wrong one is counted, like a wrong password.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if it is wrong, or not one that was asked for;
    /// [`Error::TooManyAttempts`] before it is looked at.
    pub(super) async fn match_factor(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        shown: &ShownFactor,
    ) -> Result<MatchedFactor> {
        let PendingSignIn { ticket, state, .. } = pending;
        if ticket.attempts_left <= 0 || !state.factors.contains(&shown.kind()) {
            return Err(CODE_INVALID);
        }
        let read = read(shown, pending)?;
        let guess = self.guess_of(ctx, client, pending).await?;
        if !self.use_attempt(pending).await? {
            guess.take_back().await;
            return Err(CODE_INVALID);
        }
        let (method, what) = match read {
            ReadFactor::Code(code) => (Method::Totp, Matched::Apps(self.apps_with(pending, &code).await?)),
            ReadFactor::RecoveryCode(hash) => (Method::RecoveryCode, Matched::RecoveryCode(hash)),
            ReadFactor::Passkey(signed) => match self.match_passkey(client, pending, &signed).await? {
                Ok((method, used)) => (method, Matched::Passkey(used)),
                Err(wrong) => {
                    let address = pending.state.person(ctx, client).address().to_owned();
                    guess.failed().await?;
                    self.note_refused_passkey(client, &address, &wrong).await?;
                    return Err(CODE_INVALID);
                }
            },
        };
        if matches!(&what, Matched::Apps(apps) if apps.is_empty()) {
            guess.failed().await?;
            return Err(CODE_INVALID);
        }
        Ok(MatchedFactor { method, what, guess })
    }

    /// Counts the guess before it is looked at.
    async fn guess_of(&self, ctx: &RequestContext, client: &Client, pending: &PendingSignIn) -> Result<FactorGuess> {
        let PendingSignIn { user, state, .. } = pending;
        let mut tx = self.store.read().await?;
        let logins = tx.logins_of(user).await?;
        let subject = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?.subject;
        drop(tx);
        let person = state.person(ctx, client);
        let (address, sent) = (person.address(), state.devices());
        let guesser = FactorGuesser { client, address, user, subject: &subject, logins: &logins, sent: &sent };
        Box::pin(self.count_factor(&guesser)).await
    }

    /// Uses up one attempt at the challenge. Returns whether there was one.
    async fn use_attempt(&self, pending: &PendingSignIn) -> Result<bool> {
        let mut tx = self.store.write().await?;
        let left = tx.ticket_attempt(&pending.ticket.id, self.live.now()).await?;
        tx.commit().await?;
        Ok(left.is_some())
    }

    /// The user's apps that show this code.
    async fn apps_with(&self, pending: &PendingSignIn, code: &TotpCode) -> Result<Vec<(FactorId, i64)>> {
        let apps = self.store.read().await?.totp_of(&pending.user).await?;
        self.factors.matching(&apps, code, self.live.now())
    }

    /// Spends a factor that was right and takes the ticket of this step, or does neither.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if the factor or the ticket was spent before, or the
    /// user has changed; as [`PendingSignIn::hold_sessions`].
    pub(super) async fn spend_factor(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        matched: MatchedFactor,
        turn: TicketTurn<'_>,
    ) -> Result<()> {
        let MatchedFactor { what, guess, .. } = matched;
        match self.spend(ctx, client, pending, (&what, turn)).await {
            Ok(true) => {
                guess.succeeded().await;
                Ok(())
            }
            Ok(false) => {
                guess.failed().await?;
                Err(CODE_INVALID)
            }
            Err(error) => {
                guess.take_back().await;
                Err(error)
            }
        }
    }

    /// Returns whether the factor counted. If not, nothing was written.
    async fn spend(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        (what, turn): (&Matched, TicketTurn<'_>),
    ) -> Result<bool> {
        let PendingSignIn { ticket, user, state } = pending;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !tx.user_hold(user, ticket.security_version).await? {
            return Err(CODE_INVALID);
        }
        pending.hold_sessions(&mut tx, now).await?;
        let counts = match what {
            Matched::Apps(apps) => {
                let mut counts = false;
                for (app, step) in apps {
                    counts = counts || tx.totp_use(app, *step, now).await?;
                }
                counts
            }
            Matched::RecoveryCode(hash) => {
                let user = tx.user_by_id(user).await?.ok_or(CODE_INVALID)?;
                let actor = actor(ctx, client, state, &user.subject);
                let change =
                    FactorChange { service: client.display_name(), user: &user, actor: &actor, keep: None, now };
                let account = client.config.site.as_ref().map(|site| site.url("account"));
                self.factors.use_recovery_code(&mut tx, change, (hash, account)).await?
            }
            Matched::Passkey(used) => tx.passkey_use(used, now).await?,
        };
        if !counts {
            return Ok(false);
        }
        if matches!(turn, TicketTurn::Advance(_)) {
            tx.ticket_give_back(&ticket.id).await?;
        }
        turn.take(&mut tx, ticket, now).await?;
        tx.commit().await.map(|_| true)
    }

    /// Checks the first code of an app that is set up, or a passkey that was made. Each wrong one uses up an attempt at
    /// the challenge.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid).
    pub(super) async fn match_enrolment(
        &self,
        client: &Client,
        pending: &PendingSignIn,
        shown: &ShownFactor,
    ) -> Result<Enrolling> {
        let code = match shown {
            ShownFactor::Totp(code) => Some(read_code(code)?),
            ShownFactor::Passkey(_) => None,
            ShownFactor::RecoveryCode(_) => return Err(Error::invalid("recovery_code", "must be empty")),
        };
        if !self.use_attempt(pending).await? {
            return Err(CODE_INVALID);
        }
        let what = match (code, shown) {
            (Some(code), _) => {
                let totp = pending.state.totp.as_ref().ok_or(CODE_INVALID)?;
                Made::App(totp.step_of(&code, self.live.now())?.ok_or(CODE_INVALID)?)
            }
            (None, ShownFactor::Passkey(response)) => {
                Made::Passkey(Box::new(self.made_passkey(client, pending, response)?))
            }
            (None, _) => return Err(CODE_INVALID),
        };
        Ok(Enrolling { what, codes: self.factors.new_recovery_codes() })
    }

    /// Sets a factor up and takes the ticket of this step. Other sessions end, but for the one that this sign-in is to
    /// replace.
    ///
    /// # Errors
    /// [`Reason::CodeInvalid`](crate::error::Reason::CodeInvalid) if the ticket was taken before, or the user has
    /// changed; as [`PendingSignIn::hold_sessions`].
    pub(super) async fn enrol(
        &self,
        ctx: &RequestContext,
        client: &Client,
        pending: &PendingSignIn,
        enrolling: &Enrolling,
        (turn, keep): (TicketTurn<'_>, Option<&SessionId>),
    ) -> Result<()> {
        let PendingSignIn { ticket, user, state } = pending;
        let now = self.live.now();
        let mut tx = self.store.write().await?;
        if !tx.user_touch(user, Some(ticket.security_version), now).await? {
            return Err(CODE_INVALID);
        }
        pending.hold_sessions(&mut tx, now).await?;
        let user = tx.user_by_id(user).await?.filter(|user| user.disabled_at.is_none()).ok_or(CODE_INVALID)?;
        let actor = actor(ctx, client, state, &user.subject);
        let change = FactorChange { service: client.display_name(), user: &user, actor: &actor, keep, now };
        match &enrolling.what {
            Made::App(step) => {
                let totp = state.totp.as_ref().ok_or(CODE_INVALID)?;
                self.factors.add_totp(&mut tx, change, (totp, *step), &enrolling.codes).await?;
            }
            Made::Passkey(made) => {
                self.keep_handle(&mut tx, &user.id, &made.handle).await?;
                let new = (FactorId::new(now, &*self.entropy), String::new(), made.host.clone());
                let credential = made.credential.clone();
                self.factors.add_passkey(&mut tx, change, new, (credential, &enrolling.codes)).await?;
            }
        }
        if matches!(turn, TicketTurn::Advance(_)) {
            tx.ticket_give_back(&ticket.id).await?;
        }
        turn.take(&mut tx, ticket, now).await?;
        self.live.commit(tx).await
    }
}

/// Reads a factor. What cannot be right is no guess.
fn read(shown: &ShownFactor, pending: &PendingSignIn) -> Result<ReadFactor> {
    match shown {
        ShownFactor::Totp(code) => read_code(code).map(ReadFactor::Code),
        ShownFactor::RecoveryCode(code) => {
            let hash = recovery::hash_of(&pending.user, code);
            hash.map(ReadFactor::RecoveryCode).ok_or_else(|| Error::invalid("recovery_code", NO_RECOVERY_CODE))
        }
        ShownFactor::Passkey(response) => {
            let signed = Signed::parse(response.expose(), Purpose::SecondFactor).map_err(|_| CODE_INVALID)?;
            Ok(ReadFactor::Passkey(Box::new(signed)))
        }
    }
}
