//! What browsers are asked: `PublicKeyCredentialCreationOptionsJSON` and `PublicKeyCredentialRequestOptionsJSON`
//! (WebAuthn §5.1.8 and §5.1.9), ready for `parseCreationOptionsFromJSON` and `parseRequestOptionsFromJSON`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{Challenge, Purpose, RelyingParty};
use crate::domain::passkey::{Credential, HANDLE};

/// How long a browser waits for its user, in milliseconds.
const TIMEOUT: u32 = 300_000;
/// The kinds of keys, the best first: Ed25519, P-256, RSA (COSE numbers). The last one is what Windows had at first.
const ALGORITHMS: [i32; 3] = [-8, -7, -257];
/// The longest name of a user, in bytes: authenticators may cut after 64 (WebAuthn §5.4.3).
const MAX_USER_NAME: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreationOptions<'a> {
    rp: Rp<'a>,
    user: User<'a>,
    challenge: String,
    pub_key_cred_params: [Params; 3],
    timeout: u32,
    exclude_credentials: Vec<Descriptor<'a>>,
    authenticator_selection: Selection,
    attestation: &'static str,
    extensions: Extensions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestOptions<'a> {
    challenge: String,
    timeout: u32,
    rp_id: &'a str,
    allow_credentials: Vec<Descriptor<'a>>,
    user_verification: &'static str,
}

#[derive(Serialize)]
struct Rp<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    id: String,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct Params {
    r#type: &'static str,
    alg: i32,
}

#[derive(Serialize)]
struct Descriptor<'a> {
    r#type: &'static str,
    id: String,
    transports: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    require_resident_key: bool,
    user_verification: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    cred_props: bool,
}

/// The options for a new passkey of a user whom authenticators call `handle`. Authenticators that have one of `present`
/// make no second one.
#[must_use]
pub fn creation_options(
    rp: &RelyingParty,
    challenge: Challenge,
    (handle, name): (&[u8; HANDLE], &str),
    present: &[Credential],
) -> String {
    let name = name.get(..name.floor_char_boundary(MAX_USER_NAME)).unwrap_or_default();
    let options = CreationOptions {
        rp: Rp { id: rp.host(), name: rp.name() },
        user: User { id: URL_SAFE_NO_PAD.encode(handle), name, display_name: name },
        challenge: text(challenge),
        pub_key_cred_params: ALGORITHMS.map(|alg| Params { r#type: "public-key", alg }),
        timeout: TIMEOUT,
        exclude_credentials: descriptors(present),
        // A security key without room or without a PIN is still good as a second factor.
        authenticator_selection: Selection {
            resident_key: "preferred",
            require_resident_key: false,
            user_verification: "preferred",
        },
        attestation: "none",
        extensions: Extensions { cred_props: true },
    };
    serde_json::to_string(&options).unwrap_or_default()
}

/// The options for a sign-in with one of these passkeys or, if there are none, with any that the authenticator has for
/// this host.
#[must_use]
pub fn request_options(rp: &RelyingParty, challenge: Challenge, allowed: &[Credential], purpose: Purpose) -> String {
    let options = RequestOptions {
        challenge: text(challenge),
        timeout: TIMEOUT,
        rp_id: rp.host(),
        allow_credentials: descriptors(allowed),
        user_verification: match purpose {
            Purpose::Alone => "required",
            Purpose::SecondFactor => "preferred",
        },
    };
    serde_json::to_string(&options).unwrap_or_default()
}

fn text(challenge: Challenge) -> String {
    URL_SAFE_NO_PAD.encode(challenge.0)
}

fn descriptors(passkeys: &[Credential]) -> Vec<Descriptor<'_>> {
    passkeys.iter().map(Descriptor::of).collect()
}

impl<'a> Descriptor<'a> {
    fn of(passkey: &'a Credential) -> Self {
        let id = URL_SAFE_NO_PAD.encode(&passkey.id);
        Self { r#type: "public-key", id, transports: passkey.transports.split_whitespace().collect() }
    }
}
