//! Users manage their own accounts with the help of mails, on both engines.

use std::sync::Arc;

use chancery::mail::Kept;
use chancery::mail::KeptMail;
use chancery::mail::Post;
use chancery::{
    error::{Error, Reason, Result},
    secret::{PasskeyResponse, Password, TicketToken, TypedCode},
    service::{
        Admin, ClientCredentials, Me, MePatch, NewClientRequest, NextStep, PasswordReset, PendingTicket,
        PresentedTicket, RegisterInput, ResetRequest, Service, SignInStep, SignedIn, UserPasswordReset,
        VerifyEmailInput,
    },
    time::Ttl,
};
use chancery::{mail::Mailer, mail::Templates};

use crate::support::{App, ISSUER, PASSWORD, admit_me, first_party, login_of, refresh, sign_in, token};

on_each_engine! {
    #[tokio::test]
    AccountsFixture => {
        a_registration_is_confirmed_by_the_mailed_code_or_link,
        a45_callers_cannot_tell_whether_an_account_exists_and_its_owner_is_informed,
        p19_a_reset_ends_every_session_and_invalidates_all_other_links,
        p18_a_code_allows_five_attempts_and_one_use_even_under_concurrency,
        p18_exhausting_the_attempts_of_a_code_does_not_invalidate_the_link,
        a_code_is_valid_only_for_its_client_and_purpose,
        s11_changing_the_password_ends_only_the_other_sessions,
        s11_an_ended_session_changes_nothing_not_even_in_a_call_under_way,
        p20_a_new_address_takes_effect_once_verified_and_both_addresses_are_notified,
        s09_s10_users_list_and_end_their_sessions_and_delete_the_account_after_a_fresh_sign_in,
        p02_a_password_that_must_be_changed_yields_tokens_only_after_the_change,
        a_required_address_is_verified_during_sign_in,
        p18_a_sign_in_code_allows_five_attempts_even_under_concurrency,
        an_administrator_starts_a_reset_without_learning_the_password,
        a45_mails_to_an_address_are_limited_whether_or_not_it_has_an_account,
    }
}

pub(crate) const NEW: &str = "an entirely different phrase";

/// A server with a client that allows registration, and the mails that it sends.
pub(crate) struct AccountsFixture {
    pub(crate) app: App,
    kept: Arc<Kept>,
    post: Post,
}

impl AccountsFixture {
    pub(crate) async fn sqlite() -> Self {
        Self::of(App::sqlite().await).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::of(App::postgres().await).await
    }

    pub(crate) async fn finish(self) {
        self.app.finish().await;
    }

    async fn of(app: App) -> Self {
        let shop = NewClientRequest {
            registration: true,
            link_template: Some("https://shop.example/{kind}?token={token}".into()),
            ..first_party("shop", &["api", ISSUER])
        };
        app.service.clients.create(&Admin::command(), shop).await.unwrap();
        let kept = Arc::new(Kept::default());
        let post = Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Kept(kept.clone()) };
        Self { app, kept, post }
    }

    /// The same at another process.
    pub(crate) fn at(&self, service: Service) -> Self {
        let app = App { service, clock: self.app.clock.clone(), empty: self.app.empty.clone() };
        let post = Post { templates: Templates::load(None).unwrap(), mailer: Mailer::Kept(self.kept.clone()) };
        Self { app, kept: self.kept.clone(), post }
    }

    pub(crate) fn service(&self) -> &Service {
        &self.app.service
    }

    /// Sends all due mails and returns them, oldest first.
    pub(crate) async fn send_mails(&self) -> Vec<KeptMail> {
        let before = self.kept.newest().len();
        loop {
            let taken = self.service().outbox.claim_due(10).await.unwrap();
            if taken.is_empty() {
                break;
            }
            for mail in taken {
                self.service().outbox.deliver(&self.post, mail).await;
            }
        }
        let newest = self.kept.newest();
        newest[..newest.len() - before].iter().rev().cloned().collect()
    }

    pub(crate) async fn register(&self, email: &str, name: &str) -> Result<PendingTicket> {
        self.register_as(email, name, "").await
    }

    /// Registers somebody who is written to in a language.
    pub(crate) async fn register_in(&self, email: &str, language: &str) -> PendingTicket {
        self.register_as(email, "", language).await.unwrap()
    }

    async fn register_as(&self, email: &str, name: &str, language: &str) -> Result<PendingTicket> {
        let input = RegisterInput {
            client_id: "shop".into(),
            email: email.into(),
            name: name.into(),
            password: Password::new(PASSWORD.into()),
            language: language.into(),
            address: String::new(),
            user_agent: String::new(),
        };
        self.service().accounts.register(&self.service().context(), &ClientCredentials::None, input).await
    }

    pub(crate) async fn verify(&self, presented: &PresentedTicket) -> Result<String> {
        self.verify_as(&ClientCredentials::None, verification(presented)).await
    }

    pub(crate) async fn verify_as(&self, credentials: &ClientCredentials, input: VerifyEmailInput) -> Result<String> {
        self.service().accounts.verify_email(&self.service().context(), credentials, input).await
    }

    pub(crate) async fn request_reset(&self, login: &str) -> PendingTicket {
        let ctx = self.service().context();
        self.service()
            .accounts
            .request_password_reset(&ctx, &ClientCredentials::None, reset_request(login))
            .await
            .unwrap()
    }

    pub(crate) async fn reset(&self, presented: &PresentedTicket, password: &str) -> Result<usize> {
        let ctx = self.service().context();
        let reset = PasswordReset {
            client_id: "shop".into(),
            presented: clone_presented(presented),
            password: Password::new(password.into()),
        };
        self.service().accounts.reset_password(&ctx, &ClientCredentials::None, reset).await
    }

    /// Registers a user and verifies the address.
    pub(crate) async fn register_verified_user(&self, email: &str) {
        let pending = self.register(email, "").await.unwrap();
        let mails = self.send_mails().await;
        self.verify(&typed_code(&pending, &mails[0])).await.unwrap();
    }

    pub(crate) async fn bearer(&self, login: &str, password: &str) -> (ClientCredentials, String) {
        let mut request = login_of("shop", login, password);
        request.audience = ISSUER.into();
        let pair = sign_in(self.service(), request).await.unwrap();
        (ClientCredentials::Bearer(pair.access.token.expose().to_owned()), token(&pair))
    }

    pub(crate) async fn me(&self, bearer: &ClientCredentials) -> Me {
        admit_me(self.service(), bearer).await.unwrap()
    }
}

pub(crate) fn reset_request(login: &str) -> ResetRequest<'_> {
    ResetRequest { client_id: "shop", login, language: "", address: "", user_agent: "", device_token: None }
}

/// A verification without a new password or name.
pub(crate) fn verification(presented: &PresentedTicket) -> VerifyEmailInput {
    VerifyEmailInput {
        client_id: "shop".into(),
        presented: clone_presented(presented),
        new_password: Password::new(String::new()),
        name: None,
    }
}

pub(crate) fn clone_presented(presented: &PresentedTicket) -> PresentedTicket {
    PresentedTicket {
        token: TicketToken::new(presented.token.expose().to_owned()),
        ticket: presented.ticket.clone(),
        code: TypedCode::new(presented.code.expose().to_owned()),
    }
}

pub(crate) fn typed_code(pending: &PendingTicket, mail: &KeptMail) -> PresentedTicket {
    code(&pending.ticket, mail.code.as_deref().unwrap())
}

pub(crate) fn code(ticket: &str, code: &str) -> PresentedTicket {
    PresentedTicket { token: TicketToken::new(String::new()), ticket: ticket.into(), code: TypedCode::new(code.into()) }
}

pub(crate) fn clicked_link(mail: &KeptMail) -> PresentedTicket {
    let (_, token) = mail.links[0].split_once("token=").unwrap();
    PresentedTicket {
        token: TicketToken::new(token.into()),
        ticket: String::new(),
        code: TypedCode::new(String::new()),
    }
}

pub(crate) fn reason<T>(result: Result<T>) -> Reason {
    result.err().expect("it was refused").reason()
}

async fn a_registration_is_confirmed_by_the_mailed_code_or_link(fixture: &AccountsFixture) {
    let pending = fixture.register("Grace@Example.com", "grace").await.unwrap();
    assert!(
        fixture.service().users.get(&Admin::command(), "grace").await.is_err(),
        "an address that is not proved reserves nothing"
    );
    let mails = fixture.send_mails().await;
    assert_eq!((mails.len(), mails[0].kind, mails[0].to.as_str()), (1, "verify_email", "grace@example.com"));
    assert!(mails[0].links[0].starts_with("https://shop.example/register?token=chl_"), "{:?}", mails[0].links);
    assert_eq!(reason(fixture.verify(&code(&pending.ticket, "00000000")).await), Reason::CodeInvalid);
    assert_eq!(fixture.verify(&typed_code(&pending, &mails[0])).await.unwrap(), "Grace@Example.com");
    assert_eq!(reason(fixture.verify(&clicked_link(&mails[0])).await), Reason::CodeInvalid, "it can be used only once");
    for login in ["grace", "GRACE@example.com"] {
        assert!(sign_in(fixture.service(), login_of("shop", login, PASSWORD)).await.is_ok(), "{login}");
    }
    let pending = fixture.register("heidi@example.com", "").await.unwrap();
    let mails = fixture.send_mails().await;
    let here = PresentedTicket { ticket: pending.ticket, ..clicked_link(&mails[0]) };
    assert!(fixture.verify(&here).await.is_ok(), "in the browser that asked, the link completes");
}

async fn a45_callers_cannot_tell_whether_an_account_exists_and_its_owner_is_informed(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let hashed = || fixture.service().passwords.figures().hashed;
    let before = hashed();
    let taken = fixture.register("grace@example.com", "").await.unwrap();
    let after_taken = hashed();
    let free = fixture.register("free@example.com", "").await.unwrap();
    // Equal work: one hash on both paths.
    assert_eq!((after_taken - before, hashed() - after_taken), (1, 1));
    assert_eq!(taken.expires_at, free.expires_at);
    let mails = fixture.send_mails().await;
    let kinds: Vec<_> = mails.iter().map(|m| (m.kind, m.to.as_str())).collect();
    assert_eq!(kinds, [("account_exists", "grace@example.com"), ("verify_email", "free@example.com")]);
    assert!(mails[0].code.is_none() && mails[0].links.is_empty());
    let statements = || fixture.service().store().statements();
    let mut counts = Vec::new();
    for login in ["grace@example.com", "nobody@example.com", "ada", "nobody"] {
        let before = statements();
        let pending = fixture.request_reset(login).await;
        counts.push(statements() - before);
        let refused = fixture.reset(&code(&pending.ticket, "12345678"), NEW).await;
        assert_eq!(reason(refused), Reason::CodeInvalid, "{login}");
    }
    // Reads and writes are the same without an account, and with an account with or without an address.
    assert!(counts.iter().all(|c| *c == counts[0]), "{counts:?}");
    let mails = fixture.send_mails().await;
    let kinds: Vec<_> = mails.iter().map(|m| (m.kind, m.to.as_str())).collect();
    assert_eq!(kinds, [("password_reset", "grace@example.com")]);
}

async fn p19_a_reset_ends_every_session_and_invalidates_all_other_links(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (_, old) = fixture.bearer("grace@example.com", PASSWORD).await;
    fixture.request_reset("grace@example.com").await;
    let pending = fixture.request_reset("grace@example.com").await;
    let mails = fixture.send_mails().await;
    assert_eq!(
        reason(fixture.reset(&typed_code(&pending, &mails[0]), NEW).await),
        Reason::CodeInvalid,
        "a code of another ticket"
    );
    let weak = fixture.reset(&typed_code(&pending, &mails[1]), "short").await;
    assert_eq!(reason(weak), Reason::InvalidArgument);
    let own = fixture.reset(&typed_code(&pending, &mails[1]), "grace@example.com").await;
    assert_eq!(reason(own), Reason::InvalidArgument, "the address itself");
    assert_eq!(fixture.reset(&typed_code(&pending, &mails[1]), NEW).await.unwrap(), 1);
    assert_eq!(
        reason(fixture.reset(&clicked_link(&mails[1]), NEW).await),
        Reason::CodeInvalid,
        "it can be used only once"
    );
    assert_eq!(
        reason(fixture.reset(&clicked_link(&mails[0]), NEW).await),
        Reason::CodeInvalid,
        "the account has changed"
    );
    let dead = refresh(fixture.service(), "shop", &old, "", &[], "").await;
    assert_eq!(reason(dead), Reason::SessionRevoked);
    let old = sign_in(fixture.service(), login_of("shop", "grace@example.com", PASSWORD)).await;
    assert_eq!(reason(old), Reason::InvalidCredentials);
    assert!(sign_in(fixture.service(), login_of("shop", "grace@example.com", NEW)).await.is_ok());
    let notices = fixture.send_mails().await;
    assert_eq!((notices.len(), notices[0].kind, notices[0].to.as_str()), (1, "password_changed", "grace@example.com"));
    // Links expire.
    fixture.request_reset("grace@example.com").await;
    let mails = fixture.send_mails().await;
    fixture.app.pass(Ttl::from_secs(3600)).await;
    assert_eq!(reason(fixture.reset(&clicked_link(&mails[0]), PASSWORD).await), Reason::CodeInvalid);
}

async fn p18_a_code_allows_five_attempts_and_one_use_even_under_concurrency(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let pending = fixture.request_reset("grace@example.com").await;
    let mails = fixture.send_mails().await;
    for n in 0..5 {
        let guess = code(&pending.ticket, &format!("{n:08}"));
        assert_eq!(reason(fixture.reset(&guess, NEW).await), Reason::CodeInvalid);
    }
    assert_eq!(
        reason(fixture.reset(&typed_code(&pending, &mails[0]), NEW).await),
        Reason::CodeInvalid,
        "no attempts are left"
    );
    let pending = fixture.request_reset("grace@example.com").await;
    let mail = fixture.send_mails().await.remove(0);
    let grouped = mail.code.clone().unwrap();
    let grouped = format!("{} {}", &grouped[..4], &grouped[4..]);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let service = if n % 2 == 0 { fixture.service().clone() } else { fixture.app.second_process().await };
        let presented = code(&pending.ticket, &grouped);
        tasks.spawn(async move {
            let new = Password::new(format!("{NEW} number {n}"));
            loop {
                let password = Password::new(new.expose().to_owned());
                let reset =
                    PasswordReset { client_id: "shop".into(), presented: clone_presented(&presented), password };
                match service.accounts.reset_password(&service.context(), &ClientCredentials::None, reset).await {
                    Err(Error::Throttled { .. }) => tokio::task::yield_now().await,
                    other => return other,
                }
            }
        });
    }
    let done: Vec<_> = tasks.join_all().await;
    assert_eq!(done.iter().filter(|d| d.is_ok()).count(), 1, "{done:?}");
    assert!(done.into_iter().filter_map(Result::err).all(|e| e.reason() == Reason::CodeInvalid));
}

async fn p18_exhausting_the_attempts_of_a_code_does_not_invalidate_the_link(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let pending = fixture.request_reset("grace@example.com").await;
    let mail = fixture.send_mails().await.remove(0);
    for n in 0..6 {
        let guess = code(&pending.ticket, &format!("{n:08}"));
        assert_eq!(reason(fixture.reset(&guess, NEW).await), Reason::CodeInvalid);
    }
    assert_eq!(reason(fixture.verify(&clicked_link(&mail)).await), Reason::CodeInvalid, "it has another purpose");
    assert!(fixture.reset(&clicked_link(&mail), NEW).await.is_ok());
    assert_eq!(reason(fixture.reset(&clicked_link(&mail), NEW).await), Reason::CodeInvalid, "it can be used only once");
}

async fn a_code_is_valid_only_for_its_client_and_purpose(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let pending = fixture.request_reset("grace@example.com").await;
    let mail = fixture.send_mails().await.remove(0);
    let elsewhere = typed_code(&pending, &mail);
    let ctx = fixture.service().context();
    let password = Password::new(NEW.into());
    let reset = PasswordReset { client_id: "app".into(), presented: elsewhere, password };
    let other = fixture.service().accounts.reset_password(&ctx, &ClientCredentials::None, reset).await;
    assert_eq!(reason(other), Reason::CodeInvalid);
    assert_eq!(reason(fixture.verify(&typed_code(&pending, &mail)).await), Reason::CodeInvalid);
    assert!(fixture.reset(&typed_code(&pending, &mail), NEW).await.is_ok());
}

async fn s11_changing_the_password_ends_only_the_other_sessions(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, own) = fixture.bearer("grace@example.com", PASSWORD).await;
    let (_, other) = fixture.bearer("grace@example.com", PASSWORD).await;
    let change = async |current: &str, new: &str| {
        let (current, new) = (Password::new(current.into()), Password::new(new.into()));
        let me = admit_me(fixture.service(), &bearer).await?;
        fixture.service().accounts.change_password(&fixture.service().context(), &me, current, new).await
    };
    assert_eq!(reason(change("not the right one at all", NEW).await), Reason::InvalidCredentials);
    assert_eq!(reason(change(PASSWORD, "short").await), Reason::InvalidArgument);
    assert_eq!(change(PASSWORD, NEW).await.unwrap(), 1);
    assert!(refresh(fixture.service(), "shop", &own, "", &[], "").await.is_ok());
    assert_eq!(reason(refresh(fixture.service(), "shop", &other, "", &[], "").await), Reason::SessionRevoked);
    assert_eq!(fixture.send_mails().await[0].kind, "password_changed");
}

async fn s11_an_ended_session_changes_nothing_not_even_in_a_call_under_way(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let stolen = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let own = fixture.me(&fixture.bearer("grace@example.com", PASSWORD).await.0).await;
    let (accounts, ctx) = (&fixture.service().accounts, fixture.service().context());
    accounts.revoke_session(&own, None).await.unwrap();
    let patch = |name: Option<&str>, email: Option<&str>| MePatch {
        name: name.map(Into::into),
        email: email.map(Into::into),
        ..MePatch::default()
    };
    let (old, new) = (|| Password::new(PASSWORD.into()), || Password::new(NEW.into()));
    let refused = [
        accounts.update(&ctx, &stolen, patch(Some("mallory"), None)).await.map(|_| ()),
        accounts.update(&ctx, &stolen, patch(None, Some("mallory@example.com"))).await.map(|_| ()),
        accounts.change_password(&ctx, &stolen, old(), new()).await.map(|_| ()),
        accounts.revoke_session(&stolen, None).await.map(|_| ()),
        accounts.delete(&ctx, &stolen).await.map(|_| ()),
    ];
    for (nth, result) in refused.into_iter().enumerate() {
        assert_eq!(reason(result), Reason::TokenInvalid, "{nth}");
    }
    assert!(fixture.send_mails().await.is_empty());
    assert_eq!(accounts.sessions(&own).await.unwrap().len(), 1);
    assert!(sign_in(fixture.service(), login_of("shop", "grace@example.com", PASSWORD)).await.is_ok());
}

async fn p20_a_new_address_takes_effect_once_verified_and_both_addresses_are_notified(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    fixture.register_verified_user("heidi@example.com").await;
    let (bearer, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    fixture.send_mails().await;
    let update = async |patch: MePatch| {
        let me = admit_me(fixture.service(), &bearer).await?;
        fixture.service().accounts.update(&fixture.service().context(), &me, patch).await
    };
    let email = |text: &str| MePatch { email: Some(text.into()), ..MePatch::default() };
    // An address of another user: the same answer, and a notice to its owner.
    assert!(update(email("heidi@example.com")).await.unwrap().1.is_some());
    assert_eq!(fixture.send_mails().await[0].kind, "account_exists");
    let (view, pending) = update(email("new@example.com")).await.unwrap();
    assert_eq!(view.logins, ["grace@example.com"]);
    let mail = fixture.send_mails().await.remove(0);
    fixture.verify(&typed_code(&pending.unwrap(), &mail)).await.unwrap();
    let mut notices: Vec<_> = fixture.send_mails().await.iter().map(|m| (m.kind, m.to.clone())).collect();
    notices.sort();
    let both = [("email_changed", "grace@example.com".to_owned()), ("email_changed", "new@example.com".to_owned())];
    assert_eq!(notices, both);
    assert!(sign_in(fixture.service(), login_of("shop", "new@example.com", PASSWORD)).await.is_ok());
    let old = sign_in(fixture.service(), login_of("shop", "grace@example.com", PASSWORD)).await;
    assert_eq!(reason(old), Reason::InvalidCredentials);
    // Name and profile change at once. Users can change nothing else themselves.
    let profile = serde_json::json!({ "colour": "blue" }).as_object().cloned();
    let patch = MePatch { name: Some("grace".into()), profile, ..MePatch::default() };
    let (view, _) = update(patch).await.unwrap();
    assert_eq!((view.logins[0].as_str(), view.user.attributes["profile"]["colour"].as_str()), ("grace", Some("blue")));
    // Later, changing the name requires a fresh sign-in.
    fixture.app.pass(Ttl::from_secs(4 * 60)).await;
    assert!(update(MePatch { name: Some("gracie".into()), ..MePatch::default() }).await.is_ok());
}

async fn s09_s10_users_list_and_end_their_sessions_and_delete_the_account_after_a_fresh_sign_in(
    fixture: &AccountsFixture,
) {
    fixture.register_verified_user("grace@example.com").await;
    let (bearer, mine) = fixture.bearer("grace@example.com", PASSWORD).await;
    fixture.bearer("grace@example.com", PASSWORD).await;
    let stranger = fixture.app.sign_in().await;
    let me = fixture.me(&bearer).await;
    let sessions = fixture.service().accounts.sessions(&me).await.unwrap();
    assert_eq!((sessions.len(), sessions.iter().filter(|s| s.id == *me.session()).count()), (2, 1));
    let other = fixture.service().accounts.revoke_session(&me, Some(&stranger.session_id)).await;
    assert_eq!(reason(other), Reason::NotFound, "a session of another user");
    assert_eq!(fixture.service().accounts.revoke_session(&me, None).await.unwrap().sessions, 1);
    assert_eq!(fixture.service().accounts.sessions(&me).await.unwrap().len(), 1);
    fixture.app.pass(Ttl::from_secs(16 * 60)).await;
    let pair = refresh(fixture.service(), "shop", &mine, ISSUER, &[], "").await.unwrap();
    let stale = ClientCredentials::Bearer(pair.access.token.expose().to_owned());
    let gone = fixture.service().accounts.delete(&fixture.service().context(), &fixture.me(&stale).await).await;
    assert_eq!(reason(gone), Reason::SignInTooOld);
    let (fresh, _) = fixture.bearer("grace@example.com", PASSWORD).await;
    assert_eq!(
        fixture.service().accounts.delete(&fixture.service().context(), &fixture.me(&fresh).await).await.unwrap(),
        2
    );
    assert!(fixture.service().users.get(&Admin::command(), "grace@example.com").await.is_err());
    let again = admit_me(fixture.service(), &fresh).await;
    assert_eq!(reason(again), Reason::TokenInvalid);
}

pub(crate) fn step(challenge: &chancery::service::Challenge) -> NextStep {
    NextStep {
        client_id: "shop".into(),
        token: TicketToken::new(challenge.token.expose().to_owned()),
        new_password: Password::new(String::new()),
        email: String::new(),
        code: TypedCode::new(String::new()),
        recovery_code: TypedCode::new(String::new()),
        passkey_response: PasskeyResponse::new(String::new()),
    }
}

pub(crate) async fn continue_sign_in(service: &Service, next: NextStep) -> Result<SignedIn> {
    let continued = service.sign_ins.continue_sign_in(&service.context(), &ClientCredentials::None, next).await;
    continued.map(|continued| continued.signed_in)
}

pub(crate) async fn sign_in_challenge(
    fixture: &AccountsFixture,
    client: &str,
    login: &str,
) -> chancery::service::Challenge {
    let request = login_of(client, login, PASSWORD);
    let signed_in =
        fixture.service().sign_ins.sign_in(&fixture.service().context(), &ClientCredentials::None, request).await;
    let SignedIn::Challenge(challenge) = signed_in.unwrap() else { panic!("expected a challenge") };
    challenge
}

async fn p02_a_password_that_must_be_changed_yields_tokens_only_after_the_change(fixture: &AccountsFixture) {
    fixture.app.user("grace").await;
    fixture.service().users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let challenge = sign_in_challenge(fixture, "shop", "grace").await;
    assert_eq!(challenge.step, SignInStep::ChoosePassword);
    let weak = NextStep { new_password: Password::new("short".into()), ..step(&challenge) };
    assert_eq!(reason(continue_sign_in(fixture.service(), weak).await), Reason::InvalidArgument);
    let elsewhere = NextStep { client_id: "app".into(), new_password: Password::new(NEW.into()), ..step(&challenge) };
    assert_eq!(reason(continue_sign_in(fixture.service(), elsewhere).await), Reason::CodeInvalid);
    // Many concurrent submissions lead to one sign-in.
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let service = if n % 2 == 0 { fixture.service().clone() } else { fixture.app.second_process().await };
        let token = challenge.token.expose().to_owned();
        tasks.spawn(async move {
            loop {
                let next = NextStep {
                    client_id: "shop".into(),
                    token: TicketToken::new(token.clone()),
                    new_password: Password::new(NEW.into()),
                    email: String::new(),
                    code: TypedCode::new(String::new()),
                    recovery_code: TypedCode::new(String::new()),
                    passkey_response: PasskeyResponse::new(String::new()),
                };
                match continue_sign_in(&service, next).await {
                    Err(Error::Throttled { .. }) => tokio::task::yield_now().await,
                    other => return other.is_ok_and(|s| matches!(s, SignedIn::Tokens(_))),
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert!(sign_in(fixture.service(), login_of("shop", "grace", NEW)).await.is_ok());
    // A challenge expires, and every change of the account invalidates it.
    fixture.service().users.require_new_password(&Admin::command(), "grace").await.unwrap();
    let old = sign_in(fixture.service(), login_of("shop", "grace", PASSWORD)).await;
    assert_eq!(reason(old), Reason::InvalidCredentials);
}

async fn a_required_address_is_verified_during_sign_in(fixture: &AccountsFixture) {
    let strict = NewClientRequest { require_email: true, ..first_party("strict", &["api"]) };
    fixture.service().clients.create(&Admin::command(), strict).await.unwrap();
    let next = |challenge: &chancery::service::Challenge| NextStep { client_id: "strict".into(), ..step(challenge) };
    let first = sign_in_challenge(fixture, "strict", "ada").await;
    assert_eq!((first.step, &first.sent_to), (SignInStep::VerifyEmail, &None));
    let asked = NextStep { email: "ada@example.com".into(), ..next(&first) };
    let SignedIn::Challenge(second) = continue_sign_in(fixture.service(), asked).await.unwrap() else { panic!() };
    assert_eq!(second.sent_to.as_deref(), Some("ada@example.com"));
    let again = NextStep { email: "ada@example.com".into(), ..next(&first) };
    assert_eq!(
        reason(continue_sign_in(fixture.service(), again).await),
        Reason::CodeInvalid,
        "a challenge can be used only once"
    );
    let mail = fixture.send_mails().await.remove(0);
    assert!(mail.links.iter().all(|l| !l.contains("chl_")), "a link would be the sign-in itself");
    let typed = |code: &str| NextStep { code: TypedCode::new(code.to_owned()), ..next(&second) };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4 {
        let (service, guess) = (fixture.service().clone(), typed(&format!("{n:08}")));
        tasks.spawn(async move { continue_sign_in(&service, guess).await });
    }
    assert!(tasks.join_all().await.into_iter().all(|r| reason(r) == Reason::CodeInvalid));
    let done = continue_sign_in(fixture.service(), typed(mail.code.as_deref().unwrap())).await.unwrap();
    assert!(matches!(done, SignedIn::Tokens(_)));
    assert!(sign_in(fixture.service(), login_of("strict", "ada@example.com", PASSWORD)).await.is_ok());
}

async fn p18_a_sign_in_code_allows_five_attempts_even_under_concurrency(fixture: &AccountsFixture) {
    let strict = NewClientRequest { require_email: true, ..first_party("strict", &["api"]) };
    fixture.service().clients.create(&Admin::command(), strict).await.unwrap();
    let next = |challenge: &chancery::service::Challenge| NextStep { client_id: "strict".into(), ..step(challenge) };
    let asked =
        NextStep { email: "ada@example.com".into(), ..next(&sign_in_challenge(fixture, "strict", "ada").await) };
    let SignedIn::Challenge(second) = continue_sign_in(fixture.service(), asked).await.unwrap() else { panic!() };
    let right = fixture.send_mails().await.remove(0).code.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..5 {
        let guess = NextStep { code: TypedCode::new(format!("{n:08}")), ..next(&second) };
        let service = if n % 2 == 0 { fixture.service().clone() } else { fixture.app.second_process().await };
        tasks.spawn(async move { continue_sign_in(&service, guess).await });
    }
    assert!(tasks.join_all().await.into_iter().all(|r| r.is_err()));
    let late = NextStep { code: TypedCode::new(right), ..next(&second) };
    assert_eq!(reason(continue_sign_in(fixture.service(), late).await), Reason::CodeInvalid);
}

async fn an_administrator_starts_a_reset_without_learning_the_password(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let (_, old) = fixture.bearer("grace@example.com", PASSWORD).await;
    let start = async |keep| {
        let done = fixture
            .service()
            .users
            .start_reset(
                &Admin::command(),
                UserPasswordReset { user: "grace@example.com", client_id: "shop", keep_current: keep },
            )
            .await
            .unwrap();
        (done.ended.sessions, done.mailed)
    };
    assert_eq!(start(true).await, (0, true));
    assert!(refresh(fixture.service(), "shop", &old, "", &[], "").await.is_ok());
    assert_eq!(start(false).await, (1, true));
    let refused = sign_in(fixture.service(), login_of("shop", "grace@example.com", PASSWORD)).await;
    assert_eq!(reason(refused), Reason::InvalidCredentials);
    let mails = fixture.send_mails().await;
    assert_eq!(
        reason(fixture.reset(&clicked_link(&mails[0]), NEW).await),
        Reason::CodeInvalid,
        "the account has changed"
    );
    assert!(fixture.reset(&clicked_link(&mails[1]), NEW).await.is_ok());
    assert!(sign_in(fixture.service(), login_of("shop", "grace@example.com", NEW)).await.is_ok());
}

#[tokio::test]
async fn registration_works_only_through_clients_that_allow_it() {
    let fixture = AccountsFixture::sqlite().await;
    let input = |client: &str, email: &str| RegisterInput {
        client_id: client.into(),
        email: email.into(),
        name: "a@b".into(),
        password: Password::new("short".into()),
        language: String::new(),
        address: String::new(),
        user_agent: String::new(),
    };
    let ctx = fixture.service().context();
    let refused =
        fixture.service().accounts.register(&ctx, &ClientCredentials::None, input("app", "g@example.com")).await;
    assert_eq!(reason(refused), Reason::ClientNotAllowed);
    let Err(Error::Invalid(wrong)) =
        fixture.service().accounts.register(&ctx, &ClientCredentials::None, input("shop", "x")).await
    else {
        panic!("accepted")
    };
    let fields: Vec<_> = wrong.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["email", "name", "password"]);
}

async fn a45_mails_to_an_address_are_limited_whether_or_not_it_has_an_account(fixture: &AccountsFixture) {
    fixture.register_verified_user("grace@example.com").await;
    let ctx = fixture.service().context();
    let ask = async |login: &str| {
        fixture.service().accounts.request_password_reset(&ctx, &ClientCredentials::None, reset_request(login)).await
    };
    let mut refused_after = Vec::new();
    for login in ["GRACE@example.com", "nobody@example.com"] {
        let mut n = 0;
        while ask(login).await.is_ok() {
            n += 1;
            assert!(n < 10, "{login} is never refused");
        }
        let Err(Error::TooManyAttempts { by, closed, .. }) = ask(login).await else { panic!("{login}") };
        refused_after.push((n, by, closed));
    }
    // The registration was the first mail to this address.
    assert_eq!(refused_after, [(4, "mail", false), (5, "mail", false)]);
    fixture.app.pass(Ttl::from_secs(600)).await;
    assert!(ask("grace@example.com").await.is_ok());
    assert!(ask("grace@example.com").await.is_err());
}
