use super::*;
use crate::{
    entropy::SeededEntropy,
    passwords::{Account, Made, Params, Prefix},
    time::Ttl,
};

const TINY: Params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
const TINY_CONFIG: PoolConfig = PoolConfig { params: TINY, threads: 1, queue: 2, memory_kib: 64 };

fn pool_of(settings: PoolConfig) -> Passwords {
    Passwords::start(settings, Arc::new(SeededEntropy::new(1))).unwrap()
}

fn pool(params: Params) -> Passwords {
    pool_of(PoolConfig { params, ..TINY_CONFIG })
}

/// A pool without threads: everything stays in the queue.
fn stuck() -> Passwords {
    Passwords::without_threads(TINY_CONFIG, Arc::new(SeededEntropy::new(1)))
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn applicant(account: &str, address: &str) -> Applicant {
    Applicant { account: Account::of(account), prefix: Prefix::of(address), known_device: false, deadline: None }
}

async fn verify(pool: &Passwords, password: Password, stored: Option<Phc>) -> Result<PasswordVerdict, HashError> {
    pool.admit(&applicant("ada", "192.0.2.1"))?.verify(password, stored).await
}

#[tokio::test]
async fn p08_p11_a_password_is_normalised_and_rehashed_when_the_parameters_change() {
    let (old, new) = (pool(TINY), pool(Params { iterations: 2, ..TINY }));
    let phc = old.hash(password("caf\u{e9} au lait, s'il vous")).await.unwrap();
    assert!(phc.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", phc.as_str());
    let same = password("cafe\u{301} au lait, s'il vous");
    assert!(matches!(verify(&old, same, Some(phc.clone())).await, Ok(PasswordVerdict::Right { rehash: None })));
    assert!(matches!(verify(&old, password("wrong"), Some(phc.clone())).await, Ok(PasswordVerdict::Wrong)));
    assert!(matches!(verify(&old, password("any"), None).await, Ok(PasswordVerdict::Wrong)));
    let right = password("caf\u{e9} au lait, s'il vous");
    let Ok(PasswordVerdict::Right { rehash: Some(phc) }) = verify(&new, right, Some(phc)).await else {
        panic!("no rehash")
    };
    assert!(phc.as_str().contains("t=2"));
    assert_eq!((old.figures().hashed, new.figures().hashed), (4, 1));
}

#[tokio::test]
async fn a43_hashes_whose_cost_is_too_high_are_refused() {
    let pool = pool(TINY);
    for stored in [
        "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=64,t=11,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2d$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "junk",
    ] {
        let stored = Some(Phc::from_database(stored.to_owned()));
        let verdict = verify(&pool, password("x"), stored).await;
        assert!(matches!(verdict, Ok(PasswordVerdict::Unusable(UnusableHash::Corrupt))), "{verdict:?}");
    }
    let figures = pool.figures();
    assert_eq!((figures.unusable, figures.made), (5, Made { current: 5, other: 0 }), "as much as for no account");
}

#[tokio::test]
async fn a43_hashes_that_need_more_than_a_share_take_turns_and_give_their_memory_back() {
    let big = Params { memory_kib: 1500, ..TINY };
    let imported = pool(big).hash(password("brought along")).await.unwrap();
    // Enough for one of them and for the other thread's share.
    let settings = PoolConfig { threads: 2, queue: 8, memory_kib: 2048, ..TINY_CONFIG };
    let pool = pool_of(settings);
    let mut checks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (pool, imported) = (pool.clone(), imported.clone());
        let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
        let stored = (n % 4 != 0).then_some(imported);
        checks.spawn(async move { slot.verify(password("brought along"), stored).await });
    }
    for verdict in checks.join_all().await {
        assert!(
            matches!(verdict, Ok(PasswordVerdict::Right { rehash: Some(_) } | PasswordVerdict::Wrong)),
            "{verdict:?}"
        );
    }
    assert!(pool.figures().memory_kib <= 2 * 64, "{:?}", pool.figures());

    let small = pool_of(PoolConfig { memory_kib: 1024, ..settings });
    let verdict = verify(&small, password("brought along"), Some(imported)).await.unwrap();
    let PasswordVerdict::Unusable(problem) = verdict else { panic!("{verdict:?}") };
    assert_eq!(problem, UnusableHash::Memory { needs_mib: 2, has_mib: 1 });
    assert!(problem.to_string().ends_with("hashing_memory_mib is 1; set it to at least 2"), "{problem}");
}

#[tokio::test]
async fn a43_a_hash_that_needs_all_memory_gets_what_idle_threads_hold() {
    let imported = pool(Params { memory_kib: 256, ..TINY }).hash(password("brought along")).await.unwrap();
    let pool = pool_of(PoolConfig { threads: 4, queue: 8, ..TINY_CONFIG });
    for _ in 0..3 {
        let mut checks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
            checks.spawn(async move { slot.verify(password("x"), None).await });
        }
        checks.join_all().await;
        let right = verify(&pool, password("brought along"), Some(imported.clone())).await;
        assert!(matches!(right, Ok(PasswordVerdict::Right { .. })), "{right:?}");
    }
}

const SCRYPT: &str = "$scrypt$ln=10,r=8,p=2$c2l4dGVlbiBieXRlIHNhbA$gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg";

#[tokio::test]
async fn a43_the_memory_of_scrypt_counts_too() {
    let stored = Some(Phc::parse(SCRYPT).unwrap());
    let right = "correct horse battery staple";
    let verdict = verify(&pool(TINY), password(right), stored.clone()).await.unwrap();
    let needs = UnusableHash::Memory { needs_mib: 2, has_mib: 0 };
    assert!(matches!(verdict, PasswordVerdict::Unusable(problem) if problem == needs), "{verdict:?}");
    let settings = PoolConfig { threads: 2, queue: 8, memory_kib: 1100, ..TINY_CONFIG };
    let pool = pool_of(settings);
    let mut checks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
        let (typed, stored) = (password(if n % 2 == 0 { right } else { "wrong" }), stored.clone());
        checks.spawn(async move { (n % 2 == 0, slot.verify(typed, stored).await) });
    }
    for (right, verdict) in checks.join_all().await {
        assert_eq!(matches!(verdict, Ok(PasswordVerdict::Right { rehash: Some(_) })), right, "{verdict:?}");
    }
    let figures = pool.figures();
    assert!(figures.memory_kib <= 2 * 64, "{figures:?}");
    assert_eq!(figures.made, Made { current: 6, other: 6 });
}

#[test]
fn p10_wrong_passwords_take_as_long_as_those_checked_against_another_systems_hash() {
    let ms = Duration::from_millis;
    let pool = stuck();
    let padding = |other: bool, took| pool.pool.state().padding.after(other.then_some(1), ms(took));
    assert_eq!(padding(false, 45), ms(0), "there is none of another system");
    assert_eq!(padding(true, 320), ms(320));
    assert_eq!(padding(false, 45), ms(320));
    let slower = padding(true, 300);
    assert!((ms(318)..ms(320)).contains(&slower), "{slower:?}");
    assert_eq!(padding(true, 60_000), ms(5000), "nobody waits for ever");
    for _ in 0..2000 {
        padding(true, 100);
    }
    assert_eq!(padding(false, 45), ms(100), "what was slow by chance is forgotten");
}

#[tokio::test]
async fn p10_a_wrong_password_without_an_account_is_answered_after_the_padding() {
    let pool = pool(TINY);
    pool.pool.state().padding.after(Some(1), Duration::from_millis(40));
    let began = Instant::now();
    assert!(matches!(verify(&pool, password("x"), None).await, Ok(PasswordVerdict::Wrong)));
    assert!(began.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn p09_a_full_queue_refuses_at_once_and_says_when_to_retry() {
    let stuck = stuck();
    let _slots = [stuck.admit(&applicant("a", "")).unwrap(), stuck.admit(&applicant("b", "")).unwrap()];
    let refused = stuck.admit(&applicant("c", "")).unwrap_err();
    assert!(matches!(refused, HashError::Busy { after } if after >= Ttl::from_millis(100)), "{refused:?}");
    let twice = stuck.admit(&applicant("b", "")).unwrap_err();
    assert!(matches!(twice, HashError::AccountBusy { .. }), "{twice:?}");
    let figures = stuck.figures();
    assert_eq!((figures.waiting, figures.queue_full, figures.account_waiting), (2, 1, 1));
}

#[tokio::test]
async fn p09_an_evicted_sign_in_gets_an_error() {
    let stuck = stuck();
    let (first, second) = (stuck.admit(&applicant("a", "")).unwrap(), stuck.admit(&applicant("b", "")).unwrap());
    let mut waits = Box::pin(second.verify(password("x"), None));
    assert!(futures_util::poll!(&mut waits).is_pending());
    let _other = stuck.admit(&applicant("c", "192.0.2.1")).unwrap();
    assert!(matches!(waits.await, Err(HashError::Busy { .. })));
    assert_eq!(stuck.figures().evicted, 1);

    // One that has not attached its work yet learns of it when it does.
    let reading = { stuck.admit(&applicant("d", "192.0.2.1")) };
    assert!(matches!(reading, Err(HashError::Busy { .. })), "each has one place");
    drop(first);
    let late = stuck.admit(&applicant("e", "192.0.2.1")).unwrap();
    let _third = stuck.admit(&applicant("f", "198.51.100.1")).unwrap();
    assert!(matches!(late.verify(password("x"), None).await, Err(HashError::Busy { .. })));
}

#[tokio::test]
async fn p09_a_cancelled_caller_frees_its_place_at_once() {
    let stuck = stuck();
    let reading = stuck.admit(&applicant("a", "")).unwrap();
    let mut waiting = Box::pin(stuck.admit(&applicant("b", "")).unwrap().verify(password("x"), None));
    let mut storing = Box::pin(stuck.hash(password("x")));
    assert!(futures_util::poll!(&mut waiting).is_pending() && futures_util::poll!(&mut storing).is_pending());
    assert_eq!(stuck.figures().waiting, 3);
    drop((reading, waiting));
    assert_eq!(stuck.figures().waiting, 1);
    drop(storing);
    assert_eq!(stuck.figures().waiting, 0);
    assert!(stuck.admit(&applicant("b", "")).is_ok());
}

#[tokio::test]
async fn p09_a_job_whose_deadline_has_passed_is_not_hashed() {
    let pool = pool(TINY);
    let late = Applicant { deadline: Some(Instant::now()), ..applicant("a", "") };
    assert!(matches!(pool.admit(&late), Err(HashError::Gone)));
    assert_eq!((pool.figures().hashed, pool.figures().deadline), (0, 1));
}

#[test]
fn the_threads_end_with_the_last_clone() {
    let pool = pool(TINY);
    let shared = Arc::downgrade(&pool.pool);
    drop(pool.clone());
    assert!(!shared.upgrade().unwrap().state().closed);
    drop(pool);
    assert!(shared.upgrade().is_none_or(|s| s.state().closed));
}
