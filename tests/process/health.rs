//! `chancery health` says whether a server is ready, for containers that have no other program.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Output,
};

use crate::{
    refused::Refused,
    server::{Server, command, run},
};

fn asked(args: &[&str], variables: &[(&str, &str)]) -> Output {
    run(command(&[&["health"], args].concat()).envs(variables.iter().copied()), b"")
}

#[tokio::test]
async fn a_running_server_is_ready_and_a_stopped_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let port = server.telemetry.rsplit_once(':').unwrap().1;
    let everywhere = format!("0.0.0.0:{port}");
    let file = dir.path().join("config.toml");
    std::fs::write(&file, format!("telemetry = \"{everywhere}\"\n")).unwrap();
    // As the server's own environment or file names it, and however it listens beyond loopback.
    for (args, variables) in [
        (&["--telemetry", &*server.telemetry][..], &[][..]),
        (&["--telemetry", &everywhere], &[]),
        (&["--config", file.to_str().unwrap()], &[]),
        (&[], &[("CHANCERY_TELEMETRY", &*everywhere), ("CHANCERY_GRPC", "0.0.0.0:50051")]),
        (&[], &[("CHANCERY_CONFIG", file.to_str().unwrap())]),
    ] {
        let out = asked(args, variables);
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8(out.stdout).unwrap(), "ready\n");
    }
    let address = server.telemetry.clone();
    drop(server);
    let line = format!("health --telemetry {address}");
    Refused { line: &line, says: &["cannot ask", &address], ..Refused::default() }.check(dir.path()).await;
}

#[tokio::test]
async fn a_server_that_is_not_ready_or_silent_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!("health --telemetry {address}");
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nstopping\n").unwrap();
        drop(stream);
        // The second caller gets no answer, and an endless one is not read.
        let (silent, _) = listener.accept().unwrap();
        let (mut endless, _) = listener.accept().unwrap();
        let _ = endless.read(&mut [0; 1024]);
        endless.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n").unwrap();
        while endless.write_all(&[b'x'; 4096]).is_ok() {}
        silent
    });
    Refused { line: &line, says: &["not ready", "503: stopping"], ..Refused::default() }.check(dir.path()).await;
    let impatient = format!("{line} --timeout 1");
    Refused { line: &impatient, says: &["no answer from", "within 1 s"], ..Refused::default() }.check(dir.path()).await;
    Refused { line: &line, says: &["cannot ask"], ..Refused::default() }.check(dir.path()).await;
    drop(answers.join().unwrap());
}

#[tokio::test]
async fn an_address_that_is_not_known_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for (variables, says) in [
        (&[("CHANCERY_TELEMETRY", "127.0.0.1:0")][..], "--telemetry"),
        (&[("CHANCERY_TELEMETRY", "here")], "CHANCERY_TELEMETRY"),
        (&[("CHANCERY_TELEMETRIE", "127.0.0.1:1")], "CHANCERY_TELEMETRIE"),
    ] {
        Refused { line: "health", variables, says: &[says], ..Refused::default() }.check(dir.path()).await;
    }
}
