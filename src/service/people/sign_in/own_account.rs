//! Sessions that follow from what people do with their own accounts at a page: the first one of a new account, and the
//! one that replaces another when the password has changed.

use super::{
    Device, Goal, SignInCall, SignIns, VerifiedUser,
    goal::{BrowserGoal, PresentSession},
    opening::{Opened, OpenedSession, Spend},
    page::{FormProof, NewCookies, PageSignedIn},
    state::Basis,
};
use crate::{
    domain::{
        client::Client,
        factor::{Method, Methods},
        site::Site,
        user::User,
    },
    error::{Error, Result},
    id::{SessionId, UserId},
    service::{
        access::{RequestContext, TOKEN_REFUSED},
        people::person::Person,
    },
};

impl SignIns {
    /// Signs the owner of an account in that was just opened, in the browser that asked for it. The form is spent with
    /// it. Nothing where two factors are demanded: they are set up at the first sign-in.
    ///
    /// # Errors
    /// If the user has changed meanwhile, or the database is unreachable.
    pub(in crate::service) async fn sign_in_new_account(
        &self,
        ctx: &RequestContext,
        client: &Client,
        user: User,
        (goal, form): (BrowserGoal, FormProof),
        guest: Option<&SessionId>,
    ) -> Result<Option<PageSignedIn>> {
        let call = at_page(ctx, client, goal);
        let verified = || VerifiedUser::new(user.clone(), Vec::new(), Methods::password());
        if self.demands_two_factors(&call, &verified()) {
            return Ok(None);
        }
        let spending = |opened: &OpenedSession| self.spending(Some(&form), opened, &call, None);
        let guest = guest.and_then(|id| PresentSession { id: id.clone(), user: None }.guest_of(client));
        // The guest's session may have ended a moment ago: then there is nothing to join.
        for guest in [guest.as_ref(), None] {
            let spend = Spend { form: Some(&spending), guest, ..Spend::default() };
            match self.open_session(ctx, &call, verified(), spend).await? {
                Opened::Session(opened) => {
                    return Ok(Some(PageSignedIn::Session(Box::new(self.cookies(&opened, &call, None)))));
                }
                Opened::Spent => return Ok(Some(PageSignedIn::FormSpent)),
                Opened::BasisEnded => {}
            }
        }
        Err(TOKEN_REFUSED)
    }

    /// Opens a session that replaces another one of the same user, who has just shown this, at a computer that is shared or
    /// not. The form is spent with it.
    ///
    /// # Errors
    /// If the session or the user has changed meanwhile, or the database is unreachable.
    pub(in crate::service) async fn renew_session(
        &self,
        ctx: &RequestContext,
        client: &Client,
        (user, session, shared): (&UserId, &SessionId, bool),
        (form, shown): (&FormProof, Method),
    ) -> Result<NewCookies> {
        let mut tx = self.store.read().await?;
        let user = tx.user_by_id(user).await?.ok_or(TOKEN_REFUSED)?;
        let roles = tx.roles_of_user(&user.id).await?;
        let before = tx.session_by_id(session).await?.ok_or(TOKEN_REFUSED)?;
        drop(tx);
        let site = client.config.site.as_ref().map(Site::origin).unwrap_or_default().to_owned();
        let goal = BrowserGoal { site, flow: String::new(), shared, two_factors: false, browser: None };
        let call = at_page(ctx, client, goal);
        // A second factor was shown when the old session was opened, and not since.
        let proved = Methods::of_amr(&before.amr).and(shown);
        let auth_time = proved.are_two_factors().then_some(before.auth_time);
        // A factor alone raises a session, and does not begin it anew.
        let basis = (shown != Method::Password).then(|| Basis::of(&before));
        let verified = VerifiedUser { auth_time, basis, ..VerifiedUser::new(user, roles, proved) };
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
    SignInCall {
        client,
        person: Person::at_browser(ctx),
        device: Device::default(),
        goal: Goal::Browser(goal),
        guest: None,
    }
}
