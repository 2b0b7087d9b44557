//! What is done with second factors, whoever does it: each change ends other sessions, is mailed, and stands in the audit
//! log, in the transaction that makes it.

use std::{collections::HashSet, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::emails::{Addressee, Emails, parse_recipient};
use crate::{
    domain::{
        audit::{Actor, AuditKind},
        client::Client,
        factor::{Factor, FactorKind},
        mail::{Asked, Content},
        recovery,
        session::RevokedCause,
        text::cleaned,
        totp::{TotpCode, TotpKey},
        user::User,
    },
    entropy::Entropy,
    error::{Error, Result},
    id::{FactorId, SessionId, UserId},
    keys::SealingKeys,
    secret::{RecoveryCode, RecoveryCodeHash, TicketToken, TotpSecret, TypedCode},
    service::runtime::{Live, Runtime},
    store::{By, Revoke, StoredTotp, Tx},
    time::Timestamp,
};

/// How many second factors a user may have.
pub(in crate::service) const MAX_FACTORS: usize = 10;
/// Maximum length of a factor's name, in bytes: 64 characters of most scripts.
pub(in crate::service) const MAX_NAME: usize = 256;

/// A change of a user's second factors. The user's row is held.
#[derive(Clone, Copy)]
pub(in crate::service) struct FactorChange<'a> {
    /// The service whose account it is, as its users know it.
    pub(in crate::service) service: &'a str,
    /// Whose they are.
    pub(in crate::service) user: &'a User,
    /// Who makes it.
    pub(in crate::service) actor: &'a Actor,
    /// The session that is to go on; all others end.
    pub(in crate::service) keep: Option<&'a SessionId>,
    /// When it is made.
    pub(in crate::service) now: Timestamp,
}

/// An app that a user sets up, which shows codes. It is shown once.
#[derive(Debug)]
pub struct TotpSetup {
    /// The secret, for those who type it.
    pub secret: TotpSecret,
    /// The secret and what it is for, as a URI with the scheme `otpauth`.
    pub uri: TotpSecret,
}

/// An app that is being set up: the state behind its QR code. It is stored only sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::service) struct PendingTotp {
    id: FactorId,
    /// The secret.
    key: String,
    /// What its user calls it.
    name: String,
    /// Which account the app shows.
    account: String,
}

impl fmt::Debug for PendingTotp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingTotp").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PendingTotp {
    /// The factor that it becomes.
    pub(in crate::service) const fn factor(&self) -> &FactorId {
        &self.id
    }

    fn key(&self) -> Result<TotpKey> {
        let bytes = STANDARD_NO_PAD.decode(&self.key).ok();
        bytes.and_then(|bytes| TotpKey::from_bytes(&bytes)).ok_or_else(|| Error::Internal("no key of an app".into()))
    }

    /// What the app needs to know, with the name of the service that it shows.
    pub(in crate::service) fn setup(&self, client: &Client) -> Result<TotpSetup> {
        let key = self.key()?;
        Ok(TotpSetup { secret: key.secret(), uri: key.uri(client.display_name(), &self.account) })
    }

    /// The step in which the app shows this code.
    pub(in crate::service) fn step_of(&self, code: &TotpCode, now: Timestamp) -> Result<Option<i64>> {
        Ok(self.key()?.step_of(code, now))
    }
}

/// Reads the code of an app.
pub(in crate::service) fn read_code(typed: &TypedCode) -> Result<TotpCode> {
    TotpCode::parse(typed).map_err(|problem| Error::invalid("code", problem.to_string()))
}

/// What is done with second factors. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct Factors {
    live: Arc<Live>,
    sealing: Arc<SealingKeys>,
    entropy: Arc<dyn Entropy>,
    emails: Emails,
}

impl fmt::Debug for Factors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Factors")
    }
}

impl Factors {
    pub(in crate::service) fn new(runtime: Runtime, emails: Emails) -> Self {
        let Runtime { live, sealing, entropy, .. } = runtime;
        Self { live, sealing, entropy, emails }
    }

    /// An app to set up. Nothing is stored.
    pub(in crate::service) fn new_totp(&self, name: &str, logins: &[String]) -> PendingTotp {
        let account = logins.first().cloned().unwrap_or_default();
        PendingTotp {
            id: FactorId::new(self.live.now(), &*self.entropy),
            key: STANDARD_NO_PAD.encode(TotpKey::generate(&*self.entropy).expose()),
            name: cleaned(name, MAX_NAME),
            account,
        }
    }

    /// New recovery codes. Nothing is stored.
    pub(in crate::service) fn new_recovery_codes(&self) -> Vec<RecoveryCode> {
        recovery::generate(&*self.entropy)
    }

    /// The recovery codes that come with a factor that is set up by this enrolment. They follow from it, so that whoever
    /// has missed them can be shown them again, though nothing of them is stored but hashes.
    pub(in crate::service) fn codes_of_enrolment(&self, enrolment: &TicketToken) -> Vec<RecoveryCode> {
        self.codes_of(&[b"enrolment", enrolment.expose().as_bytes()])
    }

    /// The recovery codes that a form makes of an account at this version.
    pub(in crate::service) fn codes_of_form(&self, form: &[u8; 16], version: i64) -> Vec<RecoveryCode> {
        self.codes_of(&[b"form", form, &version.to_be_bytes()])
    }

    fn codes_of(&self, held: &[&[u8]]) -> Vec<RecoveryCode> {
        recovery::made_of(|number| self.sealing.oldest().recovery_code(&[held, &[&[number]]].concat()))
    }

    /// These recovery codes, if they are what the user has, with none of them used; else none.
    pub(in crate::service) async fn still_unused(
        &self,
        tx: &mut Tx,
        user: &UserId,
        codes: Vec<RecoveryCode>,
    ) -> Result<Vec<RecoveryCode>> {
        let present: HashSet<[u8; 32]> = tx.recovery_code_hashes(user).await?.iter().map(|hash| hash.0).collect();
        let of_codes: HashSet<[u8; 32]> = hashes_of(user, &codes).iter().map(|hash| hash.0).collect();
        Ok(if present == of_codes { codes } else { Vec::new() })
    }

    /// The apps among these that show this code now, each with the step in which it does.
    pub(in crate::service) fn matching(
        &self,
        apps: &[StoredTotp],
        code: &TotpCode,
        now: Timestamp,
    ) -> Result<Vec<(FactorId, i64)>> {
        let mut found = Vec::new();
        for app in apps {
            let id = &app.factor.id;
            let sealing = self.sealing.version_of_row(app.sealing_version);
            let key = sealing.and_then(|key| key.open(&app.sealed, &totp_purpose(id.as_str())));
            let key = key.and_then(|key| TotpKey::from_bytes(&key));
            let key = key.ok_or_else(|| Error::Internal(format!("{id} does not open").into()))?;
            found.extend(key.step_of(code, now).map(|step| (id.clone(), step)));
        }
        Ok(found)
    }

    /// Adds an app, whose code of this step was right and does not count again. Returns what was added, and whether
    /// these recovery codes are the user's from now on: they are with the first factor.
    ///
    /// # Errors
    /// [`Error::Precondition`] if the user has too many.
    pub(in crate::service) async fn add_totp(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        (pending, step): (&PendingTotp, i64),
        codes: &[RecoveryCode],
    ) -> Result<(Factor, bool)> {
        let factor = Factor {
            id: pending.id.clone(),
            kind: FactorKind::Totp,
            name: pending.name.clone(),
            created_at: change.now,
            last_used_at: None,
        };
        let key = self.sealing.in_use();
        let sealed = key.seal(pending.key()?.expose(), &totp_purpose(pending.id.as_str()), &*self.entropy);
        let sealing_version = i64::from(key.version());
        let stored = StoredTotp { factor: factor.clone(), sealed, sealing_version, last_step: step };
        tx.totp_insert(&change.user.id, &stored).await?;
        let with_codes = self.added(tx, change, &factor, codes).await?;
        Ok((factor, with_codes))
    }

    /// Does what follows from a factor that was added: counts it, gives the user these recovery codes if it is the first,
    /// ends other sessions, and says so. Returns whether the codes are the user's.
    ///
    /// # Errors
    /// [`Error::Precondition`] if the user has too many.
    pub(in crate::service) async fn added(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        factor: &Factor,
        codes: &[RecoveryCode],
    ) -> Result<bool> {
        let count = tx.factors_count(&change.user.id).await?;
        if count > i64::try_from(MAX_FACTORS).unwrap_or(i64::MAX) {
            return Err(Error::Precondition(format!("a user may have {MAX_FACTORS} second factors; remove one first")));
        }
        let first = count == 1;
        if first {
            self.set_recovery_codes(tx, change, codes).await?;
        }
        let (kind, at) = (factor.kind, change.now);
        self.mail(tx, change, || Content::FactorAdded { at, kind }).await?;
        let details = json!({ "factor": factor.id, "kind": kind.as_str(), "recovery_codes": first });
        self.changed(tx, change, AuditKind::FactorAdded, details).await?;
        Ok(first)
    }

    /// Removes a factor, and the recovery codes with the last. Returns what it was and how many are left; nothing if the
    /// user has none of this id.
    pub(in crate::service) async fn remove(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        id: &FactorId,
    ) -> Result<Option<(FactorKind, i64)>> {
        let user = &change.user.id;
        let Some(kind) = tx.factor_delete(user, id).await? else { return Ok(None) };
        let left = tx.factors_count(user).await?;
        if left == 0 {
            tx.recovery_codes_replace(user, &[], change.now).await?;
        }
        let at = change.now;
        self.mail(tx, change, || Content::FactorRemoved { at, kind: Some(kind) }).await?;
        let details = json!({ "factor": id, "kind": kind.as_str(), "left": left });
        self.changed(tx, change, AuditKind::FactorRemoved, details).await?;
        Ok(Some((kind, left)))
    }

    /// Removes every factor and all recovery codes. Returns how many factors there were.
    pub(in crate::service) async fn remove_all(&self, tx: &mut Tx, change: FactorChange<'_>) -> Result<u64> {
        let removed = tx.factors_delete(&change.user.id).await?;
        tx.factors_count(&change.user.id).await?;
        if removed > 0 {
            let at = change.now;
            self.mail(tx, change, || Content::FactorRemoved { at, kind: None }).await?;
            self.changed(tx, change, AuditKind::FactorRemoved, json!({ "all": removed, "left": 0 })).await?;
        }
        Ok(removed)
    }

    /// Gives a user these recovery codes in place of the old ones, ends other sessions, and says so.
    pub(in crate::service) async fn replace_recovery_codes(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        codes: &[RecoveryCode],
    ) -> Result<()> {
        self.set_recovery_codes(tx, change, codes).await?;
        let at = change.now;
        self.mail(tx, change, || Content::RecoveryCodes { at }).await?;
        self.changed(tx, change, AuditKind::RecoveryCodesReplaced, json!({})).await
    }

    /// Uses a recovery code up, and says so, and at which page there are new ones. Returns whether the user had it.
    pub(in crate::service) async fn use_recovery_code(
        &self,
        tx: &mut Tx,
        change: FactorChange<'_>,
        (hash, account): (&RecoveryCodeHash, Option<String>),
    ) -> Result<bool> {
        let user = change.user;
        if !tx.recovery_code_use(&user.id, hash).await? {
            return Ok(false);
        }
        let (left, at) = (tx.recovery_codes_left(&user.id).await?, change.now);
        self.mail(tx, change, || Content::RecoveryCodeUsed { at, left, account: account.clone() }).await?;
        let details = json!({ "left": left });
        tx.audit(at, AuditKind::RecoveryCodeUsed, change.actor, &user.subject, details).await?;
        Ok(true)
    }

    async fn set_recovery_codes(&self, tx: &mut Tx, change: FactorChange<'_>, codes: &[RecoveryCode]) -> Result<()> {
        tx.recovery_codes_replace(&change.user.id, &hashes_of(&change.user.id, codes), change.now).await
    }

    /// Ends the user's other sessions, and writes the change down.
    async fn changed(&self, tx: &mut Tx, change: FactorChange<'_>, kind: AuditKind, details: Value) -> Result<()> {
        let FactorChange { user, actor, keep, now, .. } = change;
        let settings = self.live.snapshot().settings.clone();
        let by = By { actor, cause: RevokedCause::FactorsChanged, settings: &settings, now };
        tx.revoke(Revoke::SessionsOf { user: &user.id, but: keep }, &by).await?;
        tx.audit(now, kind, actor, &user.subject, details).await
    }

    /// Tells every address of the user.
    async fn mail(&self, tx: &mut Tx, change: FactorChange<'_>, content: impl Fn() -> Content) -> Result<()> {
        let FactorChange { service, user, .. } = change;
        let logins = tx.logins_of(&user.id).await?;
        for recipient in logins.iter().filter_map(|login| parse_recipient(login)) {
            let language = user.language.clone().unwrap_or_default();
            let to = Addressee { recipient, language, asked: Asked::default() };
            self.emails.send_from(tx, service, to, content()).await?;
        }
        Ok(())
    }
}

fn hashes_of(user: &UserId, codes: &[RecoveryCode]) -> Vec<RecoveryCodeHash> {
    let typed = |code: &RecoveryCode| TypedCode::new(code.expose().to_owned());
    codes.iter().filter_map(|code| recovery::hash_of(user, &typed(code))).collect()
}

/// What the secret of an app is sealed for.
pub(in crate::service) fn totp_purpose(id: &str) -> String {
    format!("totp {id}")
}
