//! The reasons of `SessionDataService`.

use chancery::{grpc::pb, service::Admin};
use prost::Message;

use super::World;

fn put(namespace: &str) -> pb::PutSessionDataRequest {
    let value = Some(prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) });
    let (owner, namespace) = (pb::DataOwner::Session.into(), namespace.to_owned());
    pb::PutSessionDataRequest { owner, namespace, value, ..Default::default() }
}

impl World<'_> {
    pub(super) async fn data(&mut self) {
        let me = self.user("linus").await;
        let me = Some(me.as_str());
        let (owner, namespace) = (pb::DataOwner::Session.into(), "cart".to_owned());
        let get =
            |namespace: &str| pb::GetSessionDataRequest { owner, namespace: namespace.into(), ..Default::default() };
        let delete = |expected_version| pb::DeleteSessionDataRequest {
            owner,
            namespace: namespace.clone(),
            expected_version,
            ..Default::default()
        };
        self.gives("SessionDataService/GetSessionData", "INVALID_ARGUMENT", me, get("")).await;
        self.gives("SessionDataService/GetSessionData", "NOT_FOUND", me, get("cart")).await;
        self.gives("SessionDataService/PutSessionData", "INVALID_ARGUMENT", me, put("")).await;
        let changed = pb::PutSessionDataRequest { expected_version: 7, ..put("cart") };
        self.gives("SessionDataService/PutSessionData", "VERSION_MISMATCH", me, changed).await;
        self.gives("SessionDataService/DeleteSessionData", "VERSION_MISMATCH", me, delete(7)).await;
        self.gives("SessionDataService/DeleteSessionData", "INVALID_ARGUMENT", me, delete(-1)).await;
        let nothing = pb::ListSessionDataRequest::default();
        self.gives("SessionDataService/ListSessionData", "INVALID_ARGUMENT", me, nothing).await;
        for n in 0..64 {
            assert_eq!(
                self.answer(
                    &super::full("SessionDataService/PutSessionData"),
                    me,
                    put(&format!("n{n}")).encode_to_vec()
                )
                .await,
                "none"
            );
        }
        self.gives("SessionDataService/PutSessionData", "FAILED_PRECONDITION", me, put("cart")).await;
        let plain = self.plain.clone();
        let plain = Some(plain.as_str());
        let session_id = "ses_01J00000000000000000000000".to_owned();
        let absent = pb::PutSessionDataRequest { session_id: session_id.clone(), ..put("cart") };
        self.gives("SessionDataService/PutSessionData", "NOT_FOUND", plain, absent).await;
        let absent = pb::DeleteSessionDataRequest { session_id: session_id.clone(), ..delete(0) };
        self.gives("SessionDataService/DeleteSessionData", "NOT_FOUND", plain, absent).await;
        let absent = pb::ListSessionDataRequest { owner, session_id };
        self.gives("SessionDataService/ListSessionData", "NOT_FOUND", plain, absent).await;
        self.app.service.instance.set(&Admin::command(), "session_writes", "1").await.unwrap();
        self.gives("SessionDataService/PutSessionData", "TOO_MANY_ATTEMPTS", me, put("n0")).await;
        self.gives("SessionDataService/DeleteSessionData", "TOO_MANY_ATTEMPTS", me, delete(0)).await;
    }
}
