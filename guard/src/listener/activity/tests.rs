use super::*;

const LIMITS: Limits = Limits {
    connections: 1,
    per_address: 1,
    head: Duration::from_secs(10),
    idle: Duration::from_mins(2),
    stall: Duration::from_mins(1),
    ping: Duration::from_mins(1),
    pong: Duration::from_secs(20),
    age: None,
    answer: None,
    streams: 1,
    header_bytes: 1,
};

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

fn stays(seconds: u64) -> Verdict {
    Verdict::Stays(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn silence_half_a_request_and_half_a_greeting_end_with_the_time_for_a_head() {
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\nhost: a.very.long.name\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let activity = Activity::new(Instant::now());
        if !bytes.is_empty() {
            activity.read(bytes);
        }
        pass(4).await;
        assert_eq!(activity.judge(&LIMITS, false), stays(6), "{bytes:?}");
        // Another byte gains no time.
        activity.read(b"x");
        pass(6).await;
        assert_eq!(activity.judge(&LIMITS, false), Verdict::NoRequest, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_from_the_end_of_its_last_request() {
    let activity = Activity::new(Instant::now());
    activity.read(b"GET / HTTP/1.1\r\n\r\n");
    activity.begin();
    pass(500).await;
    assert_eq!(activity.judge(&LIMITS, false), stays(20));
    activity.end();
    pass(100).await;
    assert_eq!(activity.judge(&LIMITS, false), stays(20));
    // Half of another request.
    activity.read(b"GET");
    pass(10).await;
    assert_eq!(activity.judge(&LIMITS, false), Verdict::NoRequest);
    activity.read(b" / HTTP/1.1\r\n\r\n");
    activity.begin();
    activity.end();
    pass(120).await;
    assert_eq!(activity.judge(&LIMITS, false), Verdict::Idle);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_that_only_answers_pings_is_idle() {
    let activity = Activity::new(Instant::now());
    activity.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    for _ in 0..3 {
        pass(30).await;
        activity.read(b"\0\0\x08\x06\x01\0\0\0\0........");
    }
    assert_eq!(activity.judge(&LIMITS, false), stays(30));
    pass(30).await;
    assert_eq!(activity.judge(&LIMITS, false), Verdict::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_in_pieces_is_one_of_http2() {
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for first in 1..greeting.len() {
        let activity = Activity::new(Instant::now());
        let (one, other) = greeting.split_at(first);
        activity.read(one);
        activity.read(other);
        activity.begin();
        activity.end();
        pass(1).await;
        // An answered ping is no half request.
        activity.read(b"\0\0\x08\x06\x01\0\0\0\0........");
        pass(20).await;
        assert_eq!(activity.judge(&LIMITS, false), stays(99), "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_request_that_came_with_another_one_is_judged_as_half_a_request() {
    for (bytes, has_body, verdict) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], false, stays(110)),
        (b"GET / HTTP/1.1\r\n\r\nGET / HT", false, Verdict::NoRequest),
        // The end of a body is unknown here.
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\nx", true, stays(110)),
    ] {
        let activity = Activity::new(Instant::now());
        activity.read(bytes);
        activity.begin();
        if has_body {
            activity.has_body();
        }
        activity.end();
        pass(10).await;
        assert_eq!(activity.judge(&LIMITS, false), verdict, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_its_peer_does_not_take_does_not_keep_the_connection() {
    let activity = Activity::new(Instant::now());
    activity.begin();
    activity.claim();
    let untaken = activity.wait();
    assert_eq!(activity.judge(&LIMITS, true), stays(20));
    assert!(activity.is_claimed());
    assert_eq!(activity.judge(&LIMITS, true), stays(20));
    assert!(!activity.is_claimed());
    activity.taken(untaken);
    assert!(activity.is_claimed());
}

#[tokio::test(start_paused = true)]
async fn one_response_that_nobody_takes_is_seen_beside_others_that_are_taken() {
    let activity = Activity::new(Instant::now());
    activity.begin();
    activity.begin();
    let stalled = activity.wait();
    for _ in 0..INTERVALS {
        let other = activity.wait();
        assert_eq!(activity.judge(&LIMITS, true), stays(20));
        activity.taken(other);
    }
    assert_eq!(activity.judge(&LIMITS, true), Verdict::Stalled);
    activity.taken(stalled);
    for _ in 0..10 {
        let other = activity.wait();
        assert_eq!(activity.judge(&LIMITS, true), stays(20));
        activity.taken(other);
    }
}
