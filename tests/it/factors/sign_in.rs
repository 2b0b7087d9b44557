//! The step that takes a second factor.

use chancery::{
    domain::factor::FactorKind,
    error::{Error, Reason},
    secret::{DeviceToken, Password},
    service::{Admin, Challenge, ClientCredentials, NextStep, SignInStep, SignedIn},
    time::{Clock, Ttl},
};

use super::{Enrolled, challenge, challenged, clone_token, enrolled, go_on, pair, with_code, with_recovery_code};
use crate::{
    accounts::{AccountsFixture, NEW, reason, step},
    support::{PASSWORD, claims, login_of},
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p14_a_code_of_the_app_completes_a_sign_in_once,
        p14_a_code_submitted_eight_times_at_once_counts_once,
        p16_a_recovery_code_completes_a_sign_in_once_and_is_mailed,
        the_mail_says_when_few_recovery_codes_are_left,
        a47_old_recovery_codes_are_void_after_new_ones,
        a47_a_recovery_code_submitted_eight_times_at_once_counts_once,
        a_password_is_chosen_only_after_the_second_factor,
        p17_a_reset_password_bypasses_no_factor,
        a_challenge_ends_when_the_account_changes,
        p10_nobody_learns_of_a_factor_before_the_password_is_right,
        p10_a_wrong_password_takes_the_same_path_with_and_without_a_factor,
        the_device_is_known_after_a_second_factor,
    }
}

/// The same challenge once more.
fn again(challenge: &Challenge) -> Challenge {
    Challenge {
        step: challenge.step,
        token: clone_token(&challenge.token),
        expires_at: challenge.expires_at,
        sent_to: None,
        factors: Vec::new(),
        totp: None,
        passkey_options: None,
        passkey_hosts: Vec::new(),
    }
}

async fn p14_a_code_of_the_app_completes_a_sign_in_once(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let first = challenge(f).await;
    assert_eq!(first.factors, [FactorKind::Totp, FactorKind::RecoveryCode]);
    let code = phone.code(f);
    // What is wrong leaves the challenge as it is; spaces do not count.
    assert_eq!(reason(go_on(f, with_code(&first, &phone.wrong(f))).await), Reason::CodeInvalid);
    assert_eq!(reason(go_on(f, with_code(&first, "1234567")).await), Reason::InvalidArgument);
    assert_eq!(reason(go_on(f, step(&first)).await), Reason::InvalidArgument);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let tokens = pair(go_on(f, with_code(&first, &spaced)).await).unwrap();
    let claims = claims(tokens.access.token.expose());
    assert_eq!((&claims["acr"], &claims["amr"]), (&"2".into(), &serde_json::json!(["pwd", "otp", "mfa"])));
    // The challenge is spent, and so is the code, and every earlier one.
    assert_eq!(reason(go_on(f, with_code(&first, &code)).await), Reason::CodeInvalid);
    let second = challenge(f).await;
    assert_eq!(reason(go_on(f, with_code(&second, &code)).await), Reason::CodeInvalid);
    let before = phone.code_at(f.app.clock.now().minus(Ttl::from_secs(30)));
    assert_eq!(reason(go_on(f, with_code(&second, &before)).await), Reason::CodeInvalid);
    // A clock that is half a minute fast is no reason to keep anybody out.
    let early = phone.code_at(f.app.clock.now().plus(Ttl::from_secs(30)));
    assert!(pair(go_on(f, with_code(&second, &early)).await).is_ok());
}

async fn p14_a_code_submitted_eight_times_at_once_counts_once(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let code = phone.code(f);
    // In two sign-ins, so that not only the challenge decides.
    let challenges = [challenge(f).await, challenge(f).await];
    let services = [f.service().clone(), f.app.second_process().await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (service, challenge, code) = (services[n % 2].clone(), again(&challenges[n / 4]), code.clone());
        tasks.spawn(async move {
            loop {
                let next = with_code(&challenge, &code);
                let done = service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, next).await;
                match done {
                    Err(error) if error.reason() == Reason::SignInInProgress => tokio::task::yield_now().await,
                    done => return pair(done).is_ok(),
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

async fn p16_a_recovery_code_completes_a_sign_in_once_and_is_mailed(f: &AccountsFixture) {
    let Enrolled { codes, .. } = enrolled(f).await;
    assert_eq!(codes.len(), 10);
    let first = challenge(f).await;
    assert_eq!(reason(go_on(f, with_recovery_code(&first, "00000")).await), Reason::InvalidArgument);
    let unknown = "00000-00000-00000-00000-00000";
    assert_eq!(reason(go_on(f, with_recovery_code(&first, unknown)).await), Reason::CodeInvalid);
    let typed = codes[0].to_lowercase().replace('-', " ");
    let tokens = pair(go_on(f, with_recovery_code(&first, &typed)).await).unwrap();
    let claims = claims(tokens.access.token.expose());
    assert_eq!((&claims["acr"], &claims["amr"]), (&"2".into(), &serde_json::json!(["pwd", "mfa"])));
    let mails = f.send_mails().await;
    assert_eq!((mails.len(), mails[0].kind), (1, "recovery_code_used"));
    assert!(mails[0].text.contains("9 left"), "{}", mails[0].text);
    let second = challenge(f).await;
    assert_eq!(reason(go_on(f, with_recovery_code(&second, &codes[0])).await), Reason::CodeInvalid);
    assert!(pair(go_on(f, with_recovery_code(&second, &codes[1])).await).is_ok());
    let kinds = f.service().store().read().await.unwrap().audit_kinds().await.unwrap();
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "RECOVERY_CODE_USED").count(), 2);
}

async fn the_mail_says_when_few_recovery_codes_are_left(f: &AccountsFixture) {
    let Enrolled { codes, .. } = enrolled(f).await;
    for (n, code) in codes.iter().enumerate() {
        f.app.pass(Ttl::from_secs(60)).await;
        let challenge = challenge(f).await;
        assert!(pair(go_on(f, with_recovery_code(&challenge, code)).await).is_ok());
        let text = f.send_mails().await[0].text.clone();
        assert!(text.contains(&format!("{} left", 9 - n)), "{text}");
        assert_eq!((text.contains("make new ones"), text.contains("need not do anything")), (n >= 7, n < 7), "{text}");
    }
}

async fn a47_old_recovery_codes_are_void_after_new_ones(f: &AccountsFixture) {
    let Enrolled { phone, codes, .. } = enrolled(f).await;
    let bearer = super::two_factors(f, &phone).await;
    let me = f.me(&bearer).await;
    let new = f.service().accounts.regenerate_recovery_codes(&f.service().context(), &me).await.unwrap();
    assert_eq!(new.len(), 10);
    let first = challenge(f).await;
    assert_eq!(reason(go_on(f, with_recovery_code(&first, &codes[3])).await), Reason::CodeInvalid);
    assert!(pair(go_on(f, with_recovery_code(&first, new[3].expose())).await).is_ok());
    assert_eq!(f.service().accounts.factors(&me).await.unwrap().recovery_codes_left, 9);
}

async fn a47_a_recovery_code_submitted_eight_times_at_once_counts_once(f: &AccountsFixture) {
    let Enrolled { codes, .. } = enrolled(f).await;
    let challenges = [challenge(f).await, challenge(f).await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (service, challenge, code) = (f.service().clone(), again(&challenges[n % 2]), codes[0].clone());
        tasks.spawn(async move {
            loop {
                let next = with_recovery_code(&challenge, &code);
                let done = service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, next).await;
                match done {
                    Err(error) if error.reason() == Reason::SignInInProgress => tokio::task::yield_now().await,
                    done => return pair(done).is_ok(),
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(f.send_mails().await.len(), 1);
}

async fn a_password_is_chosen_only_after_the_second_factor(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    f.service().users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let first = challenge(f).await;
    let chosen = NextStep { new_password: Password::new(NEW.into()), ..step(&first) };
    assert_eq!(reason(go_on(f, chosen).await), Reason::InvalidArgument, "a factor comes first");
    let SignedIn::Challenge(second) = go_on(f, with_code(&first, &phone.code(f))).await.unwrap().signed_in else {
        panic!("no new password was asked for")
    };
    assert_eq!(second.step, SignInStep::ChoosePassword);
    // P01: eight characters are enough beside a second factor.
    let short = |password: &str| NextStep { new_password: Password::new(password.into()), ..step(&second) };
    assert_eq!(reason(go_on(f, short("7 chars")).await), Reason::InvalidArgument);
    let tokens = pair(go_on(f, short("x9 quiet")).await).unwrap();
    assert_eq!(claims(tokens.access.token.expose())["acr"], "2");
}

async fn p17_a_reset_password_bypasses_no_factor(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let pending = f.request_reset("grace").await;
    let mails = f.send_mails().await;
    f.reset(&crate::accounts::typed_code(&pending, &mails[0]), NEW).await.unwrap();
    let first = challenged(f, "grace", NEW).await;
    assert_eq!(first.step, SignInStep::Mfa);
    assert!(pair(go_on(f, with_code(&first, &phone.code(f))).await).is_ok());
}

async fn a_challenge_ends_when_the_account_changes(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let first = challenge(f).await;
    f.service().users.set_password(&Admin::command(), "grace", Password::new(NEW.into())).await.unwrap();
    assert_eq!(reason(go_on(f, with_code(&first, &phone.code(f))).await), Reason::CodeInvalid);
    // The code was not used up by what was refused.
    let second = challenged(f, "grace", NEW).await;
    assert!(pair(go_on(f, with_code(&second, &phone.code(f))).await).is_ok());
    let third = challenged(f, "grace", NEW).await;
    f.app.pass(Ttl::from_secs(601)).await;
    assert_eq!(reason(go_on(f, with_code(&third, &phone.code(f))).await), Reason::CodeInvalid, "ten minutes");
}

async fn p10_nobody_learns_of_a_factor_before_the_password_is_right(f: &AccountsFixture) {
    enrolled(f).await;
    for login in ["grace", "ada", "nobody"] {
        let request = login_of("shop", login, "not the right password");
        let answer = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await;
        assert_eq!(reason(answer), Reason::InvalidCredentials, "{login}");
    }
}

async fn p10_a_wrong_password_takes_the_same_path_with_and_without_a_factor(f: &AccountsFixture) {
    enrolled(f).await;
    let (service, mut costs) = (f.service(), Vec::new());
    for login in ["grace", "ada"] {
        let (hashes, statements) = (service.passwords.figures().made, service.store().statements());
        let began = tokio::time::Instant::now();
        let request = login_of("shop", login, "not the right password");
        let refused =
            service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, request).await.unwrap_err();
        assert_eq!(refused.to_string(), Error::Unauthenticated(Reason::InvalidCredentials).to_string(), "{login}");
        assert!(began.elapsed() >= std::time::Duration::from_millis(100), "{login}: no earlier than the least time");
        let made = service.passwords.figures().made;
        costs.push((
            made.current - hashes.current,
            made.other - hashes.other,
            service.store().statements() - statements,
        ));
    }
    assert_eq!((costs[0].0, costs[0].1), (1, 0), "one hash");
    assert_eq!(costs[0], costs[1]);
    // Only the right password leads to the step, and nothing else tells that there is one.
    assert_eq!(challenge(f).await.step, SignInStep::Mfa);
    let ada = login_of("shop", "ada", PASSWORD);
    let ada = service.sign_ins.sign_in(&service.context(), &ClientCredentials::None, ada).await.unwrap();
    assert!(matches!(ada, SignedIn::Tokens(_)));
}

async fn the_device_is_known_after_a_second_factor(f: &AccountsFixture) {
    let Enrolled { phone, .. } = enrolled(f).await;
    let first = challenge(f).await;
    let tokens = pair(go_on(f, with_code(&first, &phone.code(f))).await).unwrap();
    let device = tokens.device.unwrap();
    // Strangers have used up all their guesses; the owner signs in on the known device.
    for _ in 0..7 {
        let request = login_of("shop", "grace", "not the right password");
        let _ = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await;
    }
    let mut request = login_of("shop", "grace", PASSWORD);
    request.device_token = DeviceToken::new(device.expose().to_owned());
    f.app.clock.advance(Ttl::from_millis(1));
    let known = f.service().sign_ins.sign_in(&f.service().context(), &ClientCredentials::None, request).await.unwrap();
    let SignedIn::Challenge(second) = known else { panic!("no second factor was asked for") };
    let code = phone.code_at(f.app.clock.now().plus(Ttl::from_secs(30)));
    assert!(pair(go_on(f, with_code(&second, &code)).await).is_ok());
    // Somebody without a factor is asked for none, on the same server.
    assert!(f.app.try_sign_in(PASSWORD).await.is_ok());
}
