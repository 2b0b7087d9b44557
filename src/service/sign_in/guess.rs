//! A password that somebody types is a guess. From a device on which the account's owner has signed in before it
//! is counted by that device alone, so that nobody who guesses elsewhere keeps the owner out.

use super::SignInRequest;
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
        RequestContext, Service,
        limits::{Attempt, Guesser},
    },
    store::Tx,
    time::Timestamp,
};

/// What keeps unknown devices waiting, and what their failures are counted by.
const STRANGER: [LimitKind; 3] = [LimitKind::Account, LimitKind::Address, LimitKind::Network];
/// What keeps a known device waiting.
const KNOWN: [LimitKind; 1] = [LimitKind::Device];
/// What its failures are counted by.
const OF_KNOWN: [LimitKind; 2] = [LimitKind::Device, LimitKind::Devices];

/// A password that was typed, before anybody knows whether it is right.
pub(super) struct Guess {
    /// The login as it is looked up; nothing if it can be nobody's.
    pub(super) canonical: Option<String>,
    /// What the queue needs to know.
    pub(super) applicant: Applicant,
    attempt: Attempt,
    account: LimitKey,
    device: Option<KnownDevice>,
    /// Whether the device's own count is the one that counts.
    known: bool,
    guesser: Guesser,
}

impl Service {
    /// Takes a password for a guess, unless it is known that none is due. Nothing is read for that.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`](crate::error::Error::TooManyAttempts).
    pub(super) fn guess(&self, ctx: &RequestContext, client: &Client, request: &SignInRequest) -> Result<Guess> {
        let canonical = Login::canonical_for_lookup(&request.login);
        let typed = canonical.as_deref().unwrap_or(&request.login);
        let told = client.tells_end_user() && !request.address.is_empty();
        let address = if told { &request.address } else { &ctx.peer };
        let account = self.limits.key(LimitKind::Account, typed);
        let device = KnownDevice::parse(&self.sealing, &request.device_token, &account, self.now());
        let devices = self.limits.key(LimitKind::Devices, typed);
        let own = device.as_ref().map(|d| d.limit_key(&self.sealing, &account));
        let closed = [own, Some(devices)].into_iter().flatten().any(|key| self.limits.is_remembered_closed(&key));
        let known = device.is_some() && !closed;
        let mut keys: Vec<LimitKey> = own.into_iter().chain([account, devices]).collect();
        keys.extend(self.limits.keys_of_address(address));
        self.limits.remembered(&keys, if known { &KNOWN } else { &STRANGER })?;
        // Others at the same account keep a known device waiting nowhere.
        let waits_as = own.filter(|_| known).map_or_else(|| Account::of(typed), |key| Account::named(key.hash));
        let applicant =
            Applicant { account: waits_as, prefix: Prefix::of(address), known_device: known, deadline: ctx.deadline };
        let actor = Actor { address: address.clone(), ..Actor::named(client.id.as_str()) };
        let guesser = Guesser { subject: String::new(), actor };
        let attempt = self.limits.begin(&keys);
        Ok(Guess { canonical, applicant, attempt, account, device, known, guesser })
    }
}

impl Guess {
    /// Reads the counts and refuses a guess that is not due.
    pub(super) async fn check(&mut self, tx: &mut Tx) -> Result<()> {
        self.attempt.read(tx).await?;
        if self.known && OF_KNOWN.iter().any(|kind| self.attempt.is_closed(*kind)) {
            self.known = false;
        }
        self.attempt.is_due(if self.known { &KNOWN } else { &STRANGER })
    }

    /// Says whose the login is. A device of somebody whose login it was before is as good as unknown.
    pub(super) fn is_at(&mut self, service: &Service, user: &UserId, subject: &str) -> Result<()> {
        subject.clone_into(&mut self.guesser.subject);
        if self.device.as_ref().is_none_or(|device| device.is_of(&service.sealing, user)) {
            return Ok(());
        }
        self.device = None;
        self.known = false;
        self.attempt.is_due(&STRANGER)
    }

    /// The password was wrong, or is nobody's.
    pub(super) async fn failed(self) -> Result<()> {
        let kinds = if self.known { &OF_KNOWN[..] } else { &STRANGER };
        self.attempt.only(kinds).failed(self.guesser).await
    }

    /// The user is signed in: gives what the device is recognised by from now on.
    pub(super) async fn succeeded(self, service: &Service, user: &UserId, now: Timestamp) -> DeviceToken {
        if let Err(error) = self.attempt.cleared().await {
            // The session is there. What is not forgotten now is so after the next success.
            tracing::warn!(cause = ?error, "cannot clear failed sign-ins");
        }
        let device = self.device.unwrap_or_else(|| KnownDevice::new(&service.sealing, user, &*service.entropy));
        device.token(&service.sealing, &self.account, now)
    }
}
