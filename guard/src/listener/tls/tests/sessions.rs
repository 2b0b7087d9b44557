//! Whether a client that comes again needs a whole handshake.

use tokio_rustls::rustls::HandshakeKind;

use super::*;

/// How the second of two connections of one client began.
async fn second_handshake(
    running: &Running,
    trusts: &Authority,
    version: &'static SupportedProtocolVersion,
    identity: Option<(String, String)>,
) -> HandshakeKind {
    // It keeps its sessions.
    let config = Dialling { version, identity, ..Dialling::new(trusts) }.config();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(config.clone(), running).await.unwrap();
        // With TLS 1.3, tickets come with the answer.
        assert!(asks(&mut stream).await.is_some());
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds[0], HandshakeKind::Full);
    kinds[1]
}

#[tokio::test]
async fn a_session_is_resumed_unless_clients_present_certificates() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (open, closed) =
        (running(&authority, None, limits()).await, running(&authority, Some(&clients), limits()).await);
    for version in [&TLS12, &TLS13] {
        assert_eq!(second_handshake(&open, &authority, version, None).await, HandshakeKind::Resumed, "{version:?}");
        let identity = Some(clients.issue());
        assert_eq!(second_handshake(&closed, &authority, version, identity).await, HandshakeKind::Full, "{version:?}");
    }
}
