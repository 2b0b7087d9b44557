//! `UserService`.

use prost_types::Struct;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use super::{
    admin::{Mask, Need, Page, admit, count, creation, etag, revision, terms, truth, unknown_term},
    convert::{no_nul, time},
    import,
    proto::pb::{self, user_service_server::UserService},
    status::status,
    structs::{from_struct, to_struct},
};
use crate::{
    domain::{
        filter::{Comparison, Pattern, Term},
        login::{Login, LoginKind},
        permission::{ROLES_ASSIGN, USERS_IMPORT, USERS_READ, USERS_WRITE},
        session::Session,
    },
    error::{Error, Result as ServiceResult},
    secret::Password,
    service::{Act, NameRange, NewUserRequest, Service, UserFilter, UserPatch, UserView},
};

/// The service behind the messages.
#[derive(Clone, Debug)]
pub(super) struct Users(pub(super) Service);

const READ: Need = (USERS_READ, Act::Read);
const WRITE: Need = (USERS_WRITE, Act::Write);
const IMPORT: Need = (USERS_IMPORT, Act::Write);
const ASSIGN: Need = (ROLES_ASSIGN, Act::Write);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl UserService for Users {
    async fn create_user(&self, request: Request<pb::CreateUserRequest>) -> Answer<pb::CreateUserResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let done = async {
            let user = self.0.user_create(&admin, new_user(request.into_inner())?).await?;
            self.0.user_find(user.id.as_str()).await
        };
        let view = done.await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::CreateUserResponse { user: Some(self.user(view)) }))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Answer<pb::GetUserResponse> {
        let (ctx, _) = admit(&self.0, &request, READ).await?;
        let view = self.0.user_find(&named(&request.get_ref().user_id, &ctx)?).await;
        let view = view.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::GetUserResponse { user: Some(self.user(view)) }))
    }

    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Answer<pb::ListUsersResponse> {
        let (ctx, _) = admit(&self.0, &request, READ).await?;
        let (views, next_page_token) = self.page(request.get_ref()).await.map_err(|e| status(&ctx, &e))?;
        let users = views.into_iter().map(|v| self.user(v)).collect();
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Answer<pb::UpdateUserResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let done = async {
            let pb::UpdateUserRequest { user, update_mask } = request.into_inner();
            let user = user.ok_or_else(|| Error::invalid("user", "must be given"))?;
            let (name, version) = (user.user_id.clone(), revision(&user.etag)?);
            let patch = patch(user, &Mask::new(update_mask, &["name", "emails", "attributes"])?)?;
            self.0.user_update(&admin, &name, &patch, version).await
        };
        let view = done.await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::UpdateUserResponse { user: Some(self.user(view)) }))
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Answer<pb::DeleteUserResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let message = request.into_inner();
        let user = named(&message.user_id, &ctx)?;
        let version = revision(&message.etag).map_err(|e| status(&ctx, &e))?;
        let ended = self.0.user_delete(&admin, &user, version).await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::DeleteUserResponse { sessions_ended: count(ended) }))
    }

    async fn disable_user(&self, request: Request<pb::DisableUserRequest>) -> Answer<pb::DisableUserResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let user = named(&request.get_ref().user_id, &ctx)?;
        let ended = self.0.user_disable(&admin, &user).await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::DisableUserResponse { sessions_ended: count(ended) }))
    }

    async fn enable_user(&self, request: Request<pb::EnableUserRequest>) -> Answer<pb::EnableUserResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let user = named(&request.get_ref().user_id, &ctx)?;
        self.0.user_enable(&admin, &user).await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::EnableUserResponse {}))
    }

    async fn request_user_password_reset(
        &self,
        request: Request<pb::RequestUserPasswordResetRequest>,
    ) -> Answer<pb::RequestUserPasswordResetResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let message = request.get_ref();
        let user = named(&message.user_id, &ctx)?;
        let done = self.0.user_start_reset(&admin, (&user, &message.client_id), message.keep_current).await;
        let (ended, mailed) = done.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::RequestUserPasswordResetResponse { sessions_ended: count(ended), mailed }))
    }

    async fn assign_user_role(
        &self,
        request: Request<pb::AssignUserRoleRequest>,
    ) -> Answer<pb::AssignUserRoleResponse> {
        let (ctx, admin) = admit(&self.0, &request, ASSIGN).await?;
        let (user, role) = (named(&request.get_ref().user_id, &ctx)?, &request.get_ref().role_id);
        self.0.user_set_role(&admin, &user, role, true).await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::AssignUserRoleResponse {}))
    }

    async fn unassign_user_role(
        &self,
        request: Request<pb::UnassignUserRoleRequest>,
    ) -> Answer<pb::UnassignUserRoleResponse> {
        let (ctx, admin) = admit(&self.0, &request, ASSIGN).await?;
        let (user, role) = (named(&request.get_ref().user_id, &ctx)?, &request.get_ref().role_id);
        self.0.user_set_role(&admin, &user, role, false).await.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::UnassignUserRoleResponse {}))
    }

    async fn list_user_sessions(
        &self,
        request: Request<pb::ListUserSessionsRequest>,
    ) -> Answer<pb::ListUserSessionsResponse> {
        let (ctx, _) = admit(&self.0, &request, READ).await?;
        let user = named(&request.get_ref().user_id, &ctx)?;
        let message = request.get_ref();
        let done = async {
            let page = Page::new("UserSessions", &user, (message.page_size, &message.page_token))?;
            Ok(page.of_sorted(self.0.sessions_list(&user).await?.into_iter().map(newest_first)))
        };
        let (all, next_page_token) = done.await.map_err(|e| status(&ctx, &e))?;
        let sessions = all.into_iter().map(|s| session(s, "")).collect();
        Ok(Response::new(pb::ListUserSessionsResponse { sessions, next_page_token }))
    }

    async fn revoke_user_sessions(
        &self,
        request: Request<pb::RevokeUserSessionsRequest>,
    ) -> Answer<pb::RevokeUserSessionsResponse> {
        let (ctx, admin) = admit(&self.0, &request, WRITE).await?;
        let user = named(&request.get_ref().user_id, &ctx)?;
        let ended = self.0.user_end_sessions(&admin, &user, &request.get_ref().session_ids).await;
        let ended = ended.map_err(|e| status(&ctx, &e))?;
        Ok(Response::new(pb::RevokeUserSessionsResponse { sessions_ended: count(ended) }))
    }

    async fn import_users(
        &self,
        request: Request<tonic::Streaming<pb::ImportUsersRequest>>,
    ) -> Answer<pb::ImportUsersResponse> {
        let (ctx, admin) = admit(&self.0, &request, IMPORT).await?;
        let imported = import::import(&self.0, &admin, &ctx, request.into_inner()).await?;
        Ok(Response::new(imported))
    }
}

impl Users {
    async fn page(&self, message: &pb::ListUsersRequest) -> ServiceResult<(Vec<UserView>, String)> {
        let page = Page::new("Users", &message.filter, (message.page_size, &message.page_token))?;
        let (mut filter, mut exact) = (UserFilter::default(), None);
        for term in terms(&message.filter)? {
            match (term.field.as_str(), term.comparison) {
                ("disabled", _) => filter.disabled = Some(truth(&term)?),
                ("role", Comparison::Equal) => filter.role = Some(self.role(&term)?),
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
                _ => return Err(unknown_term(&term)),
            }
        }
        let views = match exact {
            None => self.0.users_list(&filter, &page.after, page.limit()).await?,
            Some(term) => self.0.user_exactly(&filter, &term.field, &term.value).await?.into_iter().collect(),
        };
        Ok(page.cut(views, |v| v.user.id.as_str()))
    }

    fn role(&self, term: &Term) -> ServiceResult<crate::id::RoleId> {
        let role = self.0.role_find(&term.value);
        role.map(|r| r.id).map_err(|_| Error::invalid("filter", format!("there is no role {:?}", term.value)))
    }

    fn user(&self, view: UserView) -> pb::User {
        user(&self.0, view)
    }
}

/// A user on the wire.
pub(super) fn user(service: &Service, view: UserView) -> pb::User {
    let (emails, names): (Vec<String>, Vec<String>) = view.logins.into_iter().partition(|l| l.contains('@'));
    let user = view.user;
    pb::User {
        user_id: user.id.as_str().to_owned(),
        subject: user.subject,
        name: names.into_iter().next().unwrap_or_default(),
        emails,
        attributes: Some(to_struct(user.attributes)),
        roles: service.role_names(&view.roles),
        disable_time: user.disabled_at.map(time),
        create_time: Some(time(user.created_at)),
        etag: etag(user.security_version),
    }
}

/// The names that a term asks for; none if no name can be like that.
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

/// A user's name in a message: PostgreSQL takes no NUL.
fn named(text: &str, ctx: &crate::service::RequestContext) -> Result<String, Status> {
    no_nul(&[("user_id", text)]).map(|()| text.to_owned()).map_err(|e| status(ctx, &e))
}

/// A session as its user and administrators see it; `own` is the caller's.
pub(super) fn session(s: Session, own: &str) -> pb::Session {
    pb::Session {
        current: s.id.as_str() == own,
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

/// A session, with a key that is smaller the newer it is.
pub(super) fn newest_first(s: Session) -> (String, Session) {
    (format!("{:019}{}", i64::MAX - s.created_at.millis(), s.id), s)
}

fn new_user(mut message: pb::CreateUserRequest) -> ServiceResult<NewUserRequest> {
    let request_id = std::mem::take(&mut message.request_id);
    // A password is no part of what is remembered of a creation.
    let password = std::mem::take(&mut message.password);
    let creation = creation(&request_id, &message)?;
    let user = message.user.ok_or_else(|| Error::invalid("user", "must be given"))?;
    no_nul(&[("name", &user.name), ("subject", &user.subject), ("password", &password)])?;
    Ok(NewUserRequest {
        name: user.name,
        emails: user.emails,
        subject: (!user.subject.is_empty()).then_some(user.subject),
        password: (!password.is_empty()).then(|| Password::new(password)),
        attributes: attributes(user.attributes)?,
        roles: user.roles,
        creation,
    })
}

fn patch(user: pb::User, mask: &Mask) -> ServiceResult<UserPatch> {
    let (no_name, no_emails, no_facts) = (user.name.is_empty(), user.emails.is_empty(), user.attributes.is_none());
    let facts = mask.take("attributes", user.attributes, no_facts);
    Ok(UserPatch {
        name: mask.take("name", user.name, no_name),
        emails: mask.take("emails", user.emails, no_emails),
        attributes: facts.map(attributes).transpose()?,
    })
}

fn attributes(message: Option<Struct>) -> ServiceResult<Map<String, Value>> {
    message.map_or_else(|| Ok(Map::new()), |message| from_struct("attributes", message))
}
