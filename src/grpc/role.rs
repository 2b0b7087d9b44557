//! `RoleService`.

use tonic::{Request, Response, Status};

use super::{
    admin::{Mask, Page, creation, etag, revision},
    call::Call,
    convert::{no_nul, time},
    proto::pb::{self, role_service_server::RoleService},
};
use crate::{
    domain::role::Role,
    error::{Error, Result as ServiceResult},
    service::{NewRoleRequest, RolePatch},
};

/// Implements `RoleService` for one call.
#[derive(Debug)]
pub(super) struct Roles(pub(super) Call);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RoleService for Roles {
    async fn create_role(&self, request: Request<pb::CreateRoleRequest>) -> Answer<pb::CreateRoleResponse> {
        let admin = self.0.admin()?;
        let done = async { self.0.service.roles.create(admin, new_role(request.into_inner())?).await };
        let role = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::CreateRoleResponse { role: Some(self.role(&role)) }))
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Answer<pb::GetRoleResponse> {
        let admin = self.0.admin()?;
        let role = self.0.service.roles.get(admin, &request.get_ref().role_id).map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::GetRoleResponse { role: Some(self.role(&role)) }))
    }

    async fn list_roles(&self, request: Request<pb::ListRolesRequest>) -> Answer<pb::ListRolesResponse> {
        let admin = self.0.admin()?;
        let message = request.get_ref();
        let page = Page::new("Roles", "", (message.page_size, &message.page_token)).map_err(|e| self.0.status(&e))?;
        let all = self.0.service.roles.list(admin).into_iter().map(|r| (r.id.as_str().to_owned(), r));
        let (roles, next_page_token) = page.cut_sorted(all);
        let roles = roles.iter().map(|r| self.role(r)).collect();
        Ok(Response::new(pb::ListRolesResponse { roles, next_page_token }))
    }

    async fn update_role(&self, request: Request<pb::UpdateRoleRequest>) -> Answer<pb::UpdateRoleResponse> {
        let admin = self.0.admin()?;
        let done = async {
            let pb::UpdateRoleRequest { role, update_mask } = request.into_inner();
            let role = role.ok_or_else(|| Error::invalid("role", "must be given"))?;
            let mask = Mask::new(update_mask, &["description", "permissions", "require_mfa"])?;
            let (name, revision) = (role.role_id.clone(), revision(&role.etag)?);
            self.0.service.roles.update(admin, &name, patch(role, &mask)?, revision).await
        };
        let role = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::UpdateRoleResponse { role: Some(self.role(&role)) }))
    }

    async fn delete_role(&self, request: Request<pb::DeleteRoleRequest>) -> Answer<pb::DeleteRoleResponse> {
        let admin = self.0.admin()?;
        self.0.service.roles.delete(admin, &request.get_ref().role_id).await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DeleteRoleResponse {}))
    }
}

impl Roles {
    fn role(&self, role: &Role) -> pb::Role {
        pb::Role {
            role_id: role.id.as_str().to_owned(),
            name: role.name.to_string(),
            description: role.description.clone(),
            permissions: self.0.service.roles.permission_names_of(role),
            built_in: role.built_in.is_some(),
            require_mfa: role.require_mfa,
            create_time: Some(time(role.created_at)),
            update_time: Some(time(role.updated_at)),
            etag: etag(role.revision),
        }
    }
}

fn new_role(mut message: pb::CreateRoleRequest) -> ServiceResult<NewRoleRequest> {
    let request_id = std::mem::take(&mut message.request_id);
    let creation = creation(&request_id, &message)?;
    let role = message.role.ok_or_else(|| Error::invalid("role", "must be given"))?;
    let pb::Role { name, description, permissions, require_mfa, .. } = role;
    Ok(NewRoleRequest { name, description, permissions, require_mfa, creation })
}

fn patch(role: pb::Role, mask: &Mask) -> ServiceResult<RolePatch> {
    no_nul(&[("description", &role.description)])?;
    let (no_text, no_permissions) = (role.description.is_empty(), role.permissions.is_empty());
    Ok(RolePatch {
        description: mask.take("description", role.description, no_text),
        permissions: mask.take("permissions", role.permissions, no_permissions),
        require_mfa: mask.take("require_mfa", role.require_mfa, !role.require_mfa),
    })
}
