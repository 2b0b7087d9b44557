//! Every typed password is a guess. A guess from a device on which the account's owner has signed in before counts
//! only against that device, so that guesses from elsewhere cannot lock the owner out.

use super::{SignInCall, SignIns, Typed, state::SignInState};
use crate::{
    domain::{
        audit::Actor,
        client::Client,
        limit::{LimitKey, LimitKind},
        login::Login,
    },
    error::Result,
    id::UserId,
    keys::KnownDevice,
    passwords::{Account, Applicant, Prefix},
    secret::DeviceToken,
    service::{
        access::RequestContext,
        people::{
            limits::{Attempt, GuessAudit, Plan, name_of_login},
            new_passwords::hash_error,
        },
    },
};

/// The counters of unknown devices. Those that many people share count only what has failed.
const UNKNOWN_DEVICE: Plan = Plan {
    judged: &[LimitKind::Account, LimitKind::Address, LimitKind::Network, LimitKind::Site, LimitKind::Provider],
    counted: &[LimitKind::Account],
    held: &[LimitKind::Address, LimitKind::Network, LimitKind::Site, LimitKind::Provider],
};
/// The counters of known devices.
const KNOWN_DEVICE: Plan =
    Plan { judged: &[LimitKind::Device], counted: &[LimitKind::Device, LimitKind::Devices], held: &[] };

/// The counters of second factors shown on unknown devices: those of passwords, and one more.
const FACTOR_ON_UNKNOWN_DEVICE: Plan = Plan {
    judged: &[
        LimitKind::Account,
        LimitKind::Factor,
        LimitKind::Address,
        LimitKind::Network,
        LimitKind::Site,
        LimitKind::Provider,
    ],
    counted: &[LimitKind::Account, LimitKind::Factor],
    held: &[LimitKind::Address, LimitKind::Network, LimitKind::Site, LimitKind::Provider],
};

/// How many accounts a browser may be known to.
const MAX_DEVICES: usize = 8;

/// A typed password that has not been verified yet.
pub(super) struct Guess {
    /// The canonical login; `None` if the text cannot be a login.
    pub(super) canonical: Option<String>,
    /// The entry in the password queue.
    pub(super) applicant: Applicant,
    attempt: Attempt,
    /// The name of the account.
    account: String,
    device: Option<KnownDevice>,
    /// Which of the tokens sent is the device's.
    sent_at: Option<usize>,
    /// Whether the device's own counter applies.
    known: bool,
    audit: GuessAudit,
}

impl SignIns {
    /// Starts a guess, or refuses it from cache. Reads nothing from the database.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`](crate::error::Error::TooManyAttempts).
    pub(super) fn start_guess(&self, ctx: &RequestContext, call: &SignInCall<'_>, typed: &Typed<'_>) -> Result<Guess> {
        let canonical = Login::canonical_for_lookup(typed.login);
        let name = canonical.as_deref().unwrap_or(typed.login);
        let address = call.person.address();
        let account = self.limits.key(LimitKind::Account, name);
        let known = |token| KnownDevice::parse(&self.sealing, token, name, self.live.now());
        // A browser may be known to several accounts.
        let mut sent = typed.devices.iter().take(MAX_DEVICES).enumerate();
        let (sent_at, device) = sent.find_map(|(at, token)| Some((at, known(token)?))).unzip();
        let devices = self.limits.key(LimitKind::Devices, name);
        let device_key = device.as_ref().map(|d| d.limit_key(&self.sealing, &account));
        let closed = [device_key, Some(devices)].into_iter().flatten().any(|key| self.limits.is_cached_closed(&key));
        let known = device.is_some() && !closed;
        let mut keys: Vec<LimitKey> = device_key.into_iter().chain([account, devices]).collect();
        keys.extend(self.limits.keys_of_address(address));
        self.limits.check_cached(&keys, if known { KNOWN_DEVICE.judged } else { UNKNOWN_DEVICE.judged })?;
        // A known device never queues behind others that try the same account.
        let queue_account =
            device_key.filter(|_| known).map_or_else(|| Account::of(name), |key| Account::named(key.hash));
        let applicant = Applicant {
            account: queue_account,
            prefix: Prefix::of(address),
            known_device: known,
            deadline: ctx.deadline,
        };
        let actor = Actor { address: address.to_owned(), ..Actor::named(call.client.id.as_str()) };
        let audit = GuessAudit { subject: String::new(), actor };
        let attempt = self.limits.start(&keys);
        let account = name.to_owned();
        Ok(Guess { canonical, applicant, attempt, account, device, sent_at, known, audit })
    }
}

impl SignIns {
    /// The tokens that identify a device from now on: the user's own, and those sent but for the one that it replaces.
    fn tokens_of_device(
        &self,
        device: &KnownDevice,
        (user, account): (&UserId, &str),
        (sent, sent_at): (&[DeviceToken], Option<usize>),
    ) -> Vec<DeviceToken> {
        let own = device.token(&self.sealing, (user, account), self.live.now());
        let others = sent.iter().enumerate().filter(|(at, token)| Some(*at) != sent_at && !token.expose().is_empty());
        let others = others.map(|(_, token)| DeviceToken::new(token.expose().to_owned()));
        std::iter::once(own).chain(others).take(MAX_DEVICES).collect()
    }

    /// The device on which the user has signed in with a login before, and which of the tokens sent says so.
    fn known_device(&self, account: &str, sent: &[DeviceToken], user: &UserId) -> Option<(usize, KnownDevice)> {
        let known = |token| KnownDevice::parse(&self.sealing, token, account, self.live.now());
        let mut known = sent.iter().enumerate().filter_map(|(at, token)| Some((at, known(token)?)));
        known.find(|(_, device)| device.is_of(&self.sealing, user))
    }

    /// The tokens that identify the device from now on, after all steps of a sign-in.
    pub(super) fn devices_after_steps(&self, login: &str, sent: &[DeviceToken], user: &UserId) -> Vec<DeviceToken> {
        let account = name_of_login(login);
        let (sent_at, device) = self.known_device(&account, sent, user).unzip();
        let device = device.unwrap_or_else(|| KnownDevice::new(&*self.entropy));
        self.tokens_of_device(&device, (user, &account), (sent, sent_at))
    }

    /// Clears the wrong passwords that were typed for a login, now that all steps of a sign-in with it are taken. Not
    /// before: whoever has the password alone must not clear a count. A session that was raised says nothing of passwords.
    pub(super) async fn clear_after_steps(&self, state: &SignInState, user: &UserId) {
        if state.basis.is_some() {
            return;
        }
        let account = self.limits.key_of_login(LimitKind::Account, &state.login);
        let devices = self.limits.key_of_login(LimitKind::Devices, &state.login);
        let device = self.known_device(&name_of_login(&state.login), &state.devices(), user);
        let device = device.map(|(_, device)| device.limit_key(&self.sealing, &account));
        let keys: Vec<LimitKey> = device.into_iter().chain([account, devices]).collect();
        succeeded(self.limits.start(&keys)).await;
    }

    /// Counts a guess at a second factor as failed before it is looked at, by the same counts as passwords: those of the
    /// account's first login, whichever was typed, so that an account with several has no more guesses.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`](crate::error::Error::TooManyAttempts).
    pub(super) async fn count_factor(&self, guesser: &FactorGuesser<'_>) -> Result<FactorGuess> {
        let FactorGuesser { client, address, user, subject, logins, sent } = guesser;
        let login = logins.first().map_or(user.as_str(), String::as_str);
        let account = self.limits.key_of_login(LimitKind::Account, login);
        let device = self.limit_key_of_device(&account, (logins, sent), user);
        let devices = self.limits.key_of_login(LimitKind::Devices, login);
        let factor = self.limits.key(LimitKind::Factor, user.as_str());
        let mut keys: Vec<LimitKey> = device.into_iter().chain([account, devices, factor]).collect();
        keys.extend(self.limits.keys_of_address(address));
        let mut attempt = self.limits.start(&keys);
        let closed = async || attempt.is_closed(&mut self.store.read().await?, KNOWN_DEVICE.counted).await;
        let plan = if device.is_some() && !closed().await? { KNOWN_DEVICE } else { FACTOR_ON_UNKNOWN_DEVICE };
        attempt.check_cached(plan)?;
        attempt.count(plan).await?;
        // Whoever stops waiting for the answer from now on has guessed all the same.
        attempt.counts_if_abandoned(plan.judged);
        let actor = Actor { address: (*address).to_owned(), ..Actor::named(client.id.as_str()) };
        Ok(FactorGuess { attempt, audit: GuessAudit { subject: (*subject).to_owned(), actor } })
    }

    /// The key of the count of a device on which the user has signed in before, with any of these logins.
    fn limit_key_of_device(
        &self,
        account: &LimitKey,
        (logins, sent): (&[String], &[DeviceToken]),
        user: &UserId,
    ) -> Option<LimitKey> {
        let accounts: Vec<String> = logins.iter().map(|login| name_of_login(login)).collect();
        let mut pairs = sent.iter().flat_map(|token| accounts.iter().map(move |account| (token, account.as_str())));
        let now = self.live.now();
        let known = |(token, of)| KnownDevice::parse(&self.sealing, token, of, now);
        let device = pairs.find_map(|pair| known(pair).filter(|device| device.is_of(&self.sealing, user)));
        device.map(|device| device.limit_key(&self.sealing, account))
    }
}

/// Who guesses at a second factor.
pub(super) struct FactorGuesser<'a> {
    pub(super) client: &'a Client,
    pub(super) address: &'a str,
    pub(super) user: &'a UserId,
    pub(super) subject: &'a str,
    pub(super) logins: &'a [String],
    /// The device tokens that came with the password.
    pub(super) sent: &'a [DeviceToken],
}

/// A second factor that has not been checked yet.
pub(super) struct FactorGuess {
    attempt: Attempt,
    audit: GuessAudit,
}

impl FactorGuess {
    /// It was wrong.
    pub(super) async fn failed(self) -> Result<()> {
        self.attempt.failed(self.audit).await
    }

    /// It was not looked at.
    pub(super) async fn take_back(self) {
        self.attempt.take_back().await;
    }

    /// It was right.
    pub(super) async fn succeeded(self) {
        succeeded(self.attempt).await;
    }
}

impl Guess {
    /// Waits for the other sign-ins at the account.
    ///
    /// # Errors
    /// [`Error::SignInInProgress`](crate::error::Error::SignInInProgress) if too many are waiting already.
    pub(super) async fn wait_for_turn(&mut self, sign_ins: &SignIns) -> Result<()> {
        let Applicant { account, prefix, deadline, .. } = self.applicant;
        let turn = sign_ins.passwords.turn(account, prefix, deadline).await.map_err(hash_error)?;
        self.attempt.hold(turn);
        // Those before it may have filled a count.
        self.attempt.check_cached(if self.known { KNOWN_DEVICE } else { UNKNOWN_DEVICE })
    }

    /// Says whether it counts if the caller stops waiting: a stranger's does, at the address and its networks. Else
    /// strangers could take an account's turns again and again without ever being counted.
    pub(super) fn counts_if_abandoned(&mut self, counts: bool) {
        self.attempt.counts_if_abandoned(if counts && !self.known { UNKNOWN_DEVICE.held } else { &[] });
    }

    /// Counts the guess as failed, or refuses it if it is over a limit.
    pub(super) async fn count(&mut self, sign_ins: &SignIns) -> Result<()> {
        if self.known {
            let mut tx = sign_ins.store.read().await?;
            self.known = !self.attempt.is_closed(&mut tx, KNOWN_DEVICE.counted).await?;
            self.counts_if_abandoned(true);
        }
        if self.known {
            return self.attempt.count(KNOWN_DEVICE).await;
        }
        self.attempt.count(UNKNOWN_DEVICE).await
    }

    /// The guess was not looked at, or leads to further steps: it does not count.
    pub(super) async fn take_back(self) {
        self.attempt.take_back().await;
    }

    /// Binds the guess to the user who has the login. A device that belongs to a previous owner of the login counts
    /// as unknown.
    pub(super) async fn bind_to_user(&mut self, sign_ins: &SignIns, user: &UserId, subject: &str) -> Result<()> {
        subject.clone_into(&mut self.audit.subject);
        if self.device.as_ref().is_none_or(|device| device.is_of(&sign_ins.sealing, user)) {
            return Ok(());
        }
        self.device = None;
        if std::mem::take(&mut self.known) {
            self.counts_if_abandoned(true);
            self.attempt.take_back_to_recount().await?;
            self.attempt.count(UNKNOWN_DEVICE).await?;
        }
        Ok(())
    }

    /// The password was wrong, or there is no such user.
    pub(super) async fn failed(self) -> Result<()> {
        self.attempt.failed(self.audit).await
    }

    /// The tokens that identify the device from now on, if the user signs in: the user's own and, of those sent, the
    /// ones of other accounts.
    pub(super) fn devices(&mut self, sign_ins: &SignIns, sent: &[DeviceToken], user: &UserId) -> Vec<DeviceToken> {
        let device = self.device.get_or_insert_with(|| KnownDevice::new(&*sign_ins.entropy));
        sign_ins.tokens_of_device(device, (user, &self.account), (sent, self.sent_at))
    }

    /// The user is signed in.
    pub(super) async fn succeeded(self) {
        succeeded(self.attempt).await;
    }
}

async fn succeeded(attempt: Attempt) {
    if let Err(error) = attempt.succeeded().await {
        // What it was for is done already. The next success clears the counts.
        tracing::warn!(cause = ?error, "cannot clear failed sign-ins");
    }
}
