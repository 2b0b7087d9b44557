//! Whether a user can be created, asked before.

use super::{NewUserRequest, Users, check_new_user};
use crate::{error::Result, service::access::Admin, store::TakenName};

impl Users {
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
