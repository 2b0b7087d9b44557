//! Whose logins are, and whether a user can be created.

use super::{NewUserRequest, Users, check_new_user};
use crate::{
    domain::login::Login,
    error::{Error, Result},
    service::{
        access::Admin,
        people::{UserView, load_view},
    },
    store::TakenName,
};

impl Users {
    /// The user who signs in with this name or address. Nobody else, whatever ids and subjects are.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn of_login(&self, _: &Admin, login: &str) -> Result<UserView> {
        let nobody = || Error::NotFound("user", login.to_owned());
        let canonical = Login::canonical_for_lookup(login).ok_or_else(nobody)?;
        let mut tx = self.store.read().await?;
        let found = tx.user_by_login(&canonical).await?.ok_or_else(nobody)?;
        load_view(&mut tx, found.user).await
    }

    /// What a new user would have that another one has: logins, which only look like another's, and a subject that was
    /// anybody's. Nothing of a request that is invalid.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn taken(&self, _: &Admin, request: &NewUserRequest) -> Result<Vec<TakenName>> {
        let Ok((logins, _)) = check_new_user(request) else { return Ok(Vec::new()) };
        let texts: Vec<&str> = logins.iter().flat_map(|login| [login.unique_key(), login.canonical()]).collect();
        let mut tx = self.store.read().await?;
        let mut taken = Vec::new();
        let like = if texts.is_empty() { Vec::new() } else { tx.logins_like(&texts).await? };
        for login in &logins {
            if like.iter().any(|(canonical, key)| canonical == login.canonical() || key == login.unique_key()) {
                taken.push(TakenName::of(login));
            }
        }
        if let Some(subject) = &request.subject
            && !tx.principals_taken(&[subject]).await?.is_empty()
        {
            taken.push(TakenName::Subject(subject.clone()));
        }
        Ok(taken)
    }
}
