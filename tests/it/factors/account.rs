//! Users change their own second factors.

use chancery::{
    domain::factor::FactorKind,
    error::{Error, Reason, Result},
    secret::{Password, TicketToken, TypedCode},
    service::{Admin, ClientCredentials, NewFactor, Service, SignedIn, TotpEnrolment},
    time::{Clock, Ttl},
};

use super::{Enrolled, Phone, challenge, clone_token, enrolled, go_on, grace, pair, two_factors, with_code};
use crate::{
    accounts::{AccountsFixture, NEW, reason},
    support::{PASSWORD, admit_me},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p13_an_app_is_set_up_with_the_first_code_that_it_shows,
        p14_the_code_of_an_enrolment_does_not_count_again,
        an_enrolment_is_void_after_five_wrong_codes_ten_minutes_or_a_change,
        an_enrolment_counts_only_for_its_user_and_the_latest_only,
        s09_changes_need_a_fresh_sign_in_with_the_factors_that_there_are,
        s11_p20_each_change_ends_other_sessions_and_is_mailed,
        p01_the_last_factor_goes_only_with_a_long_password,
        a_user_has_at_most_ten_factors,
        a_confirmation_submitted_eight_times_at_once_counts_once,
        whoever_has_missed_the_recovery_codes_is_shown_the_same_ones_for_as_long_as_they_are_good,
        a_factor_that_is_removed_twice_at_once_is_gone_and_the_other_call_says_so,
        nothing_of_a_deleted_user_is_left,
    }
}

async fn begin(f: &AccountsFixture, bearer: &ClientCredentials) -> Result<TotpEnrolment> {
    f.service().accounts.enrol_totp(&f.service().context(), &f.me(bearer).await, "").await
}

async fn pending(f: &AccountsFixture, bearer: &ClientCredentials, token: &TicketToken) -> Result<TotpEnrolment> {
    f.service().accounts.pending_totp(&f.me(bearer).await, clone_token(token)).await
}

async fn confirm(f: &AccountsFixture, bearer: &ClientCredentials, token: &TicketToken, code: &str) -> Result<usize> {
    let (me, code) = (f.me(bearer).await, TypedCode::new(code.into()));
    let added = f.service().accounts.confirm_totp(&f.service().context(), &me, clone_token(token), &code).await?;
    Ok(added.recovery_codes.len())
}

async fn p13_an_app_is_set_up_with_the_first_code_that_it_shows(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let secret = begun.setup.secret.expose().to_owned();
    assert_eq!(secret.len(), 32, "160 bits");
    let uri = format!("otpauth://totp/shop:grace?secret={secret}&issuer=shop&algorithm=SHA1&digits=6&period=30");
    assert_eq!(begun.setup.uri.expose(), uri);
    assert!(begun.qr_svg.contains("<svg") && begun.expires_at == f.app.clock.now().plus(Ttl::from_secs(600)));
    assert!(!format!("{begun:?}").contains(&secret));
    let phone = Phone::with(&secret);
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.wrong(f)).await), Reason::CodeInvalid);
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, "12345").await), Reason::InvalidArgument);
    assert!(f.service().accounts.factors(&f.me(&bearer).await).await.unwrap().factors.is_empty());
    assert_eq!(confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await.unwrap(), 10);
    let own = f.service().accounts.factors(&f.me(&bearer).await).await.unwrap();
    assert_eq!((own.factors.len(), own.factors[0].kind, own.recovery_codes_left), (1, FactorKind::Totp, 10));
    // The database does not have the secret.
    let user = f.service().users.get(&Admin::command(), "grace").await.unwrap().user;
    assert_eq!(user.second_factors, 1);
    let stored = f.service().store().read().await.unwrap().totp_of(&user.id).await.unwrap();
    assert!(!String::from_utf8_lossy(&stored[0].sealed).contains(&secret));
}

async fn p14_the_code_of_an_enrolment_does_not_count_again(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await.unwrap();
    let first = challenge(f).await;
    assert_eq!(reason(go_on(f, with_code(&first, &phone.code(f))).await), Reason::CodeInvalid);
    f.app.pass(Ttl::from_secs(30)).await;
    assert!(pair(go_on(f, with_code(&first, &phone.code(f))).await).is_ok());
}

async fn an_enrolment_is_void_after_five_wrong_codes_ten_minutes_or_a_change(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    for _ in 0..5 {
        assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.wrong(f)).await), Reason::CodeInvalid);
    }
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await), Reason::CodeInvalid);
    assert_eq!(reason(pending(f, &bearer, &begun.enrolment).await), Reason::CodeInvalid);
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    f.app.pass(Ttl::from_secs(600)).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await), Reason::CodeInvalid);
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    let me = f.me(&bearer).await;
    let (old, new) = (Password::new(PASSWORD.into()), Password::new(NEW.into()));
    assert!(pending(f, &bearer, &begun.enrolment).await.is_ok());
    f.service().accounts.change_password(&f.service().context(), &me, old, new).await.unwrap();
    assert_eq!(reason(pending(f, &bearer, &begun.enrolment).await), Reason::CodeInvalid);
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await), Reason::CodeInvalid);
}

async fn an_enrolment_counts_only_for_its_user_and_the_latest_only(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    let (ada, _) = f.bearer("ada", PASSWORD).await;
    assert_eq!(reason(confirm(f, &ada, &begun.enrolment, &phone.code(f)).await), Reason::CodeInvalid);
    let shown = f.service().accounts.pending_totp(&f.me(&bearer).await, clone_token(&begun.enrolment)).await.unwrap();
    assert_eq!(shown.setup.secret.expose(), begun.setup.secret.expose());
    let latest = begin(f, &bearer).await.unwrap();
    assert_eq!(reason(confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await), Reason::CodeInvalid);
    let phone = Phone::with(latest.setup.secret.expose());
    assert_eq!(confirm(f, &bearer, &latest.enrolment, &phone.code(f)).await.unwrap(), 10);
}

async fn s09_changes_need_a_fresh_sign_in_with_the_factors_that_there_are(f: &AccountsFixture) {
    let Enrolled { phone, bearer, factor, .. } = enrolled(f).await;
    let (accounts, ctx) = (&f.service().accounts, f.service().context());
    // The session in which the first was set up has shown none.
    let me = f.me(&bearer).await;
    let empty = || Password::new(String::new());
    assert_eq!(reason(begin(f, &bearer).await), Reason::SignInTooOld);
    assert_eq!(reason(accounts.remove_factor(&ctx, &me, &factor, empty()).await), Reason::SignInTooOld);
    assert_eq!(reason(accounts.regenerate_recovery_codes(&ctx, &me).await), Reason::SignInTooOld);
    let strong = two_factors(f, &phone).await;
    assert!(begin(f, &strong).await.is_ok());
    f.app.pass(Ttl::from_secs(240)).await;
    let me = f.me(&strong).await;
    f.app.clock.advance(Ttl::from_secs(700));
    let ctx = f.service().context();
    assert_eq!(reason(accounts.enrol_totp(&ctx, &me, "").await), Reason::SignInTooOld);
    assert_eq!(reason(accounts.remove_factor(&ctx, &me, &factor, empty()).await), Reason::SignInTooOld);
    assert_eq!(reason(accounts.regenerate_recovery_codes(&ctx, &me).await), Reason::SignInTooOld);
}

async fn s11_p20_each_change_ends_other_sessions_and_is_mailed(f: &AccountsFixture) {
    grace(f).await;
    let (other, _) = f.bearer("grace", PASSWORD).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    confirm(f, &bearer, &begun.enrolment, &phone.code(f)).await.unwrap();
    assert_eq!(reason(admit_me(f.service(), &other).await), Reason::TokenInvalid);
    assert!(admit_me(f.service(), &bearer).await.is_ok(), "but not the one that made the change");
    let mails = f.send_mails().await;
    assert_eq!((mails.len(), mails[0].kind, mails[0].to.as_str()), (1, "factor_added", "grace@example.com"));
    assert!(mails[0].text.contains("authenticator app"), "{}", mails[0].text);
    f.app.pass(Ttl::from_secs(30)).await;
    let strong = two_factors(f, &phone).await;
    let me = f.me(&strong).await;
    f.service().accounts.regenerate_recovery_codes(&f.service().context(), &me).await.unwrap();
    assert_eq!(reason(admit_me(f.service(), &bearer).await), Reason::TokenInvalid);
    assert_eq!(f.send_mails().await[0].kind, "recovery_codes");
    let factor = f.service().accounts.factors(&me).await.unwrap().factors[0].id.to_string();
    let password = Password::new(PASSWORD.into());
    f.service().accounts.remove_factor(&f.service().context(), &me, &factor, password).await.unwrap();
    assert_eq!(f.send_mails().await[0].kind, "factor_removed");
    let kinds = f.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    for kind in ["FACTOR_ADDED", "RECOVERY_CODES_REPLACED", "FACTOR_REMOVED"] {
        assert_eq!(kinds.iter().filter(|(one, _)| one == kind).count(), 1, "{kind}");
    }
    // Nothing is left to ask for, and nothing that stands in for it.
    assert!(crate::support::sign_in(f.service(), crate::support::login_of("shop", "grace", PASSWORD)).await.is_ok());
    assert_eq!(f.service().accounts.factors(&me).await.unwrap().recovery_codes_left, 0);
}

async fn p01_the_last_factor_goes_only_with_a_long_password(f: &AccountsFixture) {
    let Enrolled { phone, factor, .. } = enrolled(f).await;
    let (accounts, ctx) = (&f.service().accounts, f.service().context());
    let strong = two_factors(f, &phone).await;
    let me = f.me(&strong).await;
    let remove =
        async |password: &str| accounts.remove_factor(&ctx, &me, &factor, Password::new(password.into())).await;
    assert_eq!(reason(remove("").await), Reason::InvalidArgument);
    assert_eq!(reason(remove("not the right password").await), Reason::InvalidCredentials);
    assert_eq!(
        reason(accounts.remove_factor(&ctx, &me, "fct_x", Password::new(String::new())).await),
        Reason::NotFound
    );
    // With a second factor, eight characters are enough; without one they are not.
    let (old, new) = (Password::new(PASSWORD.into()), Password::new("x9 quiet".into()));
    accounts.change_password(&ctx, &me, old, new).await.unwrap();
    let Err(Error::Precondition(text)) = remove("x9 quiet").await else { panic!("a short password is left alone") };
    assert!(text.contains("15 characters"), "{text}");
    let (old, new) = (Password::new("x9 quiet".into()), Password::new(NEW.into()));
    accounts.change_password(&ctx, &me, old, new).await.unwrap();
    remove(NEW).await.unwrap();
    let (old, new) = (Password::new(NEW.into()), Password::new("x9 quiet".into()));
    assert_eq!(reason(accounts.change_password(&ctx, &me, old, new).await), Reason::InvalidArgument);
}

async fn a_user_has_at_most_ten_factors(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    for n in 1..10 {
        let strong = two_factors(f, &phone).await;
        let begun = begin(f, &strong).await.unwrap();
        let other = Phone::with(begun.setup.secret.expose());
        let codes = confirm(f, &strong, &begun.enrolment, &other.code(f)).await.unwrap();
        assert_eq!(codes, 0, "{n}: only with the first");
    }
    let strong = two_factors(f, &phone).await;
    assert_eq!(reason(begin(f, &strong).await), Reason::FailedPrecondition);
}

async fn a_confirmation_submitted_eight_times_at_once_counts_once(f: &AccountsFixture) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let code = Phone::with(begun.setup.secret.expose()).code(f);
    let other = f.app.second_process().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (service, me) = ([f.service(), &other][n % 2].clone(), f.me(&bearer).await);
        let (token, code) = (clone_token(&begun.enrolment), TypedCode::new(code.clone()));
        tasks.spawn(
            async move { service.accounts.confirm_totp(&service.context(), &me, token, &code).await.map(codes) },
        );
    }
    let answers: Vec<Vec<String>> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|codes| codes.len() == 10 && *codes == answers[0]), "{answers:?}");
    assert_eq!(f.service().accounts.factors(&f.me(&bearer).await).await.unwrap().factors.len(), 1);
    let kinds = f.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "FACTOR_ADDED").count(), 1);
    other.store().close().await;
}

fn codes(added: NewFactor) -> Vec<String> {
    added.recovery_codes.iter().map(|code| code.expose().to_owned()).collect()
}

async fn whoever_has_missed_the_recovery_codes_is_shown_the_same_ones_for_as_long_as_they_are_good(
    f: &AccountsFixture,
) {
    grace(f).await;
    let (bearer, _) = f.bearer("grace", PASSWORD).await;
    let begun = begin(f, &bearer).await.unwrap();
    let phone = Phone::with(begun.setup.secret.expose());
    let code = phone.code(f);
    let me = f.me(&bearer).await;
    let again = async |code: &str| {
        let (me, code) = (me.clone(), TypedCode::new(code.to_owned()));
        let token = clone_token(&begun.enrolment);
        f.service().accounts.confirm_totp(&f.service().context(), &me, token, &code).await.map(codes)
    };
    let first = again(&code).await.unwrap();
    assert_eq!(first.len(), 10);
    f.app.pass(Ttl::from_secs(120)).await;
    assert_eq!(again(&code).await.unwrap(), first);
    assert_eq!(reason(again(&phone.wrong(f)).await), Reason::SignInTooOld, "another code is another call");
    // Nothing of them is stored.
    let user = f.service().users.get(&Admin::command(), "grace").await.unwrap().user;
    assert_eq!(f.service().store().read().await.unwrap().recovery_codes_left(&user.id).await.unwrap(), 10);
    let signed_in = go_on(f, super::with_recovery_code(&challenge(f).await, &first[0])).await;
    assert!(pair(signed_in).is_ok());
    assert_eq!(again(&code).await.unwrap(), [""; 0], "one is used: whoever used it has seen them");
    f.app.pass(Ttl::from_secs(480)).await;
    assert_eq!(reason(again(&code).await), Reason::SignInTooOld, "ten minutes");
}

async fn a_factor_that_is_removed_twice_at_once_is_gone_and_the_other_call_says_so(f: &AccountsFixture) {
    let Enrolled { phone, factor, .. } = enrolled(f).await;
    let strong = two_factors(f, &phone).await;
    let other = f.app.second_process().await;
    let me = f.me(&strong).await;
    let remove = async |service: &Service| {
        let password = Password::new(PASSWORD.into());
        service.accounts.remove_factor(&service.context(), &me, &factor, password).await
    };
    let (one, two) = tokio::join!(remove(f.service()), remove(&other));
    let refused: Vec<Reason> =
        [one, two].into_iter().filter_map(|done| done.err().map(|error| error.reason())).collect();
    assert!(refused == [Reason::NotFound] || refused == [Reason::SignInInProgress], "{refused:?}");
    assert_eq!(reason(remove(&other).await), Reason::NotFound);
    other.store().close().await;
}

async fn nothing_of_a_deleted_user_is_left(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let strong = two_factors(f, &phone).await;
    let me = f.me(&strong).await;
    f.service().accounts.delete(&f.service().context(), &me).await.unwrap();
    let own = f.service().accounts.factors(&me).await.unwrap();
    assert_eq!((own.factors.len(), own.recovery_codes_left), (0, 0));
    let request = crate::support::login_of("shop", "grace", PASSWORD);
    let answer = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await;
    assert_eq!(reason(answer.map(|signed_in| matches!(signed_in, SignedIn::Tokens(_)))), Reason::InvalidCredentials);
}
