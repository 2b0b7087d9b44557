//! What people change in their accounts while they are signed in. What is submitted twice is done once, too.

use super::{
    BrowserSession,
    own_account::{NewPasswordAtSite, PasswordChanged, Shared, SiteAccounts, origin, shared},
};
use crate::{
    domain::factor::Method,
    error::Result,
    id::SessionId,
    keys::form_id::{self, FormId},
    secret::Password,
    service::{
        access::Me,
        people::{AtSite, FormProof, MePatch, NewCookies, Once, PendingTicket},
    },
    time::Timestamp,
};

impl SiteAccounts {
    /// Asks for another address of the account that is signed in: a code is mailed to it. Nothing if it is its address
    /// already.
    ///
    /// # Errors
    /// As those of [`Accounts::update_at`](crate::service::Accounts::update_at).
    pub async fn change_email(
        &self,
        at: AtSite<'_>,
        me: &Me,
        (email, current): (&str, Password),
    ) -> Shared<Option<PendingTicket>> {
        let form = session_form(at, me.session());
        let key = form_id::proof(&self.runtime.sealing, &form, &[b"change email", email.as_bytes()]);
        let once = Once::of_form(&key, form.issued_at);
        let patch = MePatch { email: Some(email.to_owned()), ..MePatch::default() };
        let work = async {
            let (_, pending) = self.accounts.update_at(at, me, (patch, current), Some(&once)).await?;
            Ok(pending)
        };
        shared(&self.new_addresses, key, work).await
    }

    /// Changes the password of the account that is signed in. All its other sessions end, and a new one replaces this:
    /// whoever has a copy of the cookie has nothing.
    ///
    /// # Errors
    /// As those of [`Accounts::change_password_at`](crate::service::Accounts::change_password_at).
    pub async fn change_password(
        &self,
        at: AtSite<'_>,
        (session, me): (&BrowserSession, &Me),
        passwords: NewPasswordAtSite,
    ) -> Shared<PasswordChanged> {
        let proof = self.proof_of_passwords(at, &session.id, &passwords);
        let key = proof.proof;
        let work = async {
            let NewPasswordAtSite { current, new } = passwords;
            let ended = Box::pin(self.accounts.change_password_at(at.ctx, me, (current, new))).await?;
            let of = (me.user(), &session.id, session.is_shared());
            match Box::pin(self.sign_ins.renew_session(at.ctx, at.client, of, (&proof, Method::Password))).await {
                Ok(cookies) => Ok(PasswordChanged { ended, cookies: Some(Box::new(cookies)) }),
                Err(error) => {
                    // The password is changed, and the old cookie is still good: to say that it failed would be wrong.
                    tracing::warn!(request_id = %at.ctx.request_id, %error, "cannot replace a session whose password was changed");
                    Ok(PasswordChanged { ended, cookies: None })
                }
            }
        };
        shared(&self.passwords, key, work).await
    }

    /// Deletes the account that is signed in; returns how many sessions ended.
    ///
    /// # Errors
    /// As those of [`Accounts::delete_at`](crate::service::Accounts::delete_at).
    pub async fn delete(&self, at: AtSite<'_>, me: &Me, current: Password) -> Shared<usize> {
        let form = session_form(at, me.session());
        let key = form_id::proof(&self.runtime.sealing, &form, &[b"delete", current.expose().as_bytes()]);
        shared(&self.deletions, key, self.accounts.delete_at(at, me, current)).await
    }

    /// Ends all sessions of the user, this one included; returns how many.
    ///
    /// # Errors
    /// As those of [`Accounts::end_all_sessions`](crate::service::Accounts::end_all_sessions).
    pub async fn end_all_sessions(&self, at: AtSite<'_>, me: &Me) -> Shared<usize> {
        let key = form_id::proof(&self.runtime.sealing, &session_form(at, me.session()), &[b"end all"]);
        shared(&self.sign_outs, key, self.accounts.end_all_sessions(me)).await
    }

    /// The cookies of the session that has replaced this one a moment ago, when the same password was chosen in it.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn password_changed_before(
        &self,
        at: AtSite<'_>,
        session: &SessionId,
        passwords: &NewPasswordAtSite,
    ) -> Result<Option<Box<NewCookies>>> {
        self.sign_ins.cookies_of_form(&self.proof_of_passwords(at, session, passwords)).await
    }

    fn proof_of_passwords(&self, at: AtSite<'_>, session: &SessionId, passwords: &NewPasswordAtSite) -> FormProof {
        let form = session_form(at, session);
        let typed = [b"change password", passwords.current.expose().as_bytes(), passwords.new.expose().as_bytes()];
        let proof = form_id::proof(&self.runtime.sealing, &form, &typed);
        // A session has many forms; the hash tells them apart.
        let id = proof.first_chunk::<16>().copied().unwrap_or(form.id);
        FormProof { id, proof }
    }
}

/// The forms of a session's account page. They have the token that is bound to the session, and no ids of their own.
pub(super) fn session_form(at: AtSite<'_>, session: &SessionId) -> FormId {
    let ulid = session.ulid();
    let issued_at = Timestamp::from_millis(i64::try_from(ulid.timestamp_ms()).unwrap_or_default());
    FormId { id: ulid.to_bytes(), site: origin(at.client), visitor: *at.visitor, issued_at }
}
