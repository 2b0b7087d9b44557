//! `UserService`.

use prost_types::Struct;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use super::{
    admin::{Mask, Page, creation, etag, parse_bool, parse_terms, revision, unsupported_term, wire_count},
    call::Call,
    convert::{no_nul, time},
    import,
    proto::pb::{self, user_service_server::UserService},
    structs::{from_struct, to_struct},
};
use crate::{
    domain::{
        filter::{Comparison, Pattern, Term},
        login::{Login, LoginKind},
        session::Session,
        user::{NameRange, UserFilter},
    },
    error::{Error, Result as ServiceResult},
    secret::Password,
    service::{Admin, NewUserRequest, OwnFactors, Service, UserPasswordReset, UserPatch, UserView},
};

/// Implements `UserService` for one call.
#[derive(Debug)]
pub(super) struct Users(pub(super) Call);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl UserService for Users {
    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Answer<pb::CreateUserResponse> {
        let admin = self.0.admin()?;
        let done = async {
            let user = self.0.service.users.create(admin, new_user(request.into_inner())?).await?;
            self.0.service.users.get(admin, user.id.as_str()).await
        };
        let view = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::CreateUserResponse { user: Some(self.user(view)) }))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Answer<pb::GetUserResponse> {
        let admin = self.0.admin()?;
        let view = self.0.service.users.get(admin, &self.user_id(&request.get_ref().user_id)?).await;
        let view = view.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::GetUserResponse { user: Some(self.user(view)) }))
    }

    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Answer<pb::ListUsersResponse> {
        let admin = self.0.admin()?;
        let (views, next_page_token) = self.page(admin, request.get_ref()).await.map_err(|e| self.0.status(&e))?;
        let users = views.into_iter().map(|v| self.user(v)).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Answer<pb::UpdateUserResponse> {
        let admin = self.0.admin()?;
        let done = async {
            let pb::UpdateUserRequest { user, update_mask } = request.into_inner();
            let user = user.ok_or_else(|| Error::invalid("user", "must be given"))?;
            let (name, version) = (user_id(&user.user_id)?, revision(&user.etag)?);
            let patch = patch(user, &Mask::new(update_mask, &["name", "emails", "attributes", "language"])?)?;
            self.0.service.users.update(admin, &name, &patch, version).await
        };
        let view = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::UpdateUserResponse { user: Some(self.user(view)) }))
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Answer<pb::DeleteUserResponse> {
        let admin = self.0.admin()?;
        let message = request.into_inner();
        let user = self.user_id(&message.user_id)?;
        let version = revision(&message.etag).map_err(|e| self.0.status(&e))?;
        let ended = self.0.service.users.delete(admin, &user, version).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DeleteUserResponse { sessions_ended: wire_count(ended.sessions) }))
    }

    async fn disable_user(&self, request: Request<pb::DisableUserRequest>) -> Answer<pb::DisableUserResponse> {
        let admin = self.0.admin()?;
        let user = self.user_id(&request.get_ref().user_id)?;
        let ended = self.0.service.users.disable(admin, &user).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DisableUserResponse { sessions_ended: wire_count(ended.map_or(0, |e| e.sessions)) }))
    }

    async fn enable_user(&self, request: Request<pb::EnableUserRequest>) -> Answer<pb::EnableUserResponse> {
        let admin = self.0.admin()?;
        let user = self.user_id(&request.get_ref().user_id)?;
        self.0.service.users.enable(admin, &user).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::EnableUserResponse {}))
    }

    async fn request_user_password_reset(
        &self,
        request: Request<pb::RequestUserPasswordResetRequest>,
    ) -> Answer<pb::RequestUserPasswordResetResponse> {
        let admin = self.0.admin()?;
        let message = request.get_ref();
        let user = self.user_id(&message.user_id)?;
        let reset =
            UserPasswordReset { user: &user, client_id: &message.client_id, keep_current: message.keep_current };
        let done = self.0.service.users.start_reset(admin, reset).await;
        let done = done.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RequestUserPasswordResetResponse {
            sessions_ended: wire_count(done.ended.sessions),
            mailed: done.mailed,
        }))
    }

    async fn assign_user_role(
        &self,
        request: Request<pb::AssignUserRoleRequest>,
    ) -> Answer<pb::AssignUserRoleResponse> {
        let admin = self.0.admin()?;
        let (user, role) = (self.user_id(&request.get_ref().user_id)?, &request.get_ref().role_id);
        self.0.service.users.set_role(admin, &user, role, true).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::AssignUserRoleResponse {}))
    }

    async fn unassign_user_role(
        &self,
        request: Request<pb::UnassignUserRoleRequest>,
    ) -> Answer<pb::UnassignUserRoleResponse> {
        let admin = self.0.admin()?;
        let (user, role) = (self.user_id(&request.get_ref().user_id)?, &request.get_ref().role_id);
        self.0.service.users.set_role(admin, &user, role, false).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::UnassignUserRoleResponse {}))
    }

    async fn list_user_sessions(
        &self,
        request: Request<pb::ListUserSessionsRequest>,
    ) -> Answer<pb::ListUserSessionsResponse> {
        let admin = self.0.admin()?;
        let user = self.user_id(&request.get_ref().user_id)?;
        let message = request.get_ref();
        let done = async {
            let page = Page::new("UserSessions", &user, (message.page_size, &message.page_token))?;
            Ok(page.cut_sorted(self.0.service.users.sessions(admin, &user).await?.into_iter().map(newest_first)))
        };
        let (all, next_page_token) = done.await.map_err(|e| self.0.status(&e))?;
        let sessions = all.into_iter().map(|s| session(s, "")).collect();
        Ok(Response::new(pb::ListUserSessionsResponse { sessions, next_page_token }))
    }

    async fn revoke_user_sessions(
        &self,
        request: Request<pb::RevokeUserSessionsRequest>,
    ) -> Answer<pb::RevokeUserSessionsResponse> {
        let admin = self.0.admin()?;
        let user = self.user_id(&request.get_ref().user_id)?;
        let ended = self.0.service.users.end_sessions(admin, &user, &request.get_ref().session_ids).await;
        let ended = ended.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::RevokeUserSessionsResponse {
            sessions_ended: wire_count(ended.sessions),
            access_token_valid_until: ended.token_end.map(time),
        }))
    }

    async fn list_user_factors(
        &self,
        request: Request<pb::ListUserFactorsRequest>,
    ) -> Answer<pb::ListUserFactorsResponse> {
        let admin = self.0.admin()?;
        let user = self.user_id(&request.get_ref().user_id)?;
        let of_user = self.0.service.users.factors(admin, &user).await;
        let OwnFactors { factors, recovery_codes_left } = of_user.map_err(|e| self.0.status(&e))?;
        let factors = factors.into_iter().map(Into::into).collect();
        let recovery_codes_left = wire_count(usize::try_from(recovery_codes_left).unwrap_or_default());
        Ok(Response::new(pb::ListUserFactorsResponse { factors, recovery_codes_left }))
    }

    async fn remove_user_factor(
        &self,
        request: Request<pb::RemoveUserFactorRequest>,
    ) -> Answer<pb::RemoveUserFactorResponse> {
        let admin = self.0.admin()?;
        let pb::RemoveUserFactorRequest { user_id, factor_id } = request.get_ref();
        let user = self.user_id(user_id)?;
        no_nul(&[("factor_id", factor_id)]).map_err(|e| self.0.status(&e))?;
        let factor = Some(factor_id.as_str()).filter(|id| !id.is_empty());
        let removed = self.0.service.users.remove_factor(admin, &user, factor).await;
        let factors_removed = wire_count(removed.map_err(|e| self.0.status(&e))?);
        Ok(Response::new(pb::RemoveUserFactorResponse { factors_removed }))
    }

    async fn import_users(
        &self,
        request: Request<tonic::Streaming<pb::ImportUsersRequest>>,
    ) -> Answer<pb::ImportUsersResponse> {
        let admin = self.0.admin()?;
        let imported = import::import(&self.0, admin, request.into_inner()).await?;
        Ok(Response::new(imported))
    }
}

impl Users {
    async fn page(&self, admin: &Admin, message: &pb::ListUsersRequest) -> ServiceResult<(Vec<UserView>, String)> {
        let page = Page::new("Users", &message.filter, (message.page_size, &message.page_token))?;
        let (mut filter, mut exact) = (UserFilter::default(), None);
        for term in parse_terms(&message.filter)? {
            match (term.field.as_str(), term.comparison) {
                ("disabled", _) => filter.disabled = Some(parse_bool(&term)?),
                ("role", Comparison::Equal) => filter.role = Some(self.role(admin, &term)?),
                ("name", Comparison::Equal) if filter.name.is_none() => match name_range(&term)? {
                    Some(range) => filter.name = Some(range),
                    None => return Ok((Vec::new(), String::new())),
                },
                ("email", Comparison::Equal) if filter.email.is_none() => match Login::parse(&term.value) {
                    Ok(email) if email.kind() == LoginKind::Email => {
                        filter.email = Some(email.canonical().to_owned());
                    }
                    _ => return Ok((Vec::new(), String::new())),
                },
                ("login" | "subject", Comparison::Equal) if exact.is_none() => exact = Some(term),
                _ => return Err(unsupported_term(&term)),
            }
        }
        let views = match exact {
            None => self.0.service.users.list(admin, &filter, &page.after, page.limit()).await?,
            Some(term) => {
                self.0.service.users.find_exact(admin, &filter, &term.field, &term.value).await?.into_iter().collect()
            }
        };
        Ok(page.cut(views, |v| v.user.id.as_str()))
    }

    fn role(&self, admin: &Admin, term: &Term) -> ServiceResult<crate::id::RoleId> {
        let role = self.0.service.roles.get(admin, &term.value);
        role.map(|r| r.id).map_err(|_| Error::invalid("filter", format!("role {:?} does not exist", term.value)))
    }

    /// Checks a user id or name in a request.
    fn user_id(&self, text: &str) -> Result<String, Status> {
        user_id(text).map_err(|e| self.0.status(&e))
    }

    fn user(&self, view: UserView) -> pb::User {
        user(&self.0.service, view)
    }
}

/// The id, login or subject of a user. PostgreSQL refuses NUL.
fn user_id(text: &str) -> ServiceResult<String> {
    no_nul(&[("user_id", text)])?;
    if text.is_empty() { Err(Error::invalid("user_id", "must not be empty")) } else { Ok(text.to_owned()) }
}

/// A user as a message.
pub(super) fn user(service: &Service, view: UserView) -> pb::User {
    let (emails, names): (Vec<String>, Vec<String>) = view.logins.into_iter().partition(|l| l.contains('@'));
    let user = view.user;
    pb::User {
        user_id: user.id.as_str().to_owned(),
        subject: user.subject,
        name: names.into_iter().next().unwrap_or_default(),
        emails,
        attributes: Some(to_struct(user.attributes)),
        roles: service.roles.names(&view.roles),
        disable_time: user.disabled_at.map(time),
        create_time: Some(time(user.created_at)),
        etag: etag(user.security_version),
        language: user.language.map(|language| language.as_str().to_owned()).unwrap_or_default(),
    }
}

/// The names that a term matches; `None` if no valid name can match.
fn name_range(term: &Term) -> ServiceResult<Option<NameRange>> {
    let pattern = term.pattern().map_err(|problem| Error::invalid("filter", problem))?;
    Ok(match pattern {
        Pattern::Prefix(text) => Login::canonical_name_prefix(&text).map(NameRange::prefix),
        Pattern::Exact(text) => match Login::parse(&text) {
            Ok(name) if name.kind() == LoginKind::Name => Some(NameRange::exact(name.canonical().to_owned())),
            _ => None,
        },
    })
}

/// A session as a message. `current` is the id of the caller's own session, or empty.
pub(super) fn session(s: Session, current: &str) -> pb::Session {
    pb::Session {
        current: s.id.as_str() == current,
        session_id: s.id.as_str().to_owned(),
        client_id: s.client.as_str().to_owned(),
        create_time: Some(time(s.created_at)),
        last_use_time: Some(time(s.rotated_at)),
        expire_time: Some(time(s.expires_at())),
        device_label: s.device_label,
        user_agent: s.user_agent,
        address: s.address,
    }
}

/// Pairs a session with a sort key that puts newer sessions first.
pub(super) fn newest_first(s: Session) -> (String, Session) {
    (format!("{:019}{}", i64::MAX - s.created_at.millis(), s.id), s)
}

fn new_user(mut message: pb::CreateUserRequest) -> ServiceResult<NewUserRequest> {
    let request_id = std::mem::take(&mut message.request_id);
    // The idempotency record must not contain the password.
    let password = std::mem::take(&mut message.password);
    let creation = creation(&request_id, &message)?;
    let user = message.user.ok_or_else(|| Error::invalid("user", "must be given"))?;
    no_nul(&[("name", &user.name), ("subject", &user.subject), ("password", &password)])?;
    Ok(NewUserRequest {
        name: user.name,
        emails: user.emails,
        subject: (!user.subject.is_empty()).then_some(user.subject),
        password: (!password.is_empty()).then(|| Password::new(password)),
        attributes: parse_attributes(user.attributes)?,
        language: user.language,
        roles: user.roles,
        creation,
    })
}

fn patch(user: pb::User, mask: &Mask) -> ServiceResult<UserPatch> {
    let (no_name, no_emails, no_attributes) = (user.name.is_empty(), user.emails.is_empty(), user.attributes.is_none());
    let no_language = user.language.is_empty();
    let new_attributes = mask.take("attributes", user.attributes, no_attributes);
    Ok(UserPatch {
        name: mask.take("name", user.name, no_name),
        emails: mask.take("emails", user.emails, no_emails),
        attributes: new_attributes.map(parse_attributes).transpose()?,
        language: mask.take("language", user.language, no_language),
    })
}

fn parse_attributes(message: Option<Struct>) -> ServiceResult<Map<String, Value>> {
    message.map_or_else(|| Ok(Map::new()), |message| from_struct("attributes", message))
}
