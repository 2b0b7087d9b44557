//! What the administrators' methods refuse.

use chancery::grpc::pb;
use prost::Message;

use super::World;
use crate::texts::{base::Caller, messages::mask};

impl World<'_> {
    pub(super) async fn users(&mut self) {
        let user = |user_id: &str, name: &str, etag: &str| {
            let user = pb::User { user_id: user_id.into(), name: name.into(), etag: etag.into(), ..Default::default() };
            pb::UpdateUserRequest { user: Some(user), update_mask: mask(&["name"]) }
        };
        let create = |name: &str| pb::CreateUserRequest { user: user("", name, "").user, ..Default::default() };
        self.refuses("UserService/CreateUser", "INVALID_ARGUMENT", create("a b")).await;
        self.refuses("UserService/CreateUser", "ALREADY_EXISTS", create("ada")).await;
        let page = pb::ListUsersRequest { filter: "x".into(), ..Default::default() };
        self.refuses("UserService/ListUsers", "INVALID_ARGUMENT", page).await;
        for (want, message) in [
            ("INVALID_ARGUMENT", user("ada", "a b", "")),
            ("NOT_FOUND", user("nobody", "x", "")),
            ("FAILED_PRECONDITION", user("twin", "x", "")),
            ("ALREADY_EXISTS", user("ada", "other", "")),
            ("ETAG_MISMATCH", user("ada", "x", "\"99\"")),
        ] {
            self.refuses("UserService/UpdateUser", want, message).await;
        }
        let deletion = pb::DeleteUserRequest { user_id: "ada".into(), etag: "\"99\"".into() };
        self.refuses("UserService/DeleteUser", "ETAG_MISMATCH", deletion).await;
        // The numbers of the fields are the same in all of these requests.
        for (method, other) in [
            ("GetUser", ""),
            ("DeleteUser", ""),
            ("DisableUser", ""),
            ("EnableUser", ""),
            ("RequestUserPasswordReset", "web"),
            ("AssignUserRole", "auditor"),
            ("UnassignUserRole", "auditor"),
            ("ListUserSessions", ""),
            ("RevokeUserSessions", ""),
        ] {
            for (user_id, want) in [("", "INVALID_ARGUMENT"), ("nobody", "NOT_FOUND"), ("twin", "FAILED_PRECONDITION")]
            {
                let message = pb::AssignUserRoleRequest { user_id: user_id.into(), role_id: other.into() };
                self.refuses(&format!("UserService/{method}"), want, message).await;
            }
        }
        let many = pb::ImportUsersRequest { users: vec![pb::ImportedUser::default(); 1001] };
        self.refuses("UserService/ImportUsers", "INVALID_ARGUMENT", many).await;
    }

    pub(super) async fn clients_and_roles(&mut self) {
        let client = |client_id: &str, etag: &str| pb::Client {
            client_id: client_id.into(),
            etag: etag.into(),
            scopes: vec!["read".into()],
            ..Default::default()
        };
        let create = |id: &str| pb::CreateClientRequest { client: Some(client(id, "")), ..Default::default() };
        let update =
            |id: &str, etag: &str| pb::UpdateClientRequest { client: Some(client(id, etag)), update_mask: None };
        self.refuses("ClientService/CreateClient", "INVALID_ARGUMENT", create("a b")).await;
        self.refuses("ClientService/CreateClient", "ALREADY_EXISTS", create("app")).await;
        self.refuses(
            "ClientService/ListClients",
            "INVALID_ARGUMENT",
            pb::ListClientsRequest { filter: "x".into(), ..Default::default() },
        )
        .await;
        self.refuses("ClientService/UpdateClient", "INVALID_ARGUMENT", pb::UpdateClientRequest::default()).await;
        self.refuses("ClientService/UpdateClient", "NOT_FOUND", update("nobody", "")).await;
        self.refuses("ClientService/UpdateClient", "ETAG_MISMATCH", update("app", "\"99\"")).await;
        for method in ["GetClient", "DeleteClient", "DisableClient", "EnableClient", "RotateClientSecret"] {
            let message = pb::GetClientRequest { client_id: "nobody".into() };
            self.refuses(&format!("ClientService/{method}"), "NOT_FOUND", message).await;
        }
        for method in ["AssignClientRole", "UnassignClientRole"] {
            let message = pb::AssignClientRoleRequest { client_id: "nobody".into(), role_id: "auditor".into() };
            self.refuses(&format!("ClientService/{method}"), "NOT_FOUND", message).await;
        }
        self.refuses(
            "ClientService/DeleteClient",
            "FAILED_PRECONDITION",
            pb::DeleteClientRequest { client_id: "app".into() },
        )
        .await;
        let rotate = |seconds| pb::RotateClientSecretRequest {
            client_id: "app".into(),
            overlap: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        self.refuses("ClientService/RotateClientSecret", "INVALID_ARGUMENT", rotate(-1)).await;
        self.refuses("ClientService/RotateClientSecret", "FAILED_PRECONDITION", rotate(60)).await;

        let role = |role_id: &str, name: &str, etag: &str| pb::Role {
            role_id: role_id.into(),
            name: name.into(),
            etag: etag.into(),
            description: "x".into(),
            ..Default::default()
        };
        let create = |name: &str| pb::CreateRoleRequest { role: Some(role("", name, "")), ..Default::default() };
        let update = |id: &str, etag: &str| pb::UpdateRoleRequest { role: Some(role(id, "", etag)), update_mask: None };
        self.refuses("RoleService/CreateRole", "INVALID_ARGUMENT", create("a b")).await;
        self.refuses("RoleService/CreateRole", "ALREADY_EXISTS", create("auditor")).await;
        self.refuses("RoleService/GetRole", "NOT_FOUND", pb::GetRoleRequest { role_id: "nothing".into() }).await;
        self.refuses(
            "RoleService/ListRoles",
            "INVALID_ARGUMENT",
            pb::ListRolesRequest { page_token: "x".into(), ..Default::default() },
        )
        .await;
        self.refuses("RoleService/UpdateRole", "INVALID_ARGUMENT", pb::UpdateRoleRequest::default()).await;
        self.refuses("RoleService/UpdateRole", "NOT_FOUND", update("nothing", "")).await;
        self.refuses("RoleService/UpdateRole", "FAILED_PRECONDITION", update("auditor", "")).await;
        let administrator = self.bases.credentials(Caller::Administrator);
        let (_, good) = self.bases.request("/chancery.v1.RoleService/UpdateRole").await;
        let mut good = pb::UpdateRoleRequest::decode(good.encoded.as_slice()).unwrap();
        good.role.as_mut().unwrap().etag = "\"99\"".into();
        self.gives("RoleService/UpdateRole", "ETAG_MISMATCH", administrator.as_deref(), good).await;
        self.refuses("RoleService/DeleteRole", "NOT_FOUND", pb::DeleteRoleRequest { role_id: "nothing".into() }).await;
        self.refuses(
            "RoleService/DeleteRole",
            "FAILED_PRECONDITION",
            pb::DeleteRoleRequest { role_id: "auditor".into() },
        )
        .await;
    }
}
