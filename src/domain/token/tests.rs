use serde_json::Map;

use super::*;
use crate::{
    domain::{
        keys::Algorithm,
        later::Later,
        session::{RevokedCause, Session, SessionKind},
    },
    entropy::SeededEntropy,
    id::{SessionId, UserId},
    secret::SessionSecret,
};

const SIGNED_IN: Timestamp = Timestamp::from_millis(1_893_456_000_000);

fn at(seconds: i64) -> Timestamp {
    SIGNED_IN.plus(Ttl::from_secs(seconds))
}

fn session() -> Session {
    let entropy = SeededEntropy::new(1);
    Session {
        id: SessionId::new(SIGNED_IN, &entropy),
        kind: SessionKind::Token,
        parent: None,
        site: None,
        superseded_by: None,
        user: Some(UserId::new(SIGNED_IN, &entropy)),
        subject: "ada".into(),
        client: "app".parse().unwrap(),
        generation: 0,
        secret: SessionSecret::generate(&entropy).hash(),
        rotated_at: SIGNED_IN,
        previous_rotated_at: SIGNED_IN,
        rotation_request_id: None,
        auth_time: SIGNED_IN,
        amr: Vec::new(),
        acr: String::new(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        claims: Map::new(),
        roles: Vec::new(),
        created_at: SIGNED_IN,
        idle_ttl: Ttl::from_days(7),
        idle_expires_at: at(7 * 86_400),
        absolute_expires_at: at(30 * 86_400),
        revoked: None,
        device_label: String::new(),
        user_agent: String::new(),
        address: String::new(),
        status: None,
    }
}

fn client(lifetime: i64) -> ClientConfig {
    ClientConfig {
        first_party: true,
        grants: Vec::new(),
        audiences: Vec::new(),
        scopes: Vec::new(),
        permissions: Vec::new(),
        roles: Vec::new(),
        algorithm: Algorithm::Es256,
        token_lifetime: Ttl::from_secs(lifetime),
        previous_token_lifetime: None,
        token_lifetimes_noted_since: Some(SIGNED_IN),
        session_idle: ClientConfig::SESSION_IDLE,
        session_absolute: ClientConfig::SESSION_ABSOLUTE,
        claim_map: std::collections::BTreeMap::new(),
        trusted_end_user: false,
        registration: false,
        require_email: false,
        require_mfa: false,
        link_template: None,
        display_name: None,
        site: None,
        logo_uri: None,
        accent_color: None,
        cors_origins: Vec::new(),
        browser_tokens: false,
        guest_data: std::collections::BTreeMap::new(),
        later: Later::default(),
    }
}

fn end(session: &Session, client: &ClientConfig, now: i64) -> i64 {
    let end = last_token_end(session, Some(client), &Settings::default(), at(now));
    end.since(SIGNED_IN).seconds()
}

#[test]
fn the_end_is_that_of_the_token_of_the_sign_in_or_the_last_refresh() {
    let (mut session, client) = (session(), client(300));
    assert_eq!(end(&session, &client, 100), 300);
    // A later log-out does not move it.
    assert_eq!(end(&session, &client, 5000), 300);
    session.generation = 3;
    session.rotated_at = at(1000);
    // A slow sibling may have got a token until the end of the grace period.
    assert_eq!(end(&session, &client, 1000), 1300);
    assert_eq!(end(&session, &client, 5000), 1360);
    // A call with a request id may be repeated however late.
    session.rotation_request_id = Some("r".into());
    assert_eq!(end(&session, &client, 5000), 5300);
    session.revoked = Some((at(2000), RevokedCause::Logout));
    assert_eq!(end(&session, &client, 5000), 2360);
    session.absolute_expires_at = at(2100);
    assert_eq!(end(&session, &client, 5000), 2100);
}

#[test]
fn tokens_with_a_longer_lifetime_than_todays_are_not_forgotten() {
    let (mut session, mut client) = (session(), client(3600));
    client.set_token_lifetime(Ttl::from_secs(300), at(10));
    assert_eq!(end(&session, &client, 20), 3600);
    // Two changes in short order.
    client.set_token_lifetime(Ttl::from_secs(600), at(30));
    assert_eq!(end(&session, &client, 40), 3600);
    // Until 60 s after the change, another process may still have used the previous lifetime.
    (session.generation, session.rotated_at) = (1, at(500));
    assert_eq!(end(&session, &client, 500), 70 + 3600);
    // A session that was opened later never had one.
    session.created_at = at(95);
    assert_eq!(end(&session, &client, 500), 1100);
    // Changes whose tokens have expired are forgotten.
    client.set_token_lifetime(Ttl::from_secs(60), at(90_000));
    assert_eq!(client.previous_token_lifetime, Some((Ttl::from_secs(600), at(90_000))));
    // The same lifetime again is no change.
    client.set_token_lifetime(Ttl::from_secs(60), at(90_001));
    assert_eq!(client.previous_token_lifetime, Some((Ttl::from_secs(600), at(90_000))));
}

#[test]
fn the_ceiling_counts_for_a_client_that_is_gone_and_above_every_lifetime() {
    let session = session();
    let mut settings = Settings { access_token_lifetime_ceiling: Ttl::from_secs(600), ..Settings::default() };
    let of = |settings: &Settings, config: Option<&ClientConfig>| {
        last_token_end(&session, config, settings, at(10)).since(SIGNED_IN).seconds()
    };
    assert_eq!((of(&settings, None), of(&settings, Some(&client(3600)))), (600, 600));
    // It was lowered a moment ago.
    settings.previous_ceiling = Some((Ttl::from_secs(7200), at(5)));
    assert_eq!((of(&settings, None), of(&settings, Some(&client(3600)))), (7200, 3600));
}

#[test]
fn a_row_that_may_be_older_than_the_last_refresh_is_not_believed() {
    let (session, client) = (session(), client(300));
    let settings = Settings { commits_lost_at: Some(at(1000)), ..Settings::default() };
    let end =
        |session: &Session, now| last_token_end(session, Some(&client), &settings, at(now)).since(SIGNED_IN).seconds();
    // The client's lifetime may have gone back as well: the lost tokens may have had the longest there is. Another
    // process may have issued some a little later.
    assert_eq!((end(&session, 1000), end(&session, 5000)), (4600, 4660));
    // A refresh since then does not make up for it, until they have expired.
    let refreshed = Session { rotated_at: at(1500), generation: 1, ..session.clone() };
    assert_eq!(end(&refreshed, 1500), 4660);
    let refreshed = Session { rotated_at: at(9000), ..refreshed };
    assert_eq!(end(&refreshed, 9000), 9300);
    // Nothing was issued long after a session was ended, or beyond its idle time.
    let revoked = Session { revoked: Some((at(500), RevokedCause::Logout)), ..session.clone() };
    assert_eq!(end(&revoked, 5000), 560 + 3600);
    let idle = Session { idle_ttl: Ttl::from_secs(600), idle_expires_at: at(600), ..session.clone() };
    assert_eq!(end(&idle, 5000), 1660);
    let later = Session { created_at: at(1100), rotated_at: at(1100), ..session };
    assert_eq!(end(&later, 5000), 1400);
}

#[test]
fn an_older_release_that_changed_the_client_left_no_note_of_its_lifetimes() {
    let (mut session, mut client) = (session(), client(300));
    client.token_lifetimes_noted_since = Some(at(100));
    assert_eq!(end(&session, &client, 50), 3600);
    (session.generation, session.rotated_at) = (1, at(5000));
    assert_eq!(end(&session, &client, 5000), 5300);
    (session.created_at, session.rotated_at) = (at(200), at(200));
    assert_eq!(end(&session, &client, 200), 500);
    client.token_lifetimes_noted_since = None;
    assert_eq!(end(&session, &client, 200), 3800);
}

#[test]
fn a_lifetime_that_was_raised_later_counts_only_for_tokens_issued_since() {
    let (mut session, mut client) = (session(), client(300));
    client.set_token_lifetime(Ttl::from_secs(3600), at(200));
    assert_eq!(end(&session, &client, 250), 300);
    // The clock of another process may be behind.
    session.rotated_at = at(150);
    assert_eq!(end(&session, &client, 250), 3750);
    session.rotated_at = at(220);
    assert_eq!(end(&session, &client, 250), 3820);
}

#[test]
fn no_token_outlives_the_idle_time_of_its_session() {
    let (mut session, client) = (session(), client(3600));
    (session.idle_ttl, session.idle_expires_at) = (Ttl::from_secs(600), at(600));
    assert_eq!(end(&session, &client, 100), 600);
}
