use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use tokio::time::advance;
use tonic_types::StatusExt;

use super::*;
use crate::{
    id::RequestId,
    service::CallerName,
    time::{Clock, FixedClock, Timestamp},
};

/// Just before a message has waited too long.
const ALMOST: Duration = Duration::from_millis(9_999);

/// Numbers its messages, and keeps `_memory` as long as it lives.
struct Numbers {
    next: u32,
    _memory: Arc<()>,
}

impl Source for Numbers {
    type Message = u32;

    async fn next(&mut self) -> Result<u32> {
        self.next += 1;
        Ok(self.next)
    }
}

fn started() -> (Messages<u32>, Weak<()>) {
    let memory = Arc::new(());
    let weak = Arc::downgrade(&memory);
    let now = FixedClock::new(Timestamp::from_millis(0)).now();
    let request_id = RequestId::new(now, &crate::entropy::OsEntropy);
    let ctx = RequestContext {
        now,
        request_id,
        deadline: None,
        peer: String::new(),
        user_agent: String::new(),
        language: None,
        origin: None,
        caller: CallerName::default(),
    };
    (messages(Numbers { next: 0, _memory: memory }, ctx), weak)
}

/// Lets the task of a stream run until it waits.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_ends_as_too_slow_and_keeps_nothing_in_memory() {
    let (mut stream, memory) = started();
    assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    settle().await;
    advance(ALMOST).await;
    settle().await;
    assert!(memory.upgrade().is_some());
    advance(Duration::from_millis(2)).await;
    settle().await;
    assert!(memory.upgrade().is_none(), "without being read");
    // Whoever reads on gets what had left the source already, then the reason.
    assert_eq!(stream.next().await.unwrap().unwrap(), 2);
    let end = stream.next().await.unwrap().unwrap_err();
    assert_eq!(end.get_details_error_info().unwrap().reason, "WATCHER_TOO_SLOW");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_slowly_but_steadily_goes_on() {
    let (mut stream, memory) = started();
    for n in 1..100 {
        assert_eq!(stream.next().await.unwrap().unwrap(), n);
        settle().await;
        advance(ALMOST).await;
        settle().await;
    }
    assert!(memory.upgrade().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_ends_its_task() {
    let (mut stream, memory) = started();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    settle().await;
    assert!(memory.upgrade().is_none());
}
