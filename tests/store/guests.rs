//! Sessions of guests, and their data when they become users.

use chancery::{
    domain::{
        audit::{Actor, AuditFilter, AuditKind},
        guest::{GuestDataPolicy, GuestJoin, GuestPolicies, SAME_BROWSER, SigningBrowser},
        session::{FormSpending, OpenOutcome, RevokedCause, Session, SessionKind},
        session_data::MAX_VALUES,
        user::User,
    },
    id::UserId,
    store::{By, Opening, Revoke, Store},
    time::{Timestamp, Ttl},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    fixture::{Fixture, NOW},
    openings::opening,
};

/// The session of a guest, in the database.
async fn guest(f: &Fixture) -> Session {
    let nobody = f.user("nobody").user;
    let session = Session { user: None, acr: "0".into(), amr: Vec::new(), roles: Vec::new(), ..f.session(&nobody) };
    let mut tx = f.store.write().await.unwrap();
    let opened = tx.session_open(&Opening::of_guest(session.clone()), &f.settings, NOW).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
    tx.commit().await.unwrap();
    session
}

/// A sign-in of a guest.
fn joining(f: &Fixture, user: &User, guest: &Session, policies: GuestPolicies) -> Opening {
    let join = GuestJoin { session: guest.id.clone(), policies };
    Opening { guest: Some(join), ..opening(f, f.session(user)) }
}

async fn open(f: &Fixture, opening: &Opening) -> OpenOutcome {
    let mut tx = f.store.write().await.unwrap();
    let outcome = tx.session_open(opening, &f.settings, NOW).await.unwrap();
    tx.commit().await.unwrap();
    outcome
}

async fn store(f: &Fixture, owner: &str, namespace: &str, value: &str, version: i64) {
    let kind = if f.database.engine == "postgres" { "BYTEA" } else { "BLOB" };
    let columns = "owner, namespace, value, version, updated_at";
    let values = format!("'{owner}', '{namespace}', CAST('{value}' AS {kind}), {version}, 1");
    f.database.sql(&format!("INSERT INTO session_data ({columns}) VALUES ({values})")).await.unwrap();
}

/// What an owner has: names and versions.
async fn entries(f: &Fixture, owner: &str) -> Vec<(String, i64)> {
    let all = f.store.read().await.unwrap().session_data_entries(owner).await.unwrap();
    all.into_iter().map(|entry| (entry.namespace, entry.version)).collect()
}

/// What is kept for a user of the application.
fn owner(id: &str) -> String {
    format!("{id}/app")
}

pub(crate) async fn guests_are_counted_and_listed_by_client(f: &Fixture) {
    let ada = f.ada().await;
    f.signed_in(&ada).await;
    let (first, second) = (guest(f).await, guest(f).await);
    let app = "app".parse().unwrap();
    let mut tx = f.store.read().await.unwrap();
    assert_eq!(tx.guests_stored(&app, 100).await.unwrap(), 2);
    assert_eq!(tx.guests_stored(&app, 1).await.unwrap(), 1, "no more than asked for");
    assert_eq!(tx.guests_stored(&"other".parse().unwrap(), 100).await.unwrap(), 0);
    let mut ids = [first.id, second.id];
    ids.sort();
    let page = tx.guests_live(&app, None, (NOW, 1)).await.unwrap();
    assert_eq!(page.iter().map(|s| s.id.clone()).collect::<Vec<_>>(), ids[..1]);
    let page = tx.guests_live(&app, Some(&ids[0]), (NOW, 9)).await.unwrap();
    assert_eq!(page.iter().map(|s| s.id.clone()).collect::<Vec<_>>(), ids[1..]);
    assert!(tx.guests_live(&app, None, (NOW.plus(Ttl::from_days(8)), 9)).await.unwrap().is_empty());
}

pub(crate) async fn a_guest_is_held_live_or_for_the_user_it_has_become(f: &Fixture) {
    let (ada, live) = (f.ada().await, guest(f).await);
    let mut tx = f.store.write().await.unwrap();
    let token = SessionKind::Token;
    let subject = live.subject.clone();
    assert_eq!(tx.guest_hold(&live.id, (&ada.id, token), NOW).await.unwrap(), Some(subject));
    assert_eq!(tx.guest_hold(&live.id, (&ada.id, SessionKind::Browser), NOW).await.unwrap(), None);
    let late = NOW.plus(Ttl::from_days(8));
    assert_eq!(tx.guest_hold(&live.id, (&ada.id, token), late).await.unwrap(), None);
    let actor = Actor::system();
    let by = By { actor: &actor, cause: RevokedCause::Superseded, settings: &f.settings, now: NOW };
    let became: UserId = tx.guest_become(&live.id, &by).await.unwrap().unwrap();
    assert_eq!(became.as_str(), live.subject);
    assert_eq!(tx.guest_become(&live.id, &by).await.unwrap(), None, "once");
    assert_eq!(tx.guest_hold(&live.id, (&ada.id, token), NOW).await.unwrap(), None, "of another user");
    assert!(tx.guest_hold(&live.id, (&became, token), NOW).await.unwrap().is_some());
    assert!(tx.basis_hold(live.id.clone(), (&ada.id, token), NOW).await.unwrap().is_none(), "it is not the user's");
    tx.commit().await.unwrap();
    // Somebody may have the subject already.
    let other = guest(f).await;
    f.database.sql(&format!("INSERT INTO principals (name, kind) VALUES ('{}', 'user')", other.subject)).await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.guest_become(&other.id, &by).await.unwrap(), None);
}

pub(crate) async fn a_sign_in_joins_a_guest_once(f: &Fixture) {
    let (ada, guest) = (f.ada().await, guest(f).await);
    store(f, guest.id.as_str(), "form", "1", 7).await;
    store(f, &owner(&guest.subject), "cart", "1", 7).await;
    let first = joining(f, &ada, &guest, GuestPolicies::default());
    assert_eq!(open(f, &first).await, OpenOutcome::Joined(Vec::new()));
    let ended = f.stored(&guest.id).await;
    assert_eq!(ended.revoked, Some((NOW, RevokedCause::Superseded)));
    assert_eq!(ended.superseded_by, Some(first.session.id.clone()));
    assert_eq!(entries(f, first.session.id.as_str()).await, [("form".to_owned(), 7)]);
    assert_eq!(entries(f, &owner(ada.id.as_str())).await, [("cart".to_owned(), 7)]);
    let again = joining(f, &ada, &guest, GuestPolicies::default());
    assert_eq!(open(f, &again).await, OpenOutcome::BasisEnded);
    assert!(f.store.read().await.unwrap().session_by_id(&again.session.id).await.unwrap().is_none());
}

pub(crate) async fn a_joined_value_has_a_version_that_its_owner_never_used(f: &Fixture) {
    let (ada, guest) = (f.ada().await, guest(f).await);
    let account = owner(ada.id.as_str());
    let deleted = format!("INSERT INTO session_data_owners (owner, last_version) VALUES ('{account}', 20)");
    f.database.sql(&deleted).await.unwrap();
    store(f, &owner(&guest.subject), "cart", "1", 7).await;
    let mut tx = f.store.write().await.unwrap();
    let session = f.session(&ada);
    let joined = tx.session_data_join(&guest.subject, (&ada.id, &session), &GuestPolicies::default()).await.unwrap();
    assert!(joined.is_empty());
    // With itself, nobody joins.
    let own = tx.session_data_join(ada.id.as_str(), (&ada.id, &session), &GuestPolicies::default()).await.unwrap();
    assert!(own.is_empty());
    tx.commit().await.unwrap();
    assert_eq!(entries(f, &account).await, [("cart".to_owned(), 21)]);
}

pub(crate) async fn an_account_that_is_full_takes_no_more_of_a_guest(f: &Fixture) {
    let (ada, guest) = (f.ada().await, guest(f).await);
    let account = owner(ada.id.as_str());
    for n in 0..MAX_VALUES {
        store(f, &account, &format!("own{n}"), "1", 1).await;
    }
    store(f, &owner(&guest.subject), "cart", "[2]", 1).await;
    let default = GuestDataPolicy::ReturnBoth;
    let opening = joining(f, &ada, &guest, GuestPolicies { default, ..GuestPolicies::default() });
    let OpenOutcome::Joined(conflicts) = open(f, &opening).await else { panic!("it is joined") };
    assert_eq!(conflicts.len(), 1);
    assert_eq!((conflicts[0].guest.to_value(), &conflicts[0].account), (json!([2]), &None));
    assert_eq!(conflicts[0].policy, GuestDataPolicy::KeepAccount);
    assert_eq!(i64::try_from(entries(f, &account).await.len()).unwrap(), MAX_VALUES);
    assert!(entries(f, &owner(&guest.subject)).await.is_empty());
}

/// The opening of a guest's session in a browser.
fn beginning(f: &Fixture, browser: u8) -> Opening {
    let nobody = f.user("nobody").user;
    let id = UserId::new(NOW, &*f.entropy);
    let guest = Session { user: None, subject: id.to_string(), ..f.session(&nobody) };
    let form = FormSpending { id: [browser; 16], proof: [browser; 32], result: guest.id.as_str().as_bytes().to_vec() };
    Opening { form: Some(form), ..Opening::of_guest(guest) }
}

async fn begin(f: &Fixture, store: &Store, opening: &Opening, now: Timestamp) -> OpenOutcome {
    let mut tx = store.write().await.unwrap();
    let outcome = tx.session_open(opening, &f.settings, now).await.unwrap();
    tx.commit().await.unwrap();
    outcome
}

pub(crate) async fn a_browser_becomes_one_guest_whoever_asks_at_once(f: &Fixture) {
    let second = f.second().await;
    for browser in 1..=5 {
        let all: Vec<Opening> = (0..8).map(|_| beginning(f, browser)).collect();
        let begun = join_all(all.iter().enumerate().map(|(n, opening)| {
            let store = if n % 2 == 0 { &f.store } else { &second };
            begin(f, store, opening, NOW)
        }));
        let begun = begun.await;
        let won: Vec<_> = (0..8).filter(|n| begun[*n] == OpenOutcome::Opened).collect();
        assert_eq!(won.len(), 1, "{begun:?}");
        assert!(begun.iter().all(|o| matches!(o, OpenOutcome::Opened | OpenOutcome::FormSpent)));
        let kept = f.store.read().await.unwrap().spent_form(&[browser; 16], NOW).await.unwrap().unwrap();
        let winner = &all[won[0]].session.id;
        assert_eq!((&kept.session, kept.result.as_deref()), (winner, Some(winner.as_str().as_bytes())));
    }
    let counted = f.store.read().await.unwrap().guests_stored(&"app".parse().unwrap(), 100).await.unwrap();
    assert_eq!(counted, 5, "one for each browser");
    // For a minute; or until that guest has ended, or if the clock was set back.
    let nearly = NOW.plus(SAME_BROWSER).minus(Ttl::from_millis(1));
    assert_eq!(begin(f, &f.store, &beginning(f, 1), nearly).await, OpenOutcome::FormSpent);
    assert_eq!(begin(f, &f.store, &beginning(f, 1), NOW.plus(SAME_BROWSER)).await, OpenOutcome::Opened);
    assert_eq!(begin(f, &f.store, &beginning(f, 2), NOW.minus(SAME_BROWSER)).await, OpenOutcome::Opened);
    let ended = f.store.read().await.unwrap().spent_form(&[3; 16], NOW).await.unwrap().unwrap().session;
    let actor = Actor::system();
    let by = By { actor: &actor, cause: RevokedCause::Logout, settings: &f.settings, now: NOW };
    let mut tx = f.store.write().await.unwrap();
    tx.revoke(Revoke::Sessions(&[ended]), &by).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(begin(f, &f.store, &beginning(f, 3), NOW).await, OpenOutcome::Opened);
    assert_eq!(begin(f, &f.store, &beginning(f, 3), NOW).await, OpenOutcome::FormSpent);
}

/// A sign-in in a browser.
fn signing_in(f: &Fixture, user: &User, browser: u8) -> Opening {
    let browser = SigningBrowser { proof: [browser; 32], policies: GuestPolicies::default() };
    Opening { browser: Some(browser), ..opening(f, f.session(user)) }
}

pub(crate) async fn a_sign_in_joins_the_guest_that_its_browser_has_just_become(f: &Fixture) {
    let ada = f.ada().await;
    let guest = beginning(f, 1);
    assert_eq!(begin(f, &f.store, &guest, NOW).await, OpenOutcome::Opened);
    store(f, &owner(&guest.session.subject), "cart", "[1]", 1).await;
    let joining = signing_in(f, &ada, 1);
    assert_eq!(open(f, &joining).await, OpenOutcome::Joined(Vec::new()));
    assert_eq!(entries(f, &owner(ada.id.as_str())).await, [("cart".to_owned(), 1)]);
    let mut tx = f.store.read().await.unwrap();
    let signed_in = AuditFilter { kind: Some(AuditKind::SignedIn), ..AuditFilter::default() };
    let event = tx.audit_page(&signed_in, None, 1).await.unwrap().remove(0);
    assert_eq!(event.details["guest_session"], guest.session.id.as_str());
    // The browser is the user's: nobody else, and no guest of it, gets its cookies.
    let kept = tx.spent_form(&[1; 16], NOW).await.unwrap().unwrap();
    assert_eq!((&kept.session, kept.result), (&joining.session.id, None));
    drop(tx);
    assert_eq!(begin(f, &f.store, &beginning(f, 1), NOW).await, OpenOutcome::FormSpent);
    assert_eq!(begin(f, &f.store, &beginning(f, 1), NOW.plus(SAME_BROWSER)).await, OpenOutcome::Opened);
    // A guest of longer ago is no request on its way.
    assert_eq!(open(f, &signing_in(f, &ada, 1)).await, OpenOutcome::Opened);
}

pub(crate) async fn a_browser_in_which_a_user_signs_in_leaves_no_guest_behind(f: &Fixture) {
    let (ada, second) = (f.ada().await, f.second().await);
    for browser in 1..=9 {
        let (guest, user) = (beginning(f, browser), signing_in(f, &ada, browser));
        let (guest, user) = tokio::join!(begin(f, &f.store, &guest, NOW), begin(f, &second, &user, NOW));
        match guest {
            OpenOutcome::Opened => assert_eq!(user, OpenOutcome::Joined(Vec::new())),
            _ => assert_eq!((guest, user), (OpenOutcome::FormSpent, OpenOutcome::Opened)),
        }
    }
    let mut tx = f.store.read().await.unwrap();
    assert!(tx.guests_live(&"app".parse().unwrap(), None, (NOW, 9)).await.unwrap().is_empty());
}
