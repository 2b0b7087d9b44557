//! What people change in their second factors while they are signed in. What is submitted twice is done once, too.

use super::{
    BrowserSession,
    changes::session_form,
    own_account::{FactorAdded, Shared, SiteAccounts, shared},
};
use crate::{
    domain::factor::Method,
    error::Result,
    id::SessionId,
    keys::form_id,
    secret::{PasskeyResponse, RecoveryCode, TicketToken, TypedCode},
    service::{
        access::Me,
        people::{AtSite, FormProof, NewCookies, NewFactor, TotpEnrolment},
    },
};

impl SiteAccounts {
    /// Begins to set up an app.
    ///
    /// # Errors
    /// As those of [`Accounts::enrol_totp`](crate::service::Accounts::enrol_totp).
    pub async fn enrol_totp(&self, at: AtSite<'_>, me: &Me, name: &str) -> Shared<TotpEnrolment> {
        let form = session_form(at, me.session());
        let key = form_id::proof(&self.runtime.sealing, &form, &[b"enrol totp", name.as_bytes()]);
        shared(&self.enrolments, key, self.accounts.enrol_totp(at.ctx, me, name)).await
    }

    /// Sets an app up. All other sessions end, and a new one of two factors replaces this.
    ///
    /// # Errors
    /// As those of [`Accounts::confirm_totp`](crate::service::Accounts::confirm_totp).
    pub async fn confirm_totp(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        (token, code): (TicketToken, TypedCode),
    ) -> Shared<FactorAdded> {
        let proof = self.proof_of_app(at, &session.id, (&token, &code));
        let key = proof.proof;
        let work = async {
            let added = Box::pin(self.accounts.confirm_totp(at.ctx, me, token, &code)).await?;
            Ok(self.raise(at, (session, me), (&proof, Method::Totp), added).await)
        };
        shared(&self.confirmations, key, work).await
    }

    /// Adds a passkey that was made. All other sessions end, and a new one of two factors replaces this.
    ///
    /// # Errors
    /// As those of [`Accounts::finish_passkey`](crate::service::Accounts::finish_passkey).
    pub async fn confirm_passkey(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        made: (TicketToken, PasskeyResponse),
    ) -> Shared<FactorAdded> {
        let proof = self.proof_of_passkey(at, &session.id, &made);
        let work = async {
            let (token, response) = &made;
            let added = Box::pin(self.accounts.finish_passkey(at.ctx, me, token, response)).await?;
            // Only signatures tell of hardware and of who the user is.
            let shown = Method::Passkey { hardware: false, verified: false };
            Ok(self.raise(at, (session, me), (&proof, shown), added).await)
        };
        shared(&self.confirmations, proof.proof, work).await
    }

    /// The cookies of the session that has replaced this one a moment ago, when the same passkey was added in it.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn passkey_confirmed_before(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        made: &(TicketToken, PasskeyResponse),
    ) -> Result<Option<Box<NewCookies>>> {
        self.sign_ins.cookies_of_form(&self.proof_of_passkey(at, session, made)).await
    }

    async fn raise(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        shown: (&FormProof, Method),
        added: NewFactor,
    ) -> FactorAdded {
        let of = (me.user(), &session.id);
        let renewed = Box::pin(self.sign_ins.renew_session(at.ctx, at.client, of, shown)).await;
        let cookies = renewed.inspect_err(|error| {
            // The factor is added, and the old cookie is still good: to say that it failed would be wrong.
            tracing::warn!(request_id = %at.ctx.request_id, %error, "cannot raise a session after a factor was added");
        });
        FactorAdded { recovery_codes: added.recovery_codes, cookies: cookies.ok().map(Box::new) }
    }

    /// The cookies of the session that has replaced this one a moment ago, when the same code was typed in it.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn totp_confirmed_before(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        (token, code): (&TicketToken, &TypedCode),
    ) -> Result<Option<Box<NewCookies>>> {
        self.sign_ins.cookies_of_form(&self.proof_of_app(at, session, (token, code))).await
    }

    /// Gives the user new recovery codes in place of the old ones.
    ///
    /// # Errors
    /// As those of [`Accounts::regenerate_recovery_codes`](crate::service::Accounts::regenerate_recovery_codes).
    pub async fn new_recovery_codes(&self, at: AtSite<'_>, me: &Me) -> Shared<Vec<RecoveryCode>> {
        let key = form_id::proof(&self.runtime.sealing, &session_form(at, me.session()), &[b"new recovery codes"]);
        shared(&self.new_codes, key, self.accounts.regenerate_recovery_codes(at.ctx, me)).await
    }

    fn proof_of_app(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        (token, code): (&TicketToken, &TypedCode),
    ) -> FormProof {
        self.proof_of(at, session, &[&b"confirm totp"[..], token.expose().as_bytes(), code.expose().as_bytes()])
    }

    fn proof_of_passkey(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        (token, response): &(TicketToken, PasskeyResponse),
    ) -> FormProof {
        let made = [&b"confirm passkey"[..], token.expose().as_bytes(), response.expose().as_bytes()];
        self.proof_of(at, session, &made)
    }

    fn proof_of(&self, at: AtSite<'_>, session: &SessionId, typed: &[&[u8]]) -> FormProof {
        let form = session_form(at, session);
        let proof = form_id::proof(&self.runtime.sealing, &form, typed);
        let id = proof.first_chunk::<16>().copied().unwrap_or(form.id);
        FormProof { id, proof }
    }
}
