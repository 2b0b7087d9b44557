//! Sample values for the account page and what follows it.

use super::{NOW, Sample, app, asked, codes, form, text};
use crate::{
    time::Ttl,
    web::pages::{
        Account, AccountAction, Attribute, Factor, FactorKind, Factors, Field, Form, Hidden, LoggingOut, NewPasskey,
        NewTotp, PendingEmail, RecoveryCodes, Session, SignedOut, Text, Tone, View,
    },
};

fn account_with(change: fn(&mut Factors)) -> Account {
    let mut page = account(form());
    page.factors = with_factors();
    page.min_password = 8;
    change(&mut page.factors);
    page
}

pub(super) fn own_passkeys() -> Vec<Sample> {
    let passkeys = account_with(|factors| {
        factors.passkeys = true;
        factors.passkey_host = Some(text("shop.example"));
    });
    let new_passkey = account_with(|factors| {
        let form = Hidden::new(Sample::value("form"));
        factors.passkey = Some(NewPasskey { form, options: asked() });
    });
    vec![
        Sample::new(
            "account-passkeys",
            View::Account(Box::new(passkeys)),
            &["factors", "totp-add", "passkey-add"],
            &["csrf", "factor_id"],
        ),
        Sample::new(
            "account-passkey",
            View::Account(Box::new(new_passkey)),
            &["factors", "passkey-submit"],
            &["csrf", "form"],
        ),
    ]
}

pub(super) fn own_account() -> Vec<Sample> {
    let mut pending = account(form().wrong(Field::Code, Text::CodeInvalid));
    pending.pending_email =
        Some(PendingEmail { email: text("ada@new.example"), form: Hidden::new(Sample::value("form")) });
    pending.acted = Some(AccountAction::VerifyEmail);
    pending.password_needed = true;
    pending.more_sessions = true;
    pending.has_password = false;
    pending.attributes = Vec::new();
    pending.username_editable = false;
    let mut old = account(form().wrong(Field::CurrentPassword, Text::Required));
    (old.acted, old.password_needed) = (Some(AccountAction::ChangeEmail), true);
    let with_two = account_with(|_| {});
    let mut strict = account_with(|factors| factors.sign_in_again = Some(text("/auth/login?r=sample-r")));
    strict.strict = true;
    let mut last = account_with(|factors| {
        factors.list.truncate(1);
        factors.password_needed = true;
    });
    last.form = form().wrong(Field::Password, Text::WrongPassword);
    last.acted = Some(AccountAction::RemoveFactor);
    let mut adding = account_with(|factors| factors.totp = Some(new_totp()));
    adding.form = form().wrong(Field::Code, Text::CodeInvalid);
    adding.acted = Some(AccountAction::ConfirmTotp);
    let codes = RecoveryCodes { codes: codes(), continue_to: text("/auth/account") };
    let asks = |return_to| View::LoggingOut(LoggingOut { form: form(), name: text("ada"), return_to });
    vec![
        Sample::new(
            "account",
            View::Account(Box::new(account(form()))),
            &["username-submit", "email-submit", "password-submit", "download-submit", "delete-submit"],
            &["csrf"],
        )
        .with_notice(Tone::Done, Text::PasswordChanged { ended: 2 }),
        Sample::new(
            "account-old",
            View::Account(Box::new(old)),
            &["email-current_password", "email-submit"],
            &["csrf"],
        ),
        Sample::new("account-pending", View::Account(Box::new(pending)), &["code", "verify-submit"], &["csrf", "form"]),
        Sample::new(
            "account-factors",
            View::Account(Box::new(with_two)),
            &["factors", "totp-add", "recovery-new"],
            &["csrf", "factor_id"],
        ),
        Sample::new("account-factors-again", View::Account(Box::new(strict)), &["sign-in-again"], &["csrf"]),
        Sample::new(
            "account-factors-last",
            View::Account(Box::new(last)),
            &["factor-password"],
            &["csrf", "factor_id"],
        ),
        Sample::new(
            "account-totp",
            View::Account(Box::new(adding)),
            &["secret", "totp-code", "totp-submit"],
            &["csrf", "form"],
        ),
        Sample::new("recovery-codes", View::RecoveryCodes(codes), &["recovery-codes", "continue"], &[]),
        Sample::new("logout", asks(Some(text("/basket"))), &["logout-confirm"], &["csrf"]),
        Sample::new(
            "signed-out",
            View::SignedOut(SignedOut { everywhere: false, return_to: Some(text("/basket")) }),
            &["continue"],
            &[],
        ),
        Sample::new(
            "signed-out-everywhere",
            View::SignedOut(SignedOut { everywhere: true, return_to: None }),
            &["continue"],
            &[],
        ),
    ]
}

fn with_factors() -> Factors {
    let factor = |n: i64, kind, name: &str, last_used_at| Factor {
        id: Sample::value("factor_id"),
        kind,
        name: text(name),
        added_at: NOW.minus(Ttl::from_days(40 * n)),
        last_used_at,
    };
    let list = vec![
        factor(1, FactorKind::Totp, "", None),
        factor(2, FactorKind::Passkey, "Ada's laptop", Some(NOW.minus(Ttl::from_days(1)))),
    ];
    let codes_form = Hidden::new(Sample::value("form"));
    Factors { list, recovery_codes: Some(9), codes_form, ..Factors::default() }
}

fn new_totp() -> NewTotp {
    let form = Hidden::new(Sample::value("form"));
    let (secret, uri, picture) = app();
    NewTotp { form, secret, uri, picture }
}

fn account(form: Form) -> Account {
    let session = |n: i64, browser: &str, system: &str, label: &str| Session {
        id: format!("ses_0{n}"),
        label: text(label),
        browser: text(browser),
        system: text(system),
        application: text(if n == 2 { "Warehouse" } else { "Example Shop" }),
        address: format!("192.0.2.{n}"),
        signed_in_at: NOW.minus(Ttl::from_days(3 * n + 1)),
        last_used_at: NOW.minus(Ttl::from_secs(n * n * 7000)),
        current: n == 0,
    };
    let attribute = |name: &str, value: &str| Attribute { name: text(name), value: text(value) };
    Account {
        form,
        acted: None,
        name: text("ada"),
        username: text("ada"),
        username_editable: true,
        emails: vec![text("ada@example.org")],
        email_typed: text(""),
        pending_email: None,
        has_password: true,
        min_password: 15,
        password_needed: false,
        factors: Factors::default(),
        strict: false,
        attributes: vec![attribute("given_name", "Ada"), attribute("department", "Research")],
        sessions: vec![
            session(0, "Firefox", "Linux", ""),
            session(1, "Safari", "iPhone", "Ada's phone"),
            session(2, "", "", ""),
        ],
        more_sessions: false,
    }
}
