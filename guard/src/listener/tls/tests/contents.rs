//! What the files have in them.

use super::*;

#[test]
fn what_is_wrong_with_the_files_is_said_by_their_names() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let refused = |cert: &str, key: &str, client_ca: Option<&str>| {
        write(dir.path(), &(cert.to_owned(), key.to_owned()));
        let client_ca = client_ca.map(|pem| {
            fs::write(dir.path().join("ca.pem"), pem).unwrap();
            dir.path().join("ca.pem")
        });
        Tls::load(TlsFiles { client_ca, ..files(dir.path()) }, Protocol::Http).unwrap_err().to_string()
    };
    let ((cert, key), (_, other_key)) = (authority.issue(), authority.issue());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let not_authority = "ca.pem: no certificate in it is an authority's (CA:TRUE)";
    let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for (error, says) in [
        (refused(&cert, &other_key, None), "key.pem is not the key of the certificate "),
        (refused(&cert, "", None), "key.pem: there is no private key in PEM"),
        (refused(&cert, encrypted, None), "key.pem: the private key is encrypted"),
        (refused("", &key, None), "cert.pem: there is no certificate in PEM"),
        (refused(&key, &key, None), "cert.pem: there is no certificate in PEM"),
        (refused(damaged, &key, None), "cert.pem: a certificate in it is damaged"),
        (refused(&cert, &key, Some("")), "ca.pem: there is no certificate in PEM"),
        (refused(&cert, &key, Some(damaged)), "ca.pem: "),
        (refused(&cert, &key, Some(&cert)), not_authority),
    ] {
        assert!(error.contains(says), "{error}");
    }
    fs::remove_file(dir.path().join("key.pem")).unwrap();
    let error = Tls::load(files(dir.path()), Protocol::Http).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("key.pem: "), "{error}");
    let error = Tls::load(TlsFiles { key: dir.path().to_owned(), ..files(dir.path()) }, Protocol::Http).unwrap_err();
    assert!(error.to_string().ends_with("it is not a regular file"), "{error}");
}

#[test]
fn the_first_certificate_of_a_chain_decides_and_others_are_warned_of() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let issue = |year: i32| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        (params.signed_by(&key, &authority.0).unwrap().pem(), key.serialize_pem())
    };
    // An old root that is not needed any more, for one.
    let ((leaf, key), (above, _)) = (issue(2030), issue(2021));
    write(dir.path(), &(leaf + &above, key));
    let tls = Tls::load(files(dir.path()), Protocol::Grpc).unwrap();
    let TlsStatus { expires_at, warns_at, .. } = tls.status();
    // Ten years from 2020 on, and a fifth of them.
    assert_eq!((expires_at, warns_at), (1_893_456_000, 1_893_456_000 - 3653 * 86400 / 5));
    // In July 2020 and in 2022.
    assert_eq!(tls.warnings(1_593_561_600), Vec::<String>::new());
    let warned = tls.warnings(1_640_995_200);
    assert!(warned.len() == 1 && warned[0].contains("a certificate after the first has expired"), "{warned:?}");
}

#[tokio::test]
async fn an_expired_certificate_above_neither_keeps_a_new_chain_out_nor_lets_an_expired_one_in() {
    let authority = Authority::new();
    let running = running(&authority, None, limits()).await;
    let with_old_root = |(cert, key): (String, String)| (cert + &Authority::new().issue_for((2000, 2001)).0, key);
    write(running.dir.path(), &with_old_root(authority.issue_for((2000, 2999))));
    assert!(running.tls.read_again().await && !running.tls.status().is_stuck);
    write(running.dir.path(), &authority.issue_for((2000, 2001)));
    assert!(!running.tls.read_again().await && running.tls.status().is_stuck);
    assert!(is_answered(&running, &authority).await);
}

#[tokio::test]
async fn a_client_may_vouch_for_itself() {
    let (authority, key) = (Authority::new(), KeyPair::generate().unwrap());
    let running = running(&authority, Some(&Authority::new()), limits()).await;
    let own = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    // One that somebody else has issued stands beside it, and changes nothing.
    let files = TlsFiles { client_ca: Some(running.dir.path().join("ca.pem")), ..files(running.dir.path()) };
    fs::write(running.dir.path().join("ca.pem"), authority.issue().0 + &own).unwrap();
    assert!(Tls::load(files, Protocol::Http).is_ok());
    assert!(running.tls.read_again().await);
    let dialling = Dialling { identity: Some((own, key.serialize_pem())), ..Dialling::new(&authority) };
    assert!(asks(&mut dialling.dial(&running).await.unwrap()).await.is_some());
}

#[test]
fn files_may_begin_with_a_mark() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let (cert, key) = authority.issue();
    let marked = |pem: &str| format!("\u{feff}{pem}");
    write(dir.path(), &(marked(&cert) + &marked(&authority.pem()), marked(&key)));
    fs::write(dir.path().join("ca.pem"), marked(&authority.pem())).unwrap();
    let files = TlsFiles { client_ca: Some(dir.path().join("ca.pem")), ..files(dir.path()) };
    let tls = Tls::load(files, Protocol::Http).unwrap();
    assert_eq!(tls.with_current(|current| current.loaded.chain.len()), 2);
}

#[test]
fn whom_clients_have_to_trust_is_seen() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let load = |(cert, key): (String, String)| {
        write(dir.path(), &(cert, key));
        Tls::load(files(dir.path()), Protocol::Http).unwrap()
    };
    let (cert, key) = authority.issue();
    assert!(!load((cert.clone(), key.clone())).includes_root());
    assert!(load((cert + &authority.pem(), key)).includes_root());
    let own = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&own).unwrap();
    assert!(load((alone.pem(), own.serialize_pem())).includes_root());

    let tls = load(authority.issue_for((2020, 2030)));
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    assert!(tls.is_accepted(&ca, "localhost", 1_800_000_000));
    assert!(!tls.is_accepted(&ca, "elsewhere", 1_800_000_000));
    assert!(!tls.is_accepted(&ca, "localhost", 1_900_000_000), "it has expired by then");
    fs::write(&ca, Authority::new().pem()).unwrap();
    assert!(!tls.is_accepted(&ca, "localhost", 1_800_000_000), "another authority of the same name");
    fs::remove_file(&ca).unwrap();
    assert!(!tls.is_accepted(&ca, "localhost", 1_800_000_000));
}
