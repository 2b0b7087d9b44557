//! Opening and recovering an account. What is submitted twice is done once: a repetition gets the outcome of the first.

use std::{fmt, sync::Arc};

use super::flights::Flights;
use crate::{
    domain::{client::Client, site::Site},
    error::{Error, Reason, Result},
    id::VisitorId,
    keys::form_id::{self, FormId},
    secret::{DeviceToken, Password, RecoveryCode, TicketToken, TypedCode},
    service::{
        access::Me,
        people::{
            Accounts, AtSite, BrowserGoal, FormProof, NewCookies, Once, PageSignedIn, PendingTicket, PresentedTicket,
            SignIns, SiteRegistration, SiteVerification, TotpEnrolment, UsedBefore, VerifiedAtSite,
        },
        runtime::Runtime,
    },
    time::Timestamp,
};

/// Accounts as their owners use them in a browser. Cheap to clone.
#[derive(Clone)]
pub struct SiteAccounts {
    pub(super) runtime: Runtime,
    pub(super) accounts: Arc<Accounts>,
    pub(super) sign_ins: SignIns,
    mails: Flights<Result<PendingTicket>>,
    verifications: Flights<Shared<VerifyOutcome>>,
    resets: Flights<Result<ResetOutcome>>,
    pub(super) new_addresses: Flights<Shared<Option<PendingTicket>>>,
    pub(super) passwords: Flights<Shared<PasswordChanged>>,
    pub(super) deletions: Flights<Shared<usize>>,
    pub(super) sign_outs: Flights<Shared<usize>>,
    pub(super) enrolments: Flights<Shared<TotpEnrolment>>,
    pub(super) confirmations: Flights<Shared<FactorAdded>>,
    pub(super) removals: Flights<Shared<()>>,
    pub(super) new_codes: Flights<Shared<Vec<RecoveryCode>>>,
}

impl fmt::Debug for SiteAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteAccounts")
    }
}

/// An outcome that several requests get.
pub(super) type Shared<T> = Result<Arc<T>, Arc<Error>>;

/// A form of these pages: its id, and whose it is.
#[derive(Clone, Debug)]
pub struct AccountForm(pub(super) FormId);

/// What became of a code or link.
#[derive(Debug)]
pub enum VerifyOutcome {
    /// The account is open, and the person who asked for it is signed in.
    SignedIn {
        /// The cookies.
        cookies: Box<NewCookies>,
        /// Where they were going; empty for the site's home.
        return_to: String,
        /// Whether it has no user name, because somebody else has it.
        without_name: bool,
    },
    /// The account is open. Its reader signs in with the password.
    Opened {
        /// Where the person was going who asked for it here; empty for the site's home.
        return_to: String,
        /// Whether it has no user name, because somebody else has it.
        without_name: bool,
    },
    /// The account has a new address.
    NewAddress,
}

/// A password was reset.
#[derive(Debug)]
pub struct ResetOutcome {
    /// Where the person was going who asked for it here; empty for the site's home.
    pub return_to: String,
}

/// A new password for an account that is signed in.
#[derive(Debug)]
pub struct NewPasswordAtSite {
    /// The current one.
    pub current: Password,
    /// The new one.
    pub new: Password,
}

/// A second factor was added.
pub struct FactorAdded {
    /// New recovery codes, if it is the first one.
    pub recovery_codes: Vec<RecoveryCode>,
    /// The cookies of the session that replaces this one: the factor was shown in it.
    pub cookies: Option<Box<NewCookies>>,
}

impl fmt::Debug for FactorAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FactorAdded(…)")
    }
}

/// A password was changed.
#[derive(Debug)]
pub struct PasswordChanged {
    /// How many other sessions have ended.
    pub ended: usize,
    /// The cookies of the session that replaces this one.
    pub cookies: Option<Box<NewCookies>>,
}

impl SiteAccounts {
    pub(in crate::service) fn new(runtime: Runtime, accounts: Arc<Accounts>, sign_ins: SignIns) -> Self {
        Self {
            runtime,
            accounts,
            sign_ins,
            mails: Flights::default(),
            verifications: Flights::default(),
            resets: Flights::default(),
            new_addresses: Flights::default(),
            passwords: Flights::default(),
            deletions: Flights::default(),
            sign_outs: Flights::default(),
            enrolments: Flights::default(),
            confirmations: Flights::default(),
            removals: Flights::default(),
            new_codes: Flights::default(),
        }
    }

    /// The form that a page was sent with. Its id is sealed; where it is missing or not this browser's, it is a new one,
    /// which nothing has been submitted with.
    #[must_use]
    pub fn account_form(&self, sealed: &str, site: &Site, visitor: VisitorId, now: Timestamp) -> AccountForm {
        let form = form_id::parse(&self.runtime.sealing, sealed);
        let form = form.filter(|form| form.site == site.origin() && form.visitor == visitor);
        AccountForm(form.unwrap_or_else(|| FormId::new(site.origin(), visitor, now, &*self.runtime.entropy)))
    }

    /// The form for the code that a browser waits for.
    #[must_use]
    pub fn waiting_form(&self, id: [u8; 16], site: &Site, visitor: VisitorId) -> AccountForm {
        AccountForm(FormId { id, site: site.origin().to_owned(), visitor, issued_at: Timestamp::from_millis(0) })
    }

    /// Asks for an account.
    ///
    /// # Errors
    /// As those of [`Accounts::register_at`](crate::service::Accounts::register_at).
    pub async fn register(
        &self,
        at: AtSite<'_>,
        form: &AccountForm,
        registration: SiteRegistration,
    ) -> Arc<Result<PendingTicket>> {
        let SiteRegistration { email, name, password } = &registration;
        let typed = [&b"register"[..], email.as_bytes(), name.as_bytes(), password.expose().as_bytes()];
        let key = form_id::proof(&self.runtime.sealing, &form.0, &typed);
        let once = Once::of_form(&key, form.0.issued_at);
        let work = Box::pin(self.accounts.register_at(at, registration, &once));
        self.mails.join(key, work).await
    }

    /// Asks for a mail with which to choose a new password.
    ///
    /// # Errors
    /// As those of [`Accounts::forgotten_at`](crate::service::Accounts::forgotten_at).
    pub async fn forgotten(
        &self,
        at: AtSite<'_>,
        form: &AccountForm,
        (login, devices): (&str, &[DeviceToken]),
    ) -> Arc<Result<PendingTicket>> {
        let key = form_id::proof(&self.runtime.sealing, &form.0, &[b"forgotten", login.as_bytes()]);
        let once = Once::of_form(&key, form.0.issued_at);
        let work = Box::pin(self.accounts.forgotten_at(at, (login, devices), &once));
        self.mails.join(key, work).await
    }

    /// Verifies an address with what was mailed to it. The person who asked for an account is signed in with it, unless
    /// the browser has a session already.
    ///
    /// # Errors
    /// As those of [`Accounts::verify_at`](crate::service::Accounts::verify_at).
    pub async fn verify(
        &self,
        at: AtSite<'_>,
        form: &AccountForm,
        verification: SiteVerification,
        me: Option<&Me>,
    ) -> Shared<VerifyOutcome> {
        let SiteVerification { presented, new_password, name, .. } = &verification;
        let name = name.as_deref().unwrap_or_default();
        let typed = [
            &b"verify"[..],
            presented.token.expose().as_bytes(),
            presented.code.expose().as_bytes(),
            new_password.expose().as_bytes(),
            name.as_bytes(),
        ];
        let proof = FormProof { id: form.0.id, proof: form_id::proof(&self.runtime.sealing, &form.0, &typed) };
        // Another session may come with the same form: it gets an answer of its own.
        let session = me.map_or("", |me| me.session().as_str());
        let key = form_id::proof(&self.runtime.sealing, &form.0, &[&proof.proof, session.as_bytes()]);
        shared(&self.verifications, key, self.verify_once(at, proof, verification, me)).await
    }

    async fn verify_once(
        &self,
        at: AtSite<'_>,
        proof: FormProof,
        verification: SiteVerification,
        me: Option<&Me>,
    ) -> Result<VerifyOutcome> {
        let mut verified = Box::pin(self.accounts.verify_at(at, (again(&verification, false), &proof.proof), me)).await;
        let mut without_name = false;
        if verification.name.is_none() && matches!(verified, Err(Error::Exists(..))) {
            // The user name was taken while the mail was under way. The account is what was asked for; it can have
            // another name later.
            without_name = true;
            verified = Box::pin(self.accounts.verify_at(at, (again(&verification, true), &proof.proof), me)).await;
        }
        let verified = match verified {
            Err(Error::Unauthenticated(Reason::CodeInvalid)) => {
                return self.verified_before(at, (&verification.presented, &proof), me).await;
            }
            verified => verified?,
        };
        let VerifiedAtSite { account, by_asker, return_to, guest, .. } = verified;
        let Some(account) = account else { return Ok(VerifyOutcome::NewAddress) };
        if !by_asker || me.is_some() {
            return Ok(VerifyOutcome::Opened { return_to, without_name });
        }
        let site = origin(at.client);
        let goal = BrowserGoal { site, flow: String::new(), shared: false, two_factors: false, browser: None };
        // The guest who has become its user, or else the one whose browser it is.
        let guest = guest.as_ref().or(at.guest);
        let opened =
            Box::pin(self.sign_ins.sign_in_new_account(at.ctx, at.client, account, (goal, proof.clone()), guest));
        let cookies = match opened.await {
            Ok(Some(PageSignedIn::Session(cookies))) => Some(cookies),
            Ok(_) => self.sign_ins.cookies_of_form(&proof).await?,
            Err(error) => {
                // The account is open all the same, so whoever asked for it can sign in.
                tracing::warn!(request_id = %at.ctx.request_id, %error, "cannot sign in to an account that was just opened");
                None
            }
        };
        Ok(opened_with(cookies, (return_to, without_name)))
    }

    /// What the same submission has led to a moment ago, here or at another process.
    async fn verified_before(
        &self,
        at: AtSite<'_>,
        (presented, proof): (&PresentedTicket, &FormProof),
        me: Option<&Me>,
    ) -> Result<VerifyOutcome> {
        let before = self.accounts.used_before(at.client, (presented, &proof.proof)).await?;
        let UsedBefore { opened, return_to, without_name, .. } =
            before.ok_or(Error::Unauthenticated(Reason::CodeInvalid))?;
        if !opened {
            return Ok(VerifyOutcome::NewAddress);
        }
        // A browser never gets the cookies of one session over those of another.
        let cookies = self.sign_ins.cookies_of_form(proof).await?;
        let cookies = cookies.filter(|cookies| me.is_none_or(|me| *me.session() == cookies.session));
        Ok(opened_with(cookies, (return_to, without_name)))
    }

    /// Sets a new password with what was mailed.
    ///
    /// # Errors
    /// As those of [`Accounts::reset_at`](crate::service::Accounts::reset_at).
    pub async fn reset(
        &self,
        at: AtSite<'_>,
        form: &AccountForm,
        (presented, password): (PresentedTicket, Password),
    ) -> Arc<Result<ResetOutcome>> {
        let typed = [
            &b"reset"[..],
            presented.token.expose().as_bytes(),
            presented.code.expose().as_bytes(),
            password.expose().as_bytes(),
        ];
        let proof = form_id::proof(&self.runtime.sealing, &form.0, &typed);
        let work = Box::pin(async {
            match self.accounts.reset_at(at, (&presented, &proof), password).await {
                // Another process may have done the same for this form a moment ago.
                Err(refused @ Error::Unauthenticated(Reason::CodeInvalid)) => {
                    let return_to = self.accounts.was_just_reset((at.client, at.visitor), (&presented, &proof)).await?;
                    return_to.map(|return_to| ResetOutcome { return_to }).ok_or(refused)
                }
                done => done.map(|return_to| ResetOutcome { return_to }),
            }
        });
        self.resets.join(proof, work).await
    }
}

/// Does the work once, for all requests that are the same.
pub(super) async fn shared<T>(
    flights: &Flights<Shared<T>>,
    key: [u8; 32],
    work: impl Future<Output = Result<T>>,
) -> Shared<T> {
    let work = Box::pin(async { work.await.map(Arc::new).map_err(Arc::new) });
    (*flights.join(key, work).await).clone()
}

fn opened_with(cookies: Option<Box<NewCookies>>, (return_to, without_name): (String, bool)) -> VerifyOutcome {
    match cookies {
        Some(cookies) => VerifyOutcome::SignedIn { cookies, return_to, without_name },
        None => VerifyOutcome::Opened { return_to, without_name },
    }
}

/// A verification once more, with or without the user name of the request.
fn again(verification: &SiteVerification, without_name: bool) -> SiteVerification {
    let SiteVerification { presented, new_password, name, .. } = verification;
    SiteVerification {
        presented: PresentedTicket {
            token: TicketToken::new(presented.token.expose().to_owned()),
            ticket: presented.ticket.clone(),
            code: TypedCode::new(presented.code.expose().to_owned()),
        },
        new_password: Password::new(new_password.expose().to_owned()),
        name: name.clone(),
        without_name,
    }
}

pub(super) fn origin(client: &Client) -> String {
    client.config.site.as_ref().map(Site::origin).unwrap_or_default().to_owned()
}
