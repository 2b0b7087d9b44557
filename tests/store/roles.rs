//! Roles, and their assignment to users.

use chancery::{
    domain::role::{BuiltIn, Role},
    domain::user::UserFilter,
    id::RoleId,
    time::Ttl,
};

use crate::fixture::{Fixture, NOW};

fn role(f: &Fixture, name: &str) -> Role {
    Role {
        require_mfa: false,
        id: RoleId::new(NOW, &*f.entropy),
        name: name.parse().unwrap(),
        description: "sees é".into(),
        permissions: vec![chancery::domain::scope::PermissionAt {
            audience: "orders".parse().unwrap(),
            permission: "orders.read".parse().unwrap(),
        }],
        built_in: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

async fn kept(f: &Fixture, role: &Role) {
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.role_insert(role).await.unwrap());
    tx.commit().await.unwrap();
}

pub(crate) async fn a_role_is_stored_unchanged_beside_the_built_in_ones(f: &Fixture) {
    let clerk = role(f, "clerk");
    kept(f, &clerk).await;
    let all = f.store.read().await.unwrap().roles_all().await.unwrap();
    let built_in: Vec<_> = all.iter().filter_map(|r| r.built_in).collect();
    assert_eq!(built_in, [BuiltIn::Administrator, BuiltIn::UserAdministrator, BuiltIn::Auditor]);
    assert_eq!(all.into_iter().find(|r| r.built_in.is_none()), Some(clerk));
    let mut tx = f.store.write().await.unwrap();
    assert!(!tx.role_insert(&role(f, "clerk")).await.unwrap());
    assert!(!tx.role_insert(&role(f, "administrator")).await.unwrap());
}

pub(crate) async fn a_role_is_changed_only_at_the_expected_revision(f: &Fixture) {
    let mut clerk = role(f, "clerk");
    kept(f, &clerk).await;
    clerk.permissions.clear();
    let later = NOW.plus(Ttl::from_secs(1));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.role_update(&clerk, later).await.unwrap());
    assert!(!tx.role_update(&clerk, later).await.unwrap());
    tx.commit().await.unwrap();
    let all = f.store.read().await.unwrap().roles_all().await.unwrap();
    let changed = all.into_iter().find(|r| r.id == clerk.id).unwrap();
    assert_eq!((changed.permissions.len(), changed.revision, changed.updated_at), (0, 2, later));
}

pub(crate) async fn roles_are_assigned_and_removed_once_and_assigned_ones_cannot_be_deleted(f: &Fixture) {
    let (ada, clerk) = (f.ada().await, role(f, "clerk"));
    kept(f, &clerk).await;
    let session = f.signed_in(&ada).await;
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_role_add(&ada.id, &clerk.id, NOW).await.unwrap());
    assert!(!tx.user_role_add(&ada.id, &clerk.id, NOW).await.unwrap());
    let roles = tx.roles_of_user(&ada.id).await.unwrap();
    assert_eq!(roles, std::slice::from_ref(&clerk.id));
    assert_eq!(tx.sessions_set_roles(&ada.id, &roles).await.unwrap(), 1);
    assert!(!tx.role_delete(&clerk.id).await.unwrap(), "somebody has it");
    tx.commit().await.unwrap();
    assert_eq!(f.stored(&session.id).await.roles, roles);
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_by_login("ada").await.unwrap().unwrap().roles, roles);
    let with_role = UserFilter { role: Some(clerk.id.clone()), disabled: Some(false), ..UserFilter::default() };
    assert_eq!(tx.users_page(&with_role, "", 10).await.unwrap().len(), 1);
    let both = [ada.id.clone(), f.user("x").user.id];
    assert_eq!(tx.roles_of_users(&both).await.unwrap(), [(ada.id.as_str().to_owned(), clerk.id.clone())]);
    assert_eq!(tx.logins_of_users(&both).await.unwrap(), [(ada.id.as_str().to_owned(), "ada".to_owned())]);
    assert!(tx.user_role_remove(&ada.id, &clerk.id).await.unwrap());
    assert!(!tx.user_role_remove(&ada.id, &clerk.id).await.unwrap());
    assert!(tx.users_page(&with_role, "", 10).await.unwrap().is_empty());
    assert!(tx.role_delete(&clerk.id).await.unwrap());
    assert!(!tx.role_delete(&"rol_00000000000000000000000001".parse().unwrap()).await.unwrap(), "built in");
}

pub(crate) async fn nobody_has_more_roles_than_the_maximum(f: &Fixture) {
    let ada = f.ada().await;
    let mut tx = f.store.write().await.unwrap();
    for n in 0..=64 {
        let role = role(f, &format!("role-{n}"));
        tx.role_insert(&role).await.unwrap();
        assert_eq!(tx.user_role_add(&ada.id, &role.id, NOW).await.unwrap(), n < 64, "{n}");
    }
}
