use super::*;

#[test]
fn backoff_grows_until_a_stream_has_lived() {
    let mut backoff = Backoff::default();
    let moment = Duration::from_millis(1);
    let waits: Vec<u64> = (0..8).map(|_| backoff.ceiling_after(moment)).collect();
    assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    assert_eq!(backoff.ceiling_after(LIVED.saturating_sub(moment)), 5_000);
    assert_eq!(backoff.ceiling_after(LIVED), 100);
    assert_eq!(backoff.ceiling_after(moment), 200);
}

#[test]
fn a_refused_cursor_is_dropped_and_one_of_a_broken_connection_is_kept() {
    let after = |code: Code, delivered: bool| {
        let mut progress = Progress { cursor: "here".to_owned(), delivered, ..Progress::default() };
        progress.forget_refused_cursor(&Status::new(code, ""));
        progress.cursor
    };
    for code in [Code::InvalidArgument, Code::OutOfRange, Code::FailedPrecondition, Code::NotFound, Code::Internal] {
        assert_eq!(after(code, false), "", "{code:?}");
        assert_eq!(after(code, true), "here", "{code:?}: it was accepted");
    }
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Unauthenticated, Code::ResourceExhausted] {
        assert_eq!(after(code, false), "here", "{code:?}");
    }
}
