use super::*;
use crate::{
    entropy::SeededEntropy,
    passwords::{Account, Made, Params, Prefix},
    time::Ttl,
};

const TINY: Params = Params { memory_kib: 64, iterations: 1, lanes: 1 };
const TINY_SETTINGS: Settings = Settings { params: TINY, threads: 1, queue: 2, memory_kib: 64 };

fn pool_of(settings: Settings) -> Passwords {
    Passwords::start(settings, Arc::new(SeededEntropy::new(1))).unwrap()
}

fn pool(params: Params) -> Passwords {
    pool_of(Settings { params, ..TINY_SETTINGS })
}

/// A pool that never takes anything: what is sent stays in the queue.
fn stuck() -> Passwords {
    Passwords::without_threads(TINY_SETTINGS, Arc::new(SeededEntropy::new(1)))
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn applicant(account: &str, address: &str) -> Applicant {
    Applicant { account: Account::of(account), prefix: Prefix::of(address), known_device: false, deadline: None }
}

async fn verify(pool: &Passwords, password: Password, stored: Option<Phc>) -> Result<Verdict, HashError> {
    pool.admit(&applicant("ada", "192.0.2.1"))?.verify(password, stored).await
}

#[tokio::test]
async fn p08_p11_a_password_is_checked_normalised_and_hashed_again_when_the_parameters_rise() {
    let (old, new) = (pool(TINY), pool(Params { iterations: 2, ..TINY }));
    let phc = old.hash(password("caf\u{e9} au lait, s'il vous")).await.unwrap();
    assert!(phc.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", phc.as_str());
    let same = password("cafe\u{301} au lait, s'il vous");
    assert!(matches!(verify(&old, same, Some(phc.clone())).await, Ok(Verdict::Right { rehash: None })));
    assert!(matches!(verify(&old, password("wrong"), Some(phc.clone())).await, Ok(Verdict::Wrong)));
    assert!(matches!(verify(&old, password("any"), None).await, Ok(Verdict::Wrong)));
    let right = password("caf\u{e9} au lait, s'il vous");
    let Ok(Verdict::Right { rehash: Some(phc) }) = verify(&new, right, Some(phc)).await else { panic!("no rehash") };
    assert!(phc.as_str().contains("t=2"));
    assert_eq!((old.figures().hashed, new.figures().hashed), (4, 1));
}

#[tokio::test]
async fn a43_hashes_that_ask_for_too_much_are_refused() {
    let pool = pool(TINY);
    for stored in [
        "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=64,t=11,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2d$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "junk",
    ] {
        let stored = Some(Phc::from_database(stored.to_owned()));
        assert!(matches!(verify(&pool, password("x"), stored).await, Err(HashError::Corrupt)));
    }
}

#[tokio::test]
async fn a43_hashes_that_ask_for_more_than_a_part_take_turns_and_no_memory_stays_with_them() {
    let big = Params { memory_kib: 1500, ..TINY };
    let imported = pool(big).hash(password("brought along")).await.unwrap();
    // Room for one of them, and for what the other thread holds of its own.
    let settings = Settings { threads: 2, queue: 8, memory_kib: 2048, ..TINY_SETTINGS };
    let pool = pool_of(settings);
    let mut checks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (pool, imported) = (pool.clone(), imported.clone());
        let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
        let stored = (n % 4 != 0).then_some(imported);
        checks.spawn(async move { slot.verify(password("brought along"), stored).await });
    }
    for verdict in checks.join_all().await {
        assert!(matches!(verdict, Ok(Verdict::Right { rehash: Some(_) } | Verdict::Wrong)), "{verdict:?}");
    }
    assert!(pool.figures().memory_kib <= 2 * 64, "{:?}", pool.figures());

    let small = pool_of(Settings { memory_kib: 1024, ..settings });
    let refused = verify(&small, password("brought along"), Some(imported)).await.unwrap_err();
    assert!(matches!(refused, HashError::Memory { needs_mib: 2, has_mib: 1 }), "{refused:?}");
    assert!(refused.to_string().contains("hashing_memory_mib"), "{refused}");
}

#[tokio::test]
async fn a43_a_hash_that_needs_all_memory_gets_what_idle_threads_hold() {
    let imported = pool(Params { memory_kib: 256, ..TINY }).hash(password("brought along")).await.unwrap();
    let pool = pool_of(Settings { threads: 4, queue: 8, ..TINY_SETTINGS });
    for _ in 0..3 {
        let mut checks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
            checks.spawn(async move { slot.verify(password("x"), None).await });
        }
        checks.join_all().await;
        let right = verify(&pool, password("brought along"), Some(imported.clone())).await;
        assert!(matches!(right, Ok(Verdict::Right { .. })), "{right:?}");
    }
}

const SCRYPT: &str = "$scrypt$ln=10,r=8,p=2$c2l4dGVlbiBieXRlIHNhbA$gmMax06yxSXV4Wvv/vVmLvv7tcXrnMQNsoPRM32Imbg";

#[tokio::test]
async fn a43_the_memory_of_scrypt_counts_too() {
    let stored = Some(Phc::parse(SCRYPT).unwrap());
    let right = "correct horse battery staple";
    let refused = verify(&pool(TINY), password(right), stored.clone()).await.unwrap_err();
    assert!(matches!(refused, HashError::Memory { needs_mib: 2, has_mib: 0 }), "{refused:?}");
    let settings = Settings { threads: 2, queue: 8, memory_kib: 1100, ..TINY_SETTINGS };
    let pool = pool_of(settings);
    let mut checks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let slot = pool.admit(&applicant(&n.to_string(), "")).unwrap();
        let (typed, stored) = (password(if n % 2 == 0 { right } else { "wrong" }), stored.clone());
        checks.spawn(async move { (n % 2 == 0, slot.verify(typed, stored).await) });
    }
    for (right, verdict) in checks.join_all().await {
        assert_eq!(matches!(verdict, Ok(Verdict::Right { rehash: Some(_) })), right, "{verdict:?}");
    }
    let figures = pool.figures();
    assert!(figures.memory_kib <= 2 * 64, "{figures:?}");
    assert_eq!(figures.made, Made { current: 6, other: 6 });
}

#[test]
fn p10_whoever_is_wrong_waits_as_long_as_one_with_a_hash_of_another_system() {
    let ms = Duration::from_millis;
    let pool = stuck();
    let padding = |other, took| pool.shared.padding(other, ms(took));
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
async fn p10_a_wrong_password_of_nobody_is_answered_after_the_padding() {
    let pool = pool(TINY);
    pool.shared.padding(true, Duration::from_millis(40));
    let began = Instant::now();
    assert!(matches!(verify(&pool, password("x"), None).await, Ok(Verdict::Wrong)));
    assert!(began.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn p09_a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let stuck = stuck();
    let _slots = [stuck.admit(&applicant("a", "")).unwrap(), stuck.admit(&applicant("b", "")).unwrap()];
    let refused = stuck.admit(&applicant("c", "")).unwrap_err();
    assert!(matches!(refused, HashError::Busy { after } if after >= Ttl::from_millis(100)), "{refused:?}");
    let twice = stuck.admit(&applicant("b", "")).unwrap_err();
    assert!(matches!(twice, HashError::Busy { .. }), "{twice:?}");
    let figures = stuck.figures();
    assert_eq!((figures.waiting, figures.queue_full, figures.account_waiting), (2, 1, 1));
}

#[tokio::test]
async fn p09_whoever_loses_the_place_to_another_prefix_is_told() {
    let stuck = stuck();
    let (first, second) = (stuck.admit(&applicant("a", "")).unwrap(), stuck.admit(&applicant("b", "")).unwrap());
    let mut waits = Box::pin(second.verify(password("x"), None));
    assert!(futures_util::poll!(&mut waits).is_pending());
    let _other = stuck.admit(&applicant("c", "192.0.2.1")).unwrap();
    assert!(matches!(waits.await, Err(HashError::Busy { .. })));
    assert_eq!(stuck.figures().evicted, 1);

    // One that was still reading the user learns it when it comes to be hashed.
    let reading = { stuck.admit(&applicant("d", "192.0.2.1")) };
    assert!(matches!(reading, Err(HashError::Busy { .. })), "each has one place");
    drop(first);
    let late = stuck.admit(&applicant("e", "192.0.2.1")).unwrap();
    let _third = stuck.admit(&applicant("f", "198.51.100.1")).unwrap();
    assert!(matches!(late.verify(password("x"), None).await, Err(HashError::Busy { .. })));
}

#[tokio::test]
async fn p09_a_caller_that_went_away_leaves_its_place_at_once() {
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
    let shared = Arc::downgrade(&pool.shared);
    drop(pool.clone());
    assert!(!shared.upgrade().unwrap().state().closed);
    drop(pool);
    assert!(shared.upgrade().is_none_or(|s| s.state().closed));
}
