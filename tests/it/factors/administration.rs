//! Clients and roles that demand two factors, and administrators who remove lost ones.

use chancery::{
    error::Reason,
    secret::{Password, TypedCode},
    service::{Act, Admin, ClientCredentials, ClientPatch, NewRoleRequest, NextStep, RolePatch, SignInStep, SignedIn},
    time::Ttl,
};

use super::{Enrolled, Phone, challenge, challenged, enrolled, go_on, grace, pair, two_factors, with_code};
use crate::{
    accounts::{AccountsFixture, reason, step},
    support::{PASSWORD, admit_admin, admit_me, claims, login_of, sign_in},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_client_that_demands_two_factors_has_them_set_up_at_sign_in,
        a_role_that_demands_two_factors_counts_only_with_them,
        a_built_in_role_can_demand_two_factors_and_nothing_else,
        an_administrator_removes_a_lost_factor,
        a_short_password_is_replaced_after_an_administrator_has_removed_the_factors,
        nobody_removes_the_factors_of_somebody_who_may_do_more,
        s09_nobody_removes_their_own_factors_as_an_administrator,
    }
}

async fn demand(f: &AccountsFixture) {
    let patch = ClientPatch { require_mfa: Some(true), ..ClientPatch::default() };
    f.service().clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
}

async fn a_client_that_demands_two_factors_has_them_set_up_at_sign_in(f: &AccountsFixture) {
    grace(f).await;
    let (elsewhere, _) = f.bearer("grace", PASSWORD).await;
    demand(f).await;
    let first = challenged(f, "grace", PASSWORD).await;
    assert_eq!(first.step, SignInStep::Enrol);
    let setup = first.totp.as_ref().unwrap();
    let phone = Phone::with(setup.secret.expose());
    assert!(setup.uri.expose().starts_with("otpauth://totp/shop:grace?secret="));
    assert_eq!(reason(go_on(f, with_code(&first, &phone.wrong(f))).await), Reason::CodeInvalid);
    let done = go_on(f, with_code(&first, &phone.code(f))).await.unwrap();
    assert_eq!(done.recovery_codes.len(), 10);
    let tokens = pair(Ok(done)).unwrap();
    assert_eq!(claims(tokens.access.token.expose())["amr"], serde_json::json!(["pwd", "otp", "mfa"]));
    assert_eq!(reason(go_on(f, with_code(&first, &phone.code(f))).await), Reason::CodeInvalid);
    assert_eq!(reason(admit_me(f.service(), &elsewhere).await), Reason::TokenInvalid, "other sessions end");
    assert_eq!(f.send_mails().await[0].kind, "factor_added");
    // From now on it is asked for, and the code of the enrolment does not count again.
    let second = challenge(f).await;
    assert_eq!(reason(go_on(f, with_code(&second, &phone.code(f))).await), Reason::CodeInvalid);
    // Everybody else has to set one up, too.
    let other = challenged(f, "ada", PASSWORD).await;
    assert_eq!(other.step, SignInStep::Enrol);
    for n in 0..5 {
        let wrong = NextStep { code: TypedCode::new("000000".into()), ..step(&other) };
        assert_eq!(reason(go_on(f, wrong).await), Reason::CodeInvalid, "{n}");
    }
}

async fn a_role_that_demands_two_factors_counts_only_with_them(f: &AccountsFixture) {
    grace(f).await;
    let role = NewRoleRequest {
        name: "clerk".into(),
        permissions: vec!["users.read".into(), "orders.read@api".into()],
        require_mfa: true,
        ..NewRoleRequest::default()
    };
    f.service().roles.create(&Admin::command(), role).await.unwrap();
    // A session from before the role was given has one factor: the role does not count in it.
    let (weak, refresh) = f.bearer("grace", PASSWORD).await;
    f.service().users.set_role(&Admin::command(), "grace", "clerk", true).await.unwrap();
    let read = ("users.read", Act::Read);
    assert_eq!(reason(admit_admin(f.service(), &weak, read).await), Reason::PermissionDenied);
    let refreshed = crate::support::refresh(f.service(), "shop", &refresh, "api", &[], "r1").await.unwrap();
    assert!(claims(refreshed.access.token.expose())["entitlements"].is_null());
    let first = challenged(f, "grace", PASSWORD).await;
    assert_eq!(first.step, SignInStep::Enrol);
    let phone = Phone::with(first.totp.as_ref().unwrap().secret.expose());
    let tokens = pair(go_on(f, with_code(&first, &phone.code(f))).await).unwrap();
    let strong = ClientCredentials::Bearer(tokens.access.token.expose().to_owned());
    assert!(admit_admin(f.service(), &strong, read).await.is_ok());
    assert_eq!(claims(tokens.access.token.expose())["roles"], serde_json::json!(["clerk"]));
    // Once it demands nothing more, it counts for everybody who has it.
    let patch = RolePatch { require_mfa: Some(false), ..RolePatch::default() };
    f.service().roles.update(&Admin::command(), "clerk", patch, None).await.unwrap();
    f.service().users.set_role(&Admin::command(), "ada", "clerk", true).await.unwrap();
    let (ada, _) = f.bearer("ada", PASSWORD).await;
    assert!(admit_admin(f.service(), &ada, read).await.is_ok());
}

async fn a_built_in_role_can_demand_two_factors_and_nothing_else(f: &AccountsFixture) {
    let patch = RolePatch { require_mfa: Some(true), ..RolePatch::default() };
    let role = f.service().roles.update(&Admin::command(), "administrator", patch, None).await.unwrap();
    assert!(role.require_mfa);
    let patch = RolePatch { require_mfa: Some(true), description: Some("mine".into()), ..RolePatch::default() };
    let answer = f.service().roles.update(&Admin::command(), "administrator", patch, None).await;
    assert_eq!(reason(answer), Reason::FailedPrecondition);
    f.service().users.set_role(&Admin::command(), "ada", "administrator", true).await.unwrap();
    assert_eq!(challenged(f, "ada", PASSWORD).await.step, SignInStep::Enrol);
}

async fn an_administrator_removes_a_lost_factor(f: &AccountsFixture) {
    let Enrolled { phone, factor, .. } = enrolled(f).await;
    let strong = two_factors(f, &phone).await;
    let users = &f.service().users;
    let listed = users.factors(&Admin::command(), "grace").await.unwrap();
    assert_eq!((listed.factors.len(), listed.recovery_codes_left), (1, 10));
    let unknown = users.remove_factor(&Admin::command(), "grace", Some("fct_01J00000000000000000000000")).await;
    assert_eq!(reason(unknown), Reason::NotFound);
    let before = challenge(f).await;
    assert_eq!(users.remove_factor(&Admin::command(), "grace", Some(&factor)).await.unwrap(), 1);
    assert_eq!(reason(admit_me(f.service(), &strong).await), Reason::TokenInvalid);
    assert_eq!(reason(go_on(f, with_code(&before, &phone.code(f))).await), Reason::CodeInvalid);
    let mails = f.send_mails().await;
    assert_eq!((mails.len(), mails[0].kind), (1, "factor_removed"));
    let kinds = f.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "FACTOR_REMOVED").count(), 1);
    // The password was long enough all the time.
    assert!(sign_in(f.service(), login_of("shop", "grace", PASSWORD)).await.is_ok());
    assert_eq!(users.remove_factor(&Admin::command(), "grace", None).await.unwrap(), 0);
    assert_eq!(users.factors(&Admin::command(), "grace").await.unwrap().recovery_codes_left, 0);
}

async fn a_short_password_is_replaced_after_an_administrator_has_removed_the_factors(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let strong = two_factors(f, &phone).await;
    let me = f.me(&strong).await;
    let (old, new) = (Password::new(PASSWORD.into()), Password::new("x9 quiet".into()));
    f.service().accounts.change_password(&f.service().context(), &me, old, new).await.unwrap();
    assert_eq!(f.service().users.remove_factor(&Admin::command(), "grace", None).await.unwrap(), 1);
    let first = challenged(f, "grace", "x9 quiet").await;
    assert_eq!(first.step, SignInStep::ChoosePassword);
    let chosen = |password: &str| NextStep { new_password: Password::new(password.into()), ..step(&first) };
    assert_eq!(reason(go_on(f, chosen("z7 quiet")).await), Reason::InvalidArgument);
    assert!(pair(go_on(f, chosen(PASSWORD)).await).is_ok());
    let request = login_of("shop", "grace", PASSWORD);
    let again = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await;
    assert!(matches!(again.unwrap(), SignedIn::Tokens(_)));
}

async fn nobody_removes_the_factors_of_somebody_who_may_do_more(f: &AccountsFixture) {
    let Enrolled { .. } = enrolled(f).await;
    let set = async |user, role| f.service().users.set_role(&Admin::command(), user, role, true).await.unwrap();
    set("grace", "administrator").await;
    set("ada", "user-administrator").await;
    let (ada, _) = f.bearer("ada", PASSWORD).await;
    let admin = admit_admin(f.service(), &ada, ("users.write", Act::Write)).await.unwrap();
    assert_eq!(reason(f.service().users.remove_factor(&admin, "grace", None).await), Reason::PermissionDenied);
    assert_eq!(f.service().users.factors(&admin, "grace").await.unwrap().factors.len(), 1);
    f.app.pass(Ttl::from_secs(1)).await;
}

async fn s09_nobody_removes_their_own_factors_as_an_administrator(f: &AccountsFixture) {
    let Enrolled { phone, factor, .. } = enrolled(f).await;
    f.service().users.set_role(&Admin::command(), "grace", "administrator", true).await.unwrap();
    let bearer = two_factors(f, &phone).await;
    let admin = admit_admin(f.service(), &bearer, ("users.write", Act::Write)).await.unwrap();
    for one in [Some(&*factor), None] {
        let refused = f.service().users.remove_factor(&admin, "grace", one).await;
        assert_eq!(reason(refused), Reason::FailedPrecondition);
    }
    assert_eq!(f.service().users.factors(&admin, "grace").await.unwrap().factors.len(), 1);
    admit_me(f.service(), &bearer).await.unwrap();
}
