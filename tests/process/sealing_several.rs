//! Several versions of the sealing key in what operators run: backups, restores, a look at the deployment, and many servers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use chancery::keys::SealingKey;

use crate::{
    calls::{PASSWORD, log_in_as, page, refresh_as},
    check::Shop,
    doctor::{findings, found},
    place::Place,
    sealing_rotation::{start, with},
    server::{FREE_PORTS, command, run},
};

fn fingerprint(key: &Path) -> String {
    SealingKey::new(&SealingKey::parse(&fs::read(key).unwrap()).unwrap()).fingerprint()
}

/// Makes keys beside a data directory.
fn generate(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    let make = |name: &&str| {
        let path = dir.join(name);
        assert!(run(command(&["sealing-key", "generate", "--out"]).arg(&path), b"").status.success());
        path
    };
    names.iter().map(make).collect()
}

/// Runs a command with these keys. Returns whether it succeeded, and all that it printed.
fn with_keys(line: &[&str], place: &Place, keys: &[&PathBuf]) -> (bool, String) {
    let out = run(command(line).args(place.flags()).args(with(keys)), b"");
    (out.status.success(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

fn serve(place: &Place, keys: &[&PathBuf]) -> Shop {
    let flags = with(keys);
    Shop::serve(place, "127.0.0.1", &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

fn stop(shop: Shop) {
    shop.server.terminate();
    assert!(shop.server.wait().success());
}

#[tokio::test]
async fn what_was_made_before_a_restore_lives_whatever_number_its_key_has_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::sqlite(&dir.path().join("data"));
    fs::create_dir(&place.dir).unwrap();
    let keys = generate(dir.path(), &["data/sealing.key", "second.key", "third.key"]);
    let [first, second, third] = &keys[..] else { panic!("three") };
    let names = keys.iter().map(|key| fingerprint(key)).collect::<Vec<_>>();
    let [early, late] = ["early.backup", "late.backup"].map(|name| dir.path().join(name).display().to_string());
    let shop = serve(&place, &[first]);
    shop.set_up().await;
    let cookies = shop.sign_in_a_browser().await;
    let token = log_in_as(shop.server.channel().await, "shop", "grace", PASSWORD).await.unwrap().refresh_token;
    let (done, said) = with_keys(&["backup", &early], &place, &[first]);
    assert!(done && said.contains(&format!("the sealing key {} is not in it", names[0])), "{said}");
    stop(shop);

    let shop = serve(&place, &[first, second]);
    let (done, said) = with_keys(&["sealing-key", "rotate"], &place, &[first, second]);
    assert!(done, "{said}");
    let token = refresh_as(shop.server.channel().await, "shop", &token, "").await.unwrap().refresh_token;
    assert!(shop.lets_in(&cookies).await, "the cookie is of the first version");
    let later = shop.sign_in_a_browser().await;
    let (done, said) = with_keys(&["backup", &late], &place, &[second]);
    let want = format!("the sealing keys {}, which is in use, and {}, which is still needed", names[1], names[0]);
    assert!(done && said.contains(&want) && said.contains(&format!("{} is not in", names[0])), "{said}");
    stop(shop);

    // The early backup knows the first key alone; the third is given before the second, and takes its number.
    let restored = Place::sqlite(&dir.path().join("early"));
    let (done, said) = with_keys(&["restore", &early], &restored, &[first, third, second]);
    assert!(done && said.contains(&format!("sealing key: {}\n", names[0])), "{said}");
    assert!(said.contains("start servers with every sealing key that has been in use since the backup"), "{said}");
    // The server that was backed up counted as running for half a minute.
    restored.texts("DELETE FROM processes RETURNING id").await;
    let shop = serve(&restored, &[first, third, second]);
    let (_, listed) = with_keys(&["sealing-key", "list"], &restored, &[first]);
    let order: Vec<_> = listed.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(order, [&names[0], &names[2], &names[1]], "{listed}");
    assert!(shop.lets_in(&cookies).await && !shop.lets_in(&later).await, "the later session is lost");
    let next = refresh_as(shop.server.channel().await, "shop", &token, "").await.unwrap().refresh_token;
    // And when its key comes into use under its new number.
    for _ in 0..2 {
        let (done, said) = with_keys(&["sealing-key", "rotate"], &restored, &[first, third, second]);
        assert!(done, "{said}");
    }
    assert!(shop.lets_in(&cookies).await);
    refresh_as(shop.server.channel().await, "shop", &next, "").await.unwrap();
    stop(shop);

    let other = Place::sqlite(&dir.path().join("late"));
    let (done, said) = with_keys(&["restore", &late], &other, &[first]);
    assert!(!done && said.contains(&names[1]) && said.contains(&names[0]) && !other.dir.exists(), "{said}");
    let (done, said) = with_keys(&["restore", &late], &other, &[second]);
    assert!(done && said.contains(&format!("no server starts without {} as well", names[0])), "{said}");
    let (_, refused) = with_keys(&[&["serve"], &FREE_PORTS[..]].concat(), &other, &[second]);
    assert!(refused.contains("version 1 of the sealing key") && refused.contains(&names[0]), "{refused}");
    let shop = serve(&other, &[second, first]);
    assert!(shop.lets_in(&cookies).await && shop.lets_in(&later).await);
    stop(shop);
}

#[tokio::test]
async fn the_keys_that_are_needed_are_named_by_restored_and_by_the_doctor() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let (deployment, servers) = start(&place);
        let (old, new) = (&deployment.old, &deployment.new);
        let names = [fingerprint(old), fingerprint(new)];
        for server in servers {
            server.terminate();
            server.wait();
        }
        let server = deployment.serve(&[old, new]);
        let look = |keys: &[&PathBuf]| {
            let flags = with(keys);
            findings(&place, &flags.iter().map(String::as_str).collect::<Vec<_>>()).0
        };
        let said = format!("version 1, {} is in use; version 2, {} is loaded", names[0], names[1]);
        found(&look(&[old, new]), "sealing key", "ok", &said);
        assert!(deployment.sealing(&["rotate"], &[old, new]).0);
        let said = format!("version 1, {} is verify only; version 2, {} is in use", names[0], names[1]);
        found(&look(&[old, new]), "sealing key", "ok", &said);
        let said = format!("version 1, {}, is still needed, and is not among the keys here", names[0]);
        found(&look(&[new]), "sealing key", "problem", &said);
        found(
            &look(&[old]),
            "sealing key",
            "problem",
            &format!("is not the one in use, which is version 2, {}", names[1]),
        );
        server.terminate();
        server.wait();
        let (done, said) = with_keys(&["restored"], &place, &[new, old]);
        assert!(done && said.contains(&format!("sealing key: {}, {}\n", names[0], names[1])), "{said}");
        let (done, said) = with_keys(&["restored"], &place, &[old]);
        assert!(!done && said.contains("is not the one in use, which is version 2"), "{said}");

        // As if the rotation had been interrupted before it sealed this row again.
        let left = "UPDATE signing_keys SET sealing_version = 1 \
            WHERE id = (SELECT min(id) FROM signing_keys) RETURNING id";
        assert_eq!(place.texts(left).await.len(), 1);
        for line in [&["keys", "list"][..], &["user", "create", "eve"]] {
            let (done, said) = with_keys(line, &place, &[new]);
            assert!(!done && !said.contains("internal error"), "{said}");
            let under = format!("still sealed under version 1 of the sealing key, {}", names[0]);
            for part in [&*under, &format!("only {} (version 2) was given", names[1]), "chancery sealing-key rotate"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        found(&look(&[new]), "sealing key", "problem", "still sealed under version 1");
    }
}

#[tokio::test]
async fn a_server_that_lacks_the_version_in_use_says_so_where_readiness_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let (deployment, [one, two]) = start(&place);
        let (old, new) = (&deployment.old, &deployment.new);
        one.terminate();
        assert!(one.wait().success());
        let one = deployment.serve(&[old, new]);
        // Nothing is heard of the other for long: it is taken for dead.
        let mut rotated = false;
        for _ in 0..20 {
            place.texts("DELETE FROM processes RETURNING id").await;
            rotated = deployment.sealing(&["rotate"], &[old, new]).0;
            if rotated {
                break;
            }
        }
        assert!(rotated);
        let ready = async |address: &str| page(address, "/readyz").await.unwrap();
        let mut said = ready(&two.telemetry).await;
        while said.starts_with("HTTP/1.1 200") {
            said = ready(&two.telemetry).await;
        }
        assert!(said.starts_with("HTTP/1.1 503"), "{said}");
        let want =
            format!("version 2 of the sealing key, {}, is in use, and this process does not hold it", fingerprint(new));
        assert!(said.contains(&want) && said.contains("--sealing-key-file") && !said.contains("database"), "{said}");
        assert!(ready(&one.telemetry).await.starts_with("HTTP/1.1 200"));
        // It looks five times a second, and says so once.
        let age = async || -> f64 {
            let metrics = page(&two.telemetry, "/metrics").await.unwrap();
            let line = metrics.lines().find(|line| line.starts_with("chancery_feed_age_seconds ")).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        while age().await < 1.5 {}
        let log = fs::read_to_string(&two.log).unwrap();
        assert_eq!(log.matches("cannot confirm the change feed").count(), 1, "{log}");
    }
}

/// However slow the machine is, the crowd counts as running until it is told otherwise, in milliseconds.
const LATE: u128 = 300_000;

/// Notes a thousand servers that were seen a moment ago and hold the first two versions.
async fn crowd(place: &Place) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + LATE;
    let versions = if place.database.is_some() { "CAST('[1, 2]' AS JSONB)" } else { "'[1, 2]'" };
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1999) \
         INSERT INTO processes (id, version, binary_version, host, sealing_versions, started_at, seen_at) \
         SELECT 'prc_01ARZ3NDEKTSV4RRFFQ69G' || CAST(i AS TEXT), '0.1.0', 2, 'many', {versions}, {now}, {now} FROM n \
         RETURNING id"
    );
    assert_eq!(place.texts(&rows).await.len(), 1000);
}

#[tokio::test]
async fn a_rotation_among_very_many_servers_ends_and_says_what_it_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    for place in Place::each(&dir).await {
        let (deployment, servers) = start(&place);
        let (old, new) = (&deployment.old, &deployment.new);
        for server in servers {
            server.terminate();
            server.wait();
        }
        let server = deployment.serve(&[old, new]);
        crowd(&place).await;
        let (done, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(!done && said.contains("1000 servers run") && said.contains("30 s later"), "{said}");
        // A few less: all are looked at. Those that lack it are not all named.
        let lacks = if place.database.is_some() { "CAST('[1]' AS JSONB)" } else { "'[1]'" };
        place.texts("DELETE FROM processes WHERE id LIKE '%FFQ69G100%' RETURNING id").await;
        place
            .texts(&format!("UPDATE processes SET sealing_versions = {lacks} WHERE id LIKE '%FFQ69G1%' RETURNING id"))
            .await;
        let (done, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(!done && said.contains("is not held by prc_") && said.len() < 2000, "{said}");
        assert!(said.contains("and 980 more") && said.contains("is forgotten after 30 s"), "{said}");
        let (_, listed) = deployment.sealing(&["list"], &[old, new]);
        assert!(listed.contains("and 980 more") && listed.len() < 2000, "{listed}");
        // Nothing has been heard of them since.
        let silent =
            format!("UPDATE processes SET seen_at = seen_at - {LATE} - 31000 WHERE id LIKE '%FFQ69G1%' RETURNING id");
        place.texts(&silent).await;
        let (done, said) = deployment.sealing(&["rotate"], &[old, new]);
        assert!(done && said.contains("version 2 of the sealing key is in use"), "{said}");
        drop(server);
    }
}
