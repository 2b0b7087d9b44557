//! What a batch takes of the queues.

use super::*;
use crate::{
    domain::session_data::{DataCondition, DataScope, DataValue},
    entropy::SeededEntropy,
    time::Timestamp,
};

fn waiter<W: Work>() -> Waiter<W> {
    Waiter { reply: oneshot::channel().0, deadline: None }
}

fn revocation() -> Revocation {
    Revocation { sessions: Vec::new(), cause: RevokedCause::Logout, actor: Actor::system() }
}

fn rotation() -> Rotation {
    Rotation {
        session: SessionId::new(Timestamp::from_millis(1), &SeededEntropy::new(1)),
        generation: 1,
        secret: crate::secret::SessionSecret::generate(&SeededEntropy::new(1)).hash(),
        client: "app".parse().unwrap(),
        audience: "api".parse().unwrap(),
        scopes: Vec::new(),
        request_id: None,
        arrived: Timestamp::from_millis(1),
        tried_at: None,
    }
}

#[test]
fn a_flood_of_logouts_leaves_room_for_refreshes_in_every_batch() {
    let mut queue = WriteQueue::default();
    queue.revocations.extend((0..1000).map(|_| (revocation(), waiter())));
    queue.rotations.extend((0..1000).map(|_| (rotation(), waiter())));
    let batch = queue.take();
    assert_eq!(batch.revocations.work.len(), MAX_BATCH - LANE_ROOM);
    assert_eq!(batch.rotations.work.len(), LANE_ROOM);
    // Room that nobody needs is not wasted.
    queue.rotations.truncate(10);
    let batch = queue.take();
    assert_eq!((batch.revocations.work.len(), batch.rotations.work.len()), (MAX_BATCH - 10, 10));
    queue.revocations.clear();
    queue.rotations.extend((0..1000).map(|_| (rotation(), waiter())));
    assert_eq!(queue.take().rotations.work.len(), MAX_BATCH);
}
#[test]
fn touches_of_one_session_are_one_and_those_beyond_the_limit_are_dropped() {
    let entropy = SeededEntropy::new(1);
    let at = Timestamp::from_millis;
    let mut queue = WriteQueue::default();
    let first = SessionId::new(at(0), &entropy);
    for idle_expires_at in [at(7), at(9), at(8)] {
        queue.touch(SessionTouch { session: first.clone(), idle_expires_at });
    }
    for n in 0..2 * MAX_QUEUED {
        let session = SessionId::new(at(i64::try_from(n).unwrap() + 1), &entropy);
        queue.touch(SessionTouch { session, idle_expires_at: at(7) });
    }
    assert_eq!(queue.queued(), MAX_QUEUED);
    // One that is queued is still moved.
    queue.touch(SessionTouch { session: first.clone(), idle_expires_at: at(10) });
    let batch = queue.take();
    assert_eq!(batch.touches.len(), MAX_BATCH);
    assert_eq!(batch.touches[0], SessionTouch { session: first, idle_expires_at: at(10) });
    assert_eq!(queue.queued(), MAX_QUEUED - MAX_BATCH);
}

/// A change whose value has this many bytes.
fn data(bytes: usize) -> DataWrite {
    DataWrite {
        session: SessionId::new(Timestamp::from_millis(1), &SeededEntropy::new(1)),
        client: None,
        scope: DataScope::Session,
        namespace: "cart".parse().unwrap(),
        value: Some(DataValue::from_database("x".repeat(bytes))),
        condition: DataCondition::Any,
    }
}

fn queue_data(queue: &mut WriteQueue, bytes: usize) -> bool {
    let write = data(bytes);
    let admitted = write.admit(queue);
    if admitted {
        queue.data.push_back((write, waiter()));
    }
    admitted
}

#[test]
fn data_are_bounded_by_their_bytes_and_leave_room_for_others() {
    let mut queue = WriteQueue::default();
    while queue_data(&mut queue, 16 * 1024) {}
    assert_eq!(queue.data_bytes, MAX_QUEUED_DATA);
    assert!(queue_data(&mut queue, 0), "a deletion takes no room");
    queue.rotations.extend((0..1000).map(|_| (rotation(), waiter())));
    let batch = queue.take();
    assert_eq!(batch.rotations.work.len(), MAX_BATCH - LANE_ROOM);
    assert_eq!(batch.data.work.len(), MAX_BATCH_DATA / (16 * 1024), "as many as fit into a transaction");
    assert_eq!(queue.data_bytes, MAX_QUEUED_DATA - MAX_BATCH_DATA);
    assert!(queue_data(&mut queue, 16 * 1024));
    // Many small ones fill their part of a batch, and one that is too large by itself is written alone.
    queue.data.clear();
    queue.data_bytes = 0;
    for bytes in std::iter::repeat_n(10, 100).chain([MAX_BATCH_DATA + 1, 10]) {
        assert!(queue_data(&mut queue, bytes));
    }
    assert_eq!(queue.take().data.work.len(), LANE_ROOM);
    queue.rotations.clear();
    assert_eq!(queue.take().data.work.len(), 100 - LANE_ROOM);
    assert_eq!(queue.take().data.work.len(), 1);
    assert_eq!(queue.take().data.work.len(), 1);
    assert_eq!((queue.data_bytes, queue.queued()), (0, 0));
}
