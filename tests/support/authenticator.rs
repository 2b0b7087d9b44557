//! An authenticator and the browser in front of it, which do as they are told, the forbidden included.

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// User present, user verified, backup eligible, backed up, with an attested credential.
pub(crate) const UP: u8 = 0x01;
pub(crate) const UV: u8 = 0x04;
pub(crate) const BE: u8 = 0x08;
pub(crate) const BS: u8 = 0x10;
const AT: u8 = 0x40;

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The kind of key that it makes.
#[derive(Clone, Copy)]
pub(crate) enum Alg {
    Es256,
    EdDsa,
    /// P-384, which is not offered.
    Es384,
}

/// What it says when it is asked.
#[derive(Clone)]
pub(crate) struct Says {
    pub(crate) origin: String,
    /// The host that is hashed.
    pub(crate) host: String,
    pub(crate) flags: u8,
    /// The challenge, if not the one that was asked for.
    pub(crate) challenge: Option<String>,
    /// The type, if not the right one.
    pub(crate) kind: Option<&'static str>,
    pub(crate) cross_origin: bool,
    /// The user whom it names, if not its own; empty for none.
    pub(crate) handle: Option<Vec<u8>>,
    /// The passkey that it names, if not its own.
    pub(crate) credential: Option<Vec<u8>>,
    /// The counter, if not the next.
    pub(crate) counter: Option<u32>,
}

impl Says {
    /// What is right at this origin.
    pub(crate) fn at(origin: &str) -> Self {
        let authority = origin.split_once("://").unwrap().1;
        Self {
            origin: origin.to_owned(),
            host: authority.split(':').next().unwrap().to_owned(),
            flags: UP | UV,
            challenge: None,
            kind: None,
            cross_origin: false,
            handle: None,
            credential: None,
            counter: None,
        }
    }
}

/// A passkey and who holds it.
pub(crate) struct Authenticator {
    key: Key,
    alg: Alg,
    pub(crate) id: Vec<u8>,
    pub(crate) counter: u32,
    pub(crate) handle: Vec<u8>,
}

impl Authenticator {
    pub(crate) fn new(alg: Alg) -> Self {
        let rng = SystemRandom::new();
        let key = match alg {
            Alg::Es256 | Alg::Es384 => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).unwrap();
                Key::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap())
            }
            Alg::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
                Key::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
        };
        let mut id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        Self { key, alg, id, counter: 0, handle: Vec::new() }
    }

    /// The public key as COSE (RFC 9053).
    fn cose(&self) -> Vec<u8> {
        match (&self.key, self.alg) {
            (Key::P256(key), Alg::Es256 | Alg::EdDsa) => {
                let point = key.public_key().as_ref();
                let head = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
                [&head[..], &point[1..33], &[0x22, 0x58, 0x20], &point[33..]].concat()
            }
            (Key::P256(_), Alg::Es384) => {
                let coordinate = [&[0x58, 0x30][..], &[7; 48]].concat();
                let head = [0xa5, 0x01, 0x02, 0x03, 0x38, 0x22, 0x20, 0x02, 0x21];
                [&head[..], &coordinate, &[0x22], &coordinate].concat()
            }
            (Key::Ed25519(key), _) => {
                let head = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
                [&head[..], key.public_key().as_ref()].concat()
            }
        }
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::P256(key) => key.sign(&SystemRandom::new(), data).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(data).as_ref().to_vec(),
        }
    }

    /// Makes a passkey, as `navigator.credentials.create` does.
    pub(crate) fn create(&mut self, options: &Value, says: &Says) -> Value {
        self.handle = URL_SAFE_NO_PAD.decode(options["user"]["id"].as_str().unwrap()).unwrap();
        let id = says.credential.clone().unwrap_or_else(|| self.id.clone());
        let length = u16::try_from(id.len()).unwrap().to_be_bytes();
        let attested = [&[0; 16][..], &length, &id, &self.cose()].concat();
        let data = [authenticator_data(says, AT, self.counter), attested].concat();
        let object = [
            &[0xa3, 0x63][..],
            b"fmt",
            &[0x64],
            b"none",
            &[0x67],
            b"attStmt",
            &[0xa0, 0x68],
            b"authData",
            &cbor_bytes(&data),
        ]
        .concat();
        Self::created(&id, &client_data(options, says, "webauthn.create"), &object)
    }

    /// The answer with this attestation object, whatever it is.
    pub(crate) fn created(id: &[u8], client_data: &str, object: &[u8]) -> Value {
        json!({
            "id": URL_SAFE_NO_PAD.encode(id),
            "rawId": URL_SAFE_NO_PAD.encode(id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": { "credProps": { "rk": true } },
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
                "transports": ["internal", "hybrid"],
            },
        })
    }

    /// Signs, as `navigator.credentials.get` does.
    pub(crate) fn get(&mut self, options: &Value, says: &Says) -> Value {
        self.counter = says.counter.unwrap_or(self.counter + 1);
        let data = authenticator_data(says, 0, self.counter);
        self.signed(&client_data(options, says, "webauthn.get"), &data, says)
    }

    /// The answer with these data, whatever they are, signed.
    pub(crate) fn signed(&self, client_data: &str, data: &[u8], says: &Says) -> Value {
        let hash = digest::digest(&digest::SHA256, client_data.as_bytes());
        let signature = self.sign(&[data, hash.as_ref()].concat());
        let id = URL_SAFE_NO_PAD.encode(says.credential.as_ref().unwrap_or(&self.id));
        let handle = says.handle.as_ref().unwrap_or(&self.handle);
        let mut response = json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        if !handle.is_empty() {
            response["userHandle"] = URL_SAFE_NO_PAD.encode(handle).into();
        }
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        })
    }
}

/// An answer with each of its members, and each member of those, left out, null, or of another type. Which it is stands
/// beside it.
pub(crate) fn changed(answer: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let Some(members) = answer.as_object() else { return all };
    let others =
        [json!(null), json!(true), json!(1), json!(""), json!("A"), json!("AAAA"), json!("é"), json!([]), json!({})];
    for (name, member) in members {
        let mut without = answer.clone();
        without.as_object_mut().unwrap().remove(name);
        all.push((format!("without {name}"), without));
        let deeper = changed(member).into_iter();
        let of_other_types = others.iter().map(|other| (format!("={other}"), other.clone()));
        for (what, member) in of_other_types.chain(deeper.map(|(what, member)| (format!(": {what}"), member))) {
            let mut with = answer.clone();
            with[name] = member;
            all.push((format!("{name}{what}"), with));
        }
    }
    all
}

pub(crate) fn client_data(options: &Value, says: &Says, kind: &str) -> String {
    json!({
        "type": says.kind.unwrap_or(kind),
        "challenge": says.challenge.as_deref().unwrap_or_else(|| options["challenge"].as_str().unwrap()),
        "origin": says.origin,
        "crossOrigin": says.cross_origin,
    })
    .to_string()
}

pub(crate) fn authenticator_data(says: &Says, more: u8, counter: u32) -> Vec<u8> {
    let host = digest::digest(&digest::SHA256, says.host.as_bytes());
    [host.as_ref(), &[says.flags | more], &counter.to_be_bytes()].concat()
}

/// A byte string of CBOR.
pub(crate) fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(bytes.len()) {
        Ok(length) if length < 24 => vec![0x40 | length],
        Ok(length) => vec![0x58, length],
        Err(_) if bytes.len() <= 0xffff => [&[0x59][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes()].concat(),
        Err(_) => [&[0x5a][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes()].concat(),
    };
    [head, bytes.to_vec()].concat()
}
