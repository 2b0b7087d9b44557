//! A guest who signs in with a second factor.

use chancery::{
    error::Error,
    secret::RefreshToken,
    service::{Admin, Challenge, ClientCredentials, ClientPatch, SignedIn, TokenPair},
};

use super::{start, upgrade_of};
use crate::{
    accounts::AccountsFixture,
    factors::{Enrolled, challenge, enrolled, go_on, pair, with_code, with_recovery_code},
    support::token,
};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        p16_an_upgrade_whose_guest_has_ended_spends_no_factor,
    }
}

/// A guest, and the step that the upgrade to a user with a second factor takes.
async fn guest(f: &AccountsFixture) -> (TokenPair, Challenge) {
    let guest = start(f.service()).await;
    let step = begin(f, &guest).await;
    (guest, step)
}

async fn begin(f: &AccountsFixture, guest: &TokenPair) -> Challenge {
    let request = upgrade_of(&token(guest), "grace", &[]);
    let ctx = f.service().context();
    match f.service().sign_ins.upgrade_guest(&ctx, &ClientCredentials::None, request).await.unwrap() {
        SignedIn::Challenge(step) => step,
        SignedIn::Tokens(_) => panic!("signed in with the password alone"),
    }
}

async fn p16_an_upgrade_whose_guest_has_ended_spends_no_factor(f: &AccountsFixture) {
    let Enrolled { phone, codes, .. } = enrolled(f).await;
    let grants = Some(["direct_login", "refresh_token", "guest"].map(str::to_owned).to_vec());
    let patch = ClientPatch { grants, ..ClientPatch::default() };
    f.service().clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
    let log_out = async |guest: &TokenPair| {
        let (ctx, out) = (f.service().context(), RefreshToken::new(token(guest)));
        f.service().tokens.log_out(&ctx, &ClientCredentials::None, "shop", &out).await.unwrap();
    };
    let (gone, step) = guest(f).await;
    log_out(&gone).await;
    for next in [with_recovery_code(&step, &codes[0]), with_code(&step, &phone.code(f))] {
        let refused = go_on(f, next).await;
        assert!(matches!(refused, Err(Error::Ended { cause: "logout" })), "{refused:?}");
    }
    // Both still count.
    pair(go_on(f, with_code(&challenge(f).await, &phone.code(f))).await).unwrap();
    let (_, step) = guest(f).await;
    pair(go_on(f, with_recovery_code(&step, &codes[0])).await).unwrap();
    // Of two steps of one guest, the second one is too late, and costs nothing either.
    let (first, step) = guest(f).await;
    let twin = begin(f, &first).await;
    pair(go_on(f, with_recovery_code(&step, &codes[1])).await).unwrap();
    let late = go_on(f, with_recovery_code(&twin, &codes[2])).await;
    assert!(matches!(late, Err(Error::Ended { cause: "superseded" })), "{late:?}");
    pair(go_on(f, with_recovery_code(&challenge(f).await, &codes[2])).await).unwrap();
}
