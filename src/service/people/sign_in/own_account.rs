//! Sessions that follow from what people do with their own accounts at a page: the first one of a new account, and the
//! one that replaces another when the password has changed.

use super::{
    Device, Goal, SignInCall, SignIns, VerifiedUser,
    goal::BrowserGoal,
    opening::{Opened, OpenedSession, Spend},
    page::{FormProof, NewCookies, PageSignedIn},
};
use crate::{
    domain::{client::Client, site::Site, user::User},
    error::{Error, Result},
    id::{SessionId, UserId},
    service::{
        access::{RequestContext, TOKEN_REFUSED},
        people::person::Person,
    },
};

impl SignIns {
    /// Signs the owner of an account in that was just opened, in the browser that asked for it. The form is spent with
    /// it.
    ///
    /// # Errors
    /// If the user has changed meanwhile, or the database is unreachable.
    pub(in crate::service) async fn sign_in_new_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        user: User,
        (goal, form): (BrowserGoal, FormProof),
    ) -> Result<PageSignedIn> {
        let call = at_page(ctx, client, goal);
        let verified = VerifiedUser { user, roles: Vec::new(), rehash: None, must_change: false };
        let spending = |opened: &OpenedSession| self.spending(Some(&form), opened, &call, None);
        let spend = Spend { form: Some(&spending), ..Spend::default() };
        Ok(match self.open_session(ctx, &call, verified, spend).await? {
            Opened::Session(opened) => PageSignedIn::Session(Box::new(self.cookies(&opened, &call, None))),
            Opened::Spent => PageSignedIn::FormSpent,
            Opened::BasisEnded => return Err(TOKEN_REFUSED),
        })
    }

    /// Opens a session that replaces another one of the same user, whose password was just checked. Whether others use
    /// the computer too is not known any more, so its cookie ends with the browser. The form is spent with it.
    ///
    /// # Errors
    /// If the session or the user has changed meanwhile, or the database is unreachable.
    pub(in crate::service) async fn renew_session(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (user, session): (&UserId, &SessionId),
        form: &FormProof,
    ) -> Result<NewCookies> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(user).await?.ok_or(TOKEN_REFUSED)?;
        let roles = tx.roles_of_user(&user.id).await?;
        drop(tx);
        let site = client.config.site.as_ref().map(Site::origin).unwrap_or_default().to_owned();
        let call = at_page(ctx, client, BrowserGoal { site, flow: String::new(), shared: true });
        let verified = VerifiedUser { user, roles, rehash: None, must_change: false };
        let spending = |opened: &OpenedSession| self.spending(Some(form), opened, &call, None);
        let spend = Spend { form: Some(&spending), supersedes: Some(session), ..Spend::default() };
        match self.open_session(ctx, &call, verified, spend).await? {
            Opened::Session(opened) => Ok(self.cookies(&opened, &call, None)),
            Opened::Spent => Err(Error::Conflict),
            Opened::BasisEnded => Err(TOKEN_REFUSED),
        }
    }
}

fn at_page<'a>(ctx: &RequestContext, client: &'a Client, goal: BrowserGoal) -> SignInCall<'a> {
    SignInCall { client, person: Person::at_browser(ctx), device: Device::default(), goal: Goal::Browser(goal) }
}
