//! A claimed, empty database, and test data for it.

use std::sync::Arc;

use chancery::{
    domain::{
        client::{Client, ClientConfig, Grant},
        keys::{Algorithm, KeyState, StoredKey},
        later::Later,
        login::Login,
        mail::{MailKind, SealedMail},
        session::{Rotation, Session, SessionKind},
        settings::Settings,
        status_list::StatusIndex,
        text::Label,
        user::User,
    },
    entropy::{Entropy, SeededEntropy},
    id::{KeyId, MailId, SessionId, UserId},
    passwords::Phc,
    secret::SessionSecret,
    store::{Claim, NewUser, Schema, Store, TakenName},
    time::{Timestamp, Ttl},
};
use serde_json::json;

use crate::database::Database;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_123);
pub(crate) const ISSUER: &str = "https://id.example.com";

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: Database,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: Settings,
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        Self::on(Database::sqlite()).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(Database::postgres().await).await
    }

    pub(crate) async fn on(database: Database) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let store = Store::open(&database.location, true, entropy.clone()).await.unwrap();
        assert_eq!(store.schema().await.unwrap(), Schema::Missing);
        store.migrate(NOW).await.unwrap();
        assert!(matches!(store.schema().await.unwrap(), Schema::Current(_)));
        let fixture = Self { store, database, entropy, settings: Settings::default() };
        let mut tx = fixture.store.write().await.unwrap();
        assert!(tx.instance_claim(&claim(ISSUER)).await.unwrap());
        tx.commit().await.unwrap();
        fixture
    }

    /// A second process on the same database.
    pub(crate) async fn second(&self) -> Store {
        Store::open(&self.database.location, false, self.entropy.clone()).await.unwrap()
    }

    pub(crate) async fn finish(self) {
        self.store.close().await;
        self.database.drop().await;
    }

    pub(crate) fn user(&self, name: &str) -> NewUser {
        let id = UserId::new(NOW, &*self.entropy);
        let attributes = json!({ "name": "Ada Ćirić 🦀", "deep": { "n": [1, 2] } }).as_object().cloned().unwrap();
        let subject = id.as_str().to_owned();
        let language = Some("pt-br".parse().unwrap());
        let user = User {
            id,
            subject,
            attributes,
            language,
            security_version: 1,
            second_factors: 0,
            disabled_at: None,
            created_at: NOW,
        };
        NewUser {
            user,
            logins: vec![Login::parse(name).unwrap()],
            password: Some(Phc::from_database("$argon2id$x".into())),
        }
    }

    /// A user in the database.
    pub(crate) async fn ada(&self) -> User {
        let new = self.user("ada");
        let mut tx = self.store.write().await.unwrap();
        assert_eq!(tx.user_insert(&new).await.unwrap(), None);
        tx.commit().await.unwrap();
        new.user
    }

    pub(crate) fn client(id: &str) -> Client {
        let config = ClientConfig {
            first_party: true,
            grants: vec![Grant::DirectLogin, Grant::RefreshToken],
            audiences: vec!["api".parse().unwrap(), ISSUER.parse().unwrap()],
            scopes: vec!["read".parse().unwrap()],
            permissions: vec![],
            algorithm: Algorithm::Es256,
            token_lifetime: Ttl::from_secs(300),
            session_idle: Ttl::from_days(7),
            session_absolute: Ttl::from_days(30),
            previous_token_lifetime: None,
            token_lifetimes_noted_since: Some(NOW),
            claim_map: std::collections::BTreeMap::new(),
            trusted_end_user: false,
            roles: vec![],
            registration: false,
            require_email: false,
            require_mfa: false,
            link_template: None,
            display_name: Some(Label::parse("Zoë's shop", 64).unwrap()),
            site: None,
            logo_uri: None,
            accent_color: None,
            cors_origins: Vec::new(),
            browser_tokens: false,
            guest_data: std::collections::BTreeMap::new(),
            later: Later::default(),
        };
        Client {
            id: id.parse().unwrap(),
            secret: None,
            config,
            disabled_at: None,
            created_at: NOW,
            status: None,
            previous_secret: None,
            revision: 1,
        }
    }

    pub(crate) fn session(&self, user: &User) -> Session {
        let secret = SessionSecret::generate(&*self.entropy);
        Session {
            id: SessionId::new(NOW, &*self.entropy),
            kind: SessionKind::Token,
            parent: None,
            site: None,
            superseded_by: None,
            user: Some(user.id.clone()),
            subject: user.subject.clone(),
            client: "app".parse().unwrap(),
            generation: 0,
            secret: secret.hash(),
            rotated_at: NOW,
            previous_rotated_at: NOW,
            rotation_request_id: None,
            auth_time: NOW,
            amr: vec!["pwd".into()],
            acr: "1".into(),
            scopes: vec!["read".parse().unwrap(), "write".parse().unwrap()],
            audiences: vec!["api".parse().unwrap(), "other".parse().unwrap()],
            claims: json!({ "team": "Zoë" }).as_object().cloned().unwrap(),
            roles: vec!["rol_00000000000000000000000002".parse().unwrap()],
            created_at: NOW,
            idle_ttl: Ttl::from_days(7),
            idle_expires_at: NOW.plus(Ttl::from_days(7)),
            absolute_expires_at: NOW.plus(Ttl::from_days(30)),
            revoked: None,
            device_label: "Zoë's laptop".into(),
            user_agent: "agent/1".into(),
            address: "192.0.2.7".into(),
            status: Some(StatusIndex { list: 1, index: 131_071 }),
        }
    }

    /// A session in the database.
    pub(crate) async fn signed_in(&self, user: &User) -> Session {
        let session = self.session(user);
        let mut tx = self.store.write().await.unwrap();
        tx.session_insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        session
    }

    pub(crate) async fn stored(&self, id: &SessionId) -> Session {
        self.store.read().await.unwrap().session_by_id(id).await.unwrap().unwrap()
    }

    /// A mail that expires an hour after it was queued.
    pub(crate) fn mail(&self, to: &str, created_at: Timestamp) -> SealedMail {
        SealedMail {
            id: MailId::new(created_at, &*self.entropy),
            to: to.parse().unwrap(),
            kind: MailKind::VerifyEmail,
            language: "pt-br".parse().unwrap(),
            sealed: vec![0, 1, 255],
            sealing_version: 1,
            created_at,
            expires_at: created_at.plus(Ttl::from_secs(3600)),
        }
    }

    pub(crate) fn key(&self, algorithm: Algorithm, state: KeyState) -> StoredKey {
        let id = KeyId::new(NOW, &*self.entropy);
        StoredKey {
            kid: format!("kid-of-{id}"),
            id,
            algorithm,
            state,
            public_jwk: json!({ "kty": "EC", "x": "é" }),
            sealed: vec![0, 1, 255],
            sealing_version: 1,
            created_at: NOW,
            activated_at: None,
            retired_at: None,
            rotate_at: Some(NOW.plus(Ttl::from_days(30))),
        }
    }
}

pub(crate) fn claim(issuer: &str) -> Claim {
    Claim { issuer: issuer.into(), dev: false, sealing_version: 1, check_value: vec![7, 0, 255], now: NOW }
}

pub(crate) fn taken_login(field: &'static str, text: &str) -> TakenName {
    TakenName::Login { field, text: text.into() }
}

/// A request that presents the token of this generation.
pub(crate) fn rotation(session: &Session, generation: i64) -> Rotation {
    Rotation {
        session: session.id.clone(),
        generation,
        secret: session.secret,
        client: session.client.clone(),
        audience: "api".parse().unwrap(),
        scopes: vec![],
        request_id: None,
        arrived: NOW,
        tried_at: None,
    }
}
