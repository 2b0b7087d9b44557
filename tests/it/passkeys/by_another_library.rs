//! The same with a browser and an authenticator in software that others have written: that of 1Password.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use passkey::{
    authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod},
    client::{Client, DefaultClientData},
    crypto::rust_crypto::RustCryptoBackend,
    types::{
        Passkey,
        ctap2::{Aaguid, Ctap2Error},
        webauthn::{CredentialCreationOptions, CredentialRequestOptions},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    browser::{Browser, ORIGIN, browser_routes},
    page_json::{act, get, sign_in},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_passkey_is_made_and_signs_in_alone_and_after_the_password,
    }
}

/// A device whose owner agrees to everything.
struct Agrees;

#[async_trait::async_trait]
impl UserValidationMethod for Agrees {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _: UiHint<'a, Passkey>,
        _: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence: true, verification })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

/// The library writes bytes as numbers, and browsers as base64url.
fn as_browsers_write(answer: &impl Serialize) -> String {
    fn bytes_as_text(value: &mut Value) {
        match value {
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => {
                let byte = |item: &Value| u8::try_from(item.as_u64().unwrap()).unwrap();
                *value = URL_SAFE_NO_PAD.encode(items.iter().map(byte).collect::<Vec<_>>()).into();
            }
            Value::Array(items) => items.iter_mut().for_each(bytes_as_text),
            Value::Object(members) => members.values_mut().for_each(bytes_as_text),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(answer).unwrap();
    bytes_as_text(&mut value);
    value.to_string()
}

async fn a_passkey_is_made_and_signs_in_alone_and_after_the_password(app: &App) {
    let routes = browser_routes(app).await;
    let authenticator = Authenticator::new(Aaguid::new_empty(), None::<Passkey>, Agrees, RustCryptoBackend);
    let mut client = Client::new(authenticator).allows_insecure_localhost(true);
    let origin = Url::parse(ORIGIN).unwrap();
    let mut browser = Browser::new(&routes);
    sign_in(&mut browser, "/", "ada", PASSWORD).await;
    let page = get(&mut browser, "/auth/account").await;
    let begun = act(&mut browser, &page, "add_passkey", json!({})).await;
    let options: CredentialCreationOptions =
        serde_json::from_value(json!({ "publicKey": begun.json["passkey_options"] })).unwrap();
    let made = client.register(&origin, options, DefaultClientData).await.unwrap();
    let made = json!({ "passkey_response": as_browsers_write(&made) });
    let added = act(&mut browser, &begun, "confirm_passkey", made).await;
    assert_eq!(added.name(), "recovery_codes", "{}", added.json);

    let alone = get(&mut Browser::new(&routes), "/auth/login?return_to=/basket").await;
    assert!(alone.json["passkey_options"].is_object());
    for password in [false, true] {
        let mut browser = Browser::new(&routes);
        let step = if password {
            sign_in(&mut browser, "/basket", "ada", PASSWORD).await
        } else {
            get(&mut browser, "/auth/login?return_to=/basket").await
        };
        let asked: Value = step.json["passkey_options"].clone();
        let options: CredentialRequestOptions = serde_json::from_value(json!({ "publicKey": asked })).unwrap();
        let signed = client.authenticate(&origin, options, DefaultClientData).await.unwrap();
        let signed = json!({ "passkey_response": as_browsers_write(&signed) });
        assert_eq!(act(&mut browser, &step, "passkey", signed).await.done(), "/basket", "{password}");
    }
}
