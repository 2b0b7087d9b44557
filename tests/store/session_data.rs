//! What applications keep with sessions and users.

mod guest_bytes;

use chancery::{
    domain::{
        session::{OpenOutcome, RevokedCause, Session},
        session_data::{
            DataCondition, DataEntry, DataOutcome, DataScope, DataValue, DataWrite, MAX_VALUES, StoredData, user_owner,
        },
        user::User,
    },
    id::{SessionId, UserId},
    store::{By, Opening, Revoke, Store},
    time::{Timestamp, Ttl},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    fixture::{Fixture, NOW},
    openings::{in_browser, opening},
};

pub(crate) use self::guest_bytes::a_guests_values_have_a_bound_together;

/// The most that an owner has who is a guest's.
const GUEST_BYTES: i64 = 100;

fn value(text: &str) -> DataValue {
    DataValue::new(json!({ "say": text })).unwrap()
}

fn put(session: &Session, namespace: &str, text: &str, condition: DataCondition) -> DataWrite {
    DataWrite {
        session: session.id.clone(),
        client: None,
        scope: DataScope::Session,
        namespace: namespace.parse().unwrap(),
        value: Some(value(text)),
        condition,
    }
}

fn of_user(write: DataWrite) -> DataWrite {
    DataWrite { scope: DataScope::User, ..write }
}

fn delete(session: &Session, namespace: &str, condition: DataCondition) -> DataWrite {
    DataWrite { value: None, ..put(session, namespace, "", condition) }
}

async fn write_in(store: &Store, writes: &[DataWrite], now: Timestamp) -> Vec<DataOutcome> {
    let mut tx = store.write().await.unwrap();
    let outcomes = tx.session_data_write(writes, GUEST_BYTES, now).await.unwrap();
    tx.commit().await.unwrap();
    outcomes
}

async fn write(f: &Fixture, one: DataWrite) -> DataOutcome {
    write_in(&f.store, &[one], NOW).await[0]
}

const fn created(version: i64) -> DataOutcome {
    DataOutcome::Stored { version, created: true }
}

const fn replaced(version: i64) -> DataOutcome {
    DataOutcome::Stored { version, created: false }
}

const fn mismatch(current: Option<i64>) -> DataOutcome {
    DataOutcome::Mismatch { current }
}

async fn stored(f: &Fixture, owner: &str, namespace: &str) -> Option<StoredData> {
    f.store.read().await.unwrap().session_data(owner, &namespace.parse().unwrap()).await.unwrap()
}

async fn rows(f: &Fixture, table: &str) -> u64 {
    f.database.sql(&format!("UPDATE {table} SET owner = owner")).await.unwrap()
}

async fn guest(f: &Fixture) -> Session {
    let id = UserId::new(NOW, &*f.entropy);
    let ada = User { subject: id.to_string(), id, ..f.user("nobody").user };
    let session = Session { user: None, acr: "0".into(), amr: vec![], roles: vec![], ..f.session(&ada) };
    let mut tx = f.store.write().await.unwrap();
    tx.session_insert(&session).await.unwrap();
    tx.commit().await.unwrap();
    session
}

async fn revoke(f: &Fixture, session: &Session) {
    let actor = chancery::domain::audit::Actor::named("app");
    let by = By { actor: &actor, cause: RevokedCause::Logout, settings: &f.settings, now: NOW };
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.revoke(Revoke::Sessions(std::slice::from_ref(&session.id)), &by).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

pub(crate) async fn a_value_is_stored_unchanged_and_its_version_increases(f: &Fixture) {
    let session = f.signed_in(&f.ada().await).await;
    let owner = session.id.as_str();
    let odd = DataValue::new(json!({ "ä\"\\\n\u{1}🦀": [null, true, 1.5, -0.1e-7, { "b": "\u{2028}" }] })).unwrap();
    let one = DataWrite { value: Some(odd.clone()), ..put(&session, "form.1", "", DataCondition::Any) };
    assert_eq!(write(f, one).await, created(1));
    assert_eq!(stored(f, owner, "form.1").await, Some(StoredData { value: odd, version: 1, updated_at: NOW }));
    let later = NOW.plus(Ttl::from_secs(5));
    let again = put(&session, "form.1", "x", DataCondition::Any);
    assert_eq!(write_in(&f.store, &[again], later).await, [replaced(2)]);
    // A clock that stepped back makes no value older than it was.
    assert_eq!(write(f, put(&session, "form.1", "y", DataCondition::Version(2))).await, replaced(3));
    let want = StoredData { value: value("y"), version: 3, updated_at: later };
    assert_eq!(stored(f, owner, "form.1").await, Some(want));
    let entries = f.store.read().await.unwrap().session_data_entries(owner).await.unwrap();
    assert_eq!(entries, [DataEntry { namespace: "form.1".into(), version: 3, bytes: 11, updated_at: later }]);
    let found = f.store.read().await.unwrap().data_session(&session.id, NOW).await.unwrap().unwrap();
    assert_eq!((found.user.as_str(), &found.client), (session.user.as_ref().unwrap().as_str(), &session.client));
}

pub(crate) async fn a_change_is_made_only_to_what_the_caller_expects(f: &Fixture) {
    let session = f.signed_in(&f.ada().await).await;
    let put = |condition| put(&session, "cart", "x", condition);
    let delete = |condition| delete(&session, "cart", condition);
    for condition in [DataCondition::Present, DataCondition::Version(1)] {
        assert_eq!(write(f, put(condition)).await, mismatch(None));
        assert_eq!(write(f, delete(condition)).await, mismatch(None));
    }
    assert_eq!(write(f, delete(DataCondition::Any)).await, DataOutcome::Deleted);
    assert_eq!((rows(f, "session_data").await, rows(f, "session_data_owners").await), (0, 0));
    assert_eq!(write(f, put(DataCondition::Absent)).await, created(1));
    assert_eq!(write(f, put(DataCondition::Absent)).await, mismatch(Some(1)));
    assert_eq!(write(f, put(DataCondition::Present)).await, replaced(2));
    assert_eq!(write(f, put(DataCondition::Version(1))).await, mismatch(Some(2)));
    assert_eq!(write(f, delete(DataCondition::Version(1))).await, mismatch(Some(2)));
    assert_eq!(write(f, delete(DataCondition::Version(2))).await, DataOutcome::Deleted);
    assert_eq!(stored(f, session.id.as_str(), "cart").await, None);
}

pub(crate) async fn no_version_is_used_again(f: &Fixture) {
    let session = f.signed_in(&f.ada().await).await;
    let put = |namespace, condition| put(&session, namespace, "x", condition);
    for version in 1..=3 {
        let _ = write(f, put("cart", DataCondition::Any)).await;
        assert_eq!(stored(f, session.id.as_str(), "cart").await.unwrap().version, version);
    }
    assert_eq!(write(f, delete(&session, "cart", DataCondition::Any)).await, DataOutcome::Deleted);
    assert_eq!(write(f, put("cart", DataCondition::Version(3))).await, mismatch(None));
    assert_eq!(write(f, put("cart", DataCondition::Absent)).await, created(4));
    // Another name goes on from there, too.
    assert_eq!(write(f, put("form", DataCondition::Absent)).await, created(4));
    assert_eq!(write(f, delete(&session, "form", DataCondition::Any)).await, DataOutcome::Deleted);
    assert_eq!(write(f, delete(&session, "cart", DataCondition::Any)).await, DataOutcome::Deleted);
    assert_eq!(write(f, put("cart", DataCondition::Any)).await, created(5));
}

pub(crate) async fn a_batch_is_written_by_few_statements_and_in_its_order(f: &Fixture) {
    let ada = f.ada().await;
    let sessions = join_all((0..20).map(|_| f.signed_in(&ada))).await;
    let all = |text: &str, condition| sessions.iter().map(|s| put(s, "cart", text, condition)).collect::<Vec<_>>();
    let before = f.store.statements();
    assert_eq!(write_in(&f.store, &all("a", DataCondition::Absent), NOW).await, vec![created(1); 20]);
    assert_eq!(f.store.statements() - before, 3, "sessions, owners, values");
    let before = f.store.statements();
    assert_eq!(write_in(&f.store, &all("b", DataCondition::Version(1)), NOW).await, vec![replaced(2); 20]);
    // SQLite reads the versions by a statement of their own, as one value.
    let replacing = if f.database.engine == "sqlite" { 3 } else { 2 };
    assert_eq!(f.store.statements() - before, replacing, "sessions, values");
    // Of many that expect one version, the first wins, and the others need no statement.
    let texts: Vec<_> = (0..20).map(|n| put(&sessions[0], "cart", &n.to_string(), DataCondition::Version(2))).collect();
    let before = f.store.statements();
    let outcomes = write_in(&f.store, &texts, NOW).await;
    assert_eq!(f.store.statements() - before, replacing);
    assert_eq!((outcomes[0], &outcomes[1..]), (replaced(3), &vec![mismatch(Some(3)); 19][..]));
    assert_eq!(stored(f, sessions[0].id.as_str(), "cart").await.unwrap().value, value("0"));
    // Those of one value follow each other.
    let one = &sessions[1];
    let mixed = [
        put(one, "cart", "1", DataCondition::Any),
        put(one, "a", "2", DataCondition::Absent),
        delete(one, "cart", DataCondition::Version(3)),
        put(one, "b", "3", DataCondition::Absent),
        put(one, "cart", "4", DataCondition::Absent),
        put(one, "cart", "5", DataCondition::Any),
        delete(one, "cart", DataCondition::Version(3)),
    ];
    let outcomes = write_in(&f.store, &mixed, NOW).await;
    let want = [replaced(3), created(1), DataOutcome::Deleted, created(1), created(4), replaced(5), mismatch(Some(5))];
    assert_eq!(outcomes, want);
    assert_eq!(stored(f, one.id.as_str(), "cart").await.unwrap().value, value("5"));
}

pub(crate) async fn concurrent_writers_that_expect_one_version_are_one_success(f: &Fixture) {
    let session = f.signed_in(&f.ada().await).await;
    let second = f.second().await;
    for (round, condition) in
        [DataCondition::Absent, DataCondition::Version(1), DataCondition::Version(2)].iter().enumerate()
    {
        let writers = (0..16).map(|n| {
            let (store, one) =
                (if n % 2 == 0 { &f.store } else { &second }, put(&session, "cart", &n.to_string(), *condition));
            async move { write_in(store, &[one], NOW).await[0] }
        });
        let outcomes = join_all(writers).await;
        let version = i64::try_from(round).unwrap() + 1;
        let won =
            outcomes.iter().filter(|o| matches!(o, DataOutcome::Stored { version: v, .. } if *v == version)).count();
        let lost = outcomes.iter().filter(|o| **o == mismatch(Some(version))).count();
        assert_eq!((won, lost), (1, 15), "{outcomes:?}");
    }
}

pub(crate) async fn nobody_has_more_than_64_values_whoever_writes_at_once(f: &Fixture) {
    let ada = f.ada().await;
    let (one, two) = (f.signed_in(&ada).await, f.signed_in(&ada).await);
    let second = f.second().await;
    let writers = (0..MAX_VALUES + 16).map(|n| {
        let (store, session) = if n % 2 == 0 { (&f.store, &one) } else { (&second, &two) };
        let one = of_user(put(session, &format!("n{n}"), "x", DataCondition::Any));
        async move { write_in(store, &[one], NOW).await[0] }
    });
    let outcomes = join_all(writers).await;
    let count = |wanted| outcomes.iter().filter(|o| **o == wanted).count();
    assert_eq!((count(created(1)), count(DataOutcome::TooMany)), (64, 16), "{outcomes:?}");
    let owner = user_owner(ada.id.as_str(), &one.client);
    let entries = f.store.read().await.unwrap().session_data_entries(&owner).await.unwrap();
    assert_eq!(entries.len(), 64);
    // What is there can be replaced, and what is deleted makes room for one.
    let known = entries[0].namespace.as_str();
    assert_eq!(write(f, of_user(put(&two, known, "y", DataCondition::Any))).await, replaced(2));
    let batch = [
        of_user(put(&one, "new1", "x", DataCondition::Any)),
        of_user(delete(&one, known, DataCondition::Any)),
        of_user(put(&one, "new2", "x", DataCondition::Any)),
        of_user(put(&one, "new3", "x", DataCondition::Absent)),
    ];
    let outcomes = write_in(&f.store, &batch, NOW).await;
    let refused = outcomes.iter().filter(|o| **o == DataOutcome::TooMany).count();
    assert_eq!((outcomes[1], refused), (DataOutcome::Deleted, 2), "{outcomes:?}");
    // The session has room of its own.
    assert_eq!(write(f, put(&one, "cart", "x", DataCondition::Any)).await, created(1));
}

pub(crate) async fn nothing_is_written_for_a_session_that_is_not_live(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let unknown = Session { id: SessionId::new(NOW, &*f.entropy), ..session.clone() };
    let put = |session| put(session, "cart", "x", DataCondition::Any);
    assert_eq!(write(f, put(&unknown)).await, DataOutcome::SessionEnded);
    let elsewhere = DataWrite { client: Some("other".parse().unwrap()), ..put(&session) };
    assert_eq!(write(f, elsewhere).await, DataOutcome::OtherClient);
    let here = DataWrite { client: Some(session.client.clone()), ..put(&session) };
    assert_eq!(write(f, here).await, created(1));
    let expired = session.expires_at();
    for one in [put(&session), of_user(put(&session)), delete(&session, "cart", DataCondition::Any)] {
        assert_eq!(write_in(&f.store, std::slice::from_ref(&one), expired).await, [DataOutcome::SessionEnded]);
    }
    assert!(f.store.read().await.unwrap().data_session(&session.id, expired).await.unwrap().is_none());
    revoke(f, &session).await;
    for one in [put(&session), of_user(put(&session)), delete(&session, "cart", DataCondition::Any)] {
        assert_eq!(write(f, one).await, DataOutcome::SessionEnded);
    }
    assert!(f.store.read().await.unwrap().data_session(&session.id, NOW).await.unwrap().is_none());
    assert_eq!(stored(f, session.id.as_str(), "cart").await.unwrap().version, 1);
}

pub(crate) async fn sessions_of_a_user_share_the_users_values_and_clients_do_not(f: &Fixture) {
    let ada = f.ada().await;
    let (one, two) = (f.signed_in(&ada).await, f.signed_in(&ada).await);
    let desk = Session { client: "desk".parse().unwrap(), ..f.session(&ada) };
    let mut tx = f.store.write().await.unwrap();
    tx.session_insert(&desk).await.unwrap();
    tx.commit().await.unwrap();
    let put = |session, text| of_user(put(session, "cart", text, DataCondition::Any));
    assert_eq!(write(f, put(&one, "a")).await, created(1));
    assert_eq!(write(f, put(&two, "b")).await, replaced(2));
    assert_eq!(write(f, put(&desk, "c")).await, created(1));
    let guest = guest(f).await;
    assert_eq!(write(f, put(&guest, "d")).await, created(1));
    for (user, client, text) in
        [(ada.id.as_str(), "app", "b"), (ada.id.as_str(), "desk", "c"), (guest.subject.as_str(), "app", "d")]
    {
        let owner = user_owner(user, &client.parse().unwrap());
        assert_eq!(stored(f, &owner, "cart").await.unwrap().value, value(text));
    }
    // What belongs to the user has nothing to do with what belongs to the session.
    assert_eq!(stored(f, one.id.as_str(), "cart").await, None);
}

pub(crate) async fn what_a_session_has_moves_to_the_one_that_replaces_it(f: &Fixture) {
    let ada = f.ada().await;
    let old = in_browser(f, &ada).await;
    for text in ["a", "b"] {
        let _ = write(f, put(&old, "form", text, DataCondition::Any)).await;
    }
    let _ = write(f, put(&old, "gone", "x", DataCondition::Any)).await;
    let _ = write(f, put(&old, "gone", "x", DataCondition::Any)).await;
    let _ = write(f, delete(&old, "gone", DataCondition::Any)).await;
    let new = Session { id: SessionId::new(NOW, &*f.entropy), ..in_browser(f, &ada).await };
    let replaces = Opening { supersedes: Some(old.id.clone()), ..opening(f, new.clone()) };
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_hold(&ada.id, 1).await.unwrap());
    assert_eq!(tx.session_open(&replaces, &f.settings, NOW).await.unwrap(), OpenOutcome::Opened);
    tx.commit().await.unwrap();
    let moved = StoredData { value: value("b"), version: 2, updated_at: NOW };
    assert_eq!(stored(f, new.id.as_str(), "form").await, Some(moved));
    assert_eq!(stored(f, old.id.as_str(), "form").await, None);
    assert_eq!(write(f, put(&old, "form", "x", DataCondition::Any)).await, DataOutcome::SessionEnded);
    assert_eq!(write(f, put(&new, "gone", "x", DataCondition::Any)).await, created(3), "versions go on");
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.session_data_move(&new.id, &SessionId::new(NOW, &*f.entropy)).await.unwrap(), 2);
}

/// Whichever comes first: what was acknowledged has moved, and the rest was refused.
pub(crate) async fn no_write_is_lost_while_its_session_is_replaced(f: &Fixture) {
    let ada = f.ada().await;
    let second = f.second().await;
    for _ in 0..10 {
        let old = in_browser(f, &ada).await;
        let new = Session { id: SessionId::new(NOW, &*f.entropy), ..old.clone() };
        let replaces = Opening { supersedes: Some(old.id.clone()), ..opening(f, new.clone()) };
        let opens = async {
            let mut tx = second.write().await.unwrap();
            assert!(tx.user_hold(&ada.id, 1).await.unwrap());
            assert_eq!(tx.session_open(&replaces, &f.settings, NOW).await.unwrap(), OpenOutcome::Opened);
            tx.commit().await.unwrap();
        };
        let one = put(&old, "cart", "x", DataCondition::Any);
        let ((), outcome) = futures_util::join!(opens, write(f, one));
        let there = stored(f, new.id.as_str(), "cart").await.is_some();
        assert_eq!(there, outcome == created(1), "{outcome:?}");
        assert_eq!(stored(f, old.id.as_str(), "cart").await, None);
    }
}

pub(crate) async fn data_end_with_dead_sessions_and_those_of_guests_with_them(f: &Fixture) {
    let ada = f.ada().await;
    let (dead, living, gone) = (f.signed_in(&ada).await, f.signed_in(&ada).await, guest(f).await);
    // A guest whose account has the guest's subject as its id.
    let bob = f.user("bob");
    let was_guest = Session { user: None, subject: bob.user.id.to_string(), ..f.session(&bob.user) };
    let mut tx = f.store.write().await.unwrap();
    assert_eq!(tx.user_insert(&bob).await.unwrap(), None);
    tx.session_insert(&was_guest).await.unwrap();
    tx.commit().await.unwrap();
    for session in [&dead, &living, &gone, &was_guest] {
        for namespace in ["a", "b"] {
            assert_eq!(write(f, put(session, namespace, "x", DataCondition::Any)).await, created(1));
            let _ = write(f, of_user(put(session, namespace, "x", DataCondition::Any))).await;
        }
    }
    for session in [&dead, &gone, &was_guest] {
        revoke(f, session).await;
    }
    assert_eq!((rows(f, "session_data").await, rows(f, "session_data_owners").await), (14, 7));
    let all = [&dead, &living, &gone, &was_guest].map(|session| session.id.clone());
    let later = NOW.plus(Ttl::from_millis(1));
    let sweep = async |at, limit| {
        let mut tx = f.store.write().await.unwrap();
        let done = tx.session_data_sweep(&all, at, limit).await.unwrap();
        tx.commit().await.unwrap();
        (done, rows(f, "session_data").await, rows(f, "session_data_owners").await)
    };
    assert_eq!(sweep(NOW, 100).await, (true, 14, 7), "they are not dead yet");
    assert_eq!(sweep(later, 5).await, (false, 9, 7));
    assert_eq!(sweep(later, 5).await, (true, 6, 3));
    let app = &dead.client;
    for owner in [user_owner(ada.id.as_str(), app), living.id.to_string(), user_owner(bob.user.id.as_str(), app)] {
        assert!(stored(f, &owner, "a").await.is_some(), "{owner}");
    }
}

pub(crate) async fn data_end_with_the_user(f: &Fixture) {
    let ada = f.ada().await;
    let session = f.signed_in(&ada).await;
    let guest = guest(f).await;
    for one in [&session, &guest] {
        assert_eq!(write(f, put(one, "form", "a", DataCondition::Any)).await, created(1));
        assert_eq!(write(f, of_user(put(one, "cart", "b", DataCondition::Any))).await, created(1));
    }
    let all = async |most| f.store.read().await.unwrap().session_data_of_user(&ada.id, most).await.unwrap();
    let (known, whole) = all((10, 1000)).await;
    let names: Vec<_> = known.iter().map(|d| (d.owner.clone(), d.namespace.as_str(), d.stored.value.clone())).collect();
    let owner = user_owner(ada.id.as_str(), &session.client);
    assert_eq!(names, [(owner, "cart", value("b")), (session.id.to_string(), "form", value("a"))]);
    assert!(whole);
    let bytes =
        |count: usize| i64::try_from(known[..count].iter().map(|d| d.stored.value.as_json().len()).sum::<usize>());
    for most in [(1, 1000), (10, bytes(2).unwrap() - 1), (10, bytes(1).unwrap())] {
        assert_eq!(all(most).await, (known[..1].to_vec(), false), "{most:?}");
    }
    assert_eq!(all((2, bytes(2).unwrap())).await, (known.clone(), true));
    let mut tx = f.store.write().await.unwrap();
    assert!(tx.user_delete(&ada.id, NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(all((10, 1000)).await, (Vec::new(), true));
    assert_eq!((rows(f, "session_data").await, rows(f, "session_data_owners").await), (2, 2), "the guest's are left");
}
