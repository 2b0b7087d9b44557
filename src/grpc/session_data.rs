//! `SessionDataService`.

use tonic::{Request, Response, Status};

use super::{
    call::Call,
    convert::time,
    proto::pb::{self, session_data_service_server::SessionDataService},
    structs::{from_value, to_value},
};
use crate::{
    domain::session_data::{DataCondition, DataEntry, DataScope, DataValue},
    error::{Error, Result as ServiceResult},
    service::DataAt,
};

/// Implements `SessionDataService` for one call.
#[derive(Debug)]
pub(super) struct SessionData(pub(super) Call);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SessionDataService for SessionData {
    async fn get_session_data(
        &self,
        request: Request<pb::GetSessionDataRequest>,
    ) -> Answer<pb::GetSessionDataResponse> {
        let caller = self.0.data_caller()?;
        let message = request.get_ref();
        let done = async {
            let found =
                self.0.service.data.get(caller, at(message.owner, &message.namespace, &message.session_id)?).await?;
            found.ok_or_else(|| Error::NotFound("value", message.namespace.clone()))
        };
        let found = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::GetSessionDataResponse {
            value: Some(to_value(found.value.to_value())),
            version: found.version,
            update_time: Some(time(found.updated_at)),
        }))
    }

    async fn put_session_data(
        &self,
        request: Request<pb::PutSessionDataRequest>,
    ) -> Answer<pb::PutSessionDataResponse> {
        let caller = self.0.data_caller()?;
        let mut message = request.into_inner();
        let done = async {
            let at = at(message.owner, &message.namespace, &message.session_id)?;
            let condition = condition(message.expected_version)?;
            let condition = match (message.create_only, condition) {
                (false, condition) => condition,
                (true, DataCondition::Any) => DataCondition::Absent,
                (true, _) => return Err(Error::invalid("create_only", "cannot be set together with expected_version")),
            };
            let value = from_value("value", message.value.take().unwrap_or_default())?;
            let value = DataValue::new(value).map_err(|problem| Error::invalid("value", problem.to_string()))?;
            self.0.service.data.put(&self.0.ctx, caller, at, (value, condition)).await
        };
        let stored = done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::PutSessionDataResponse { version: stored.version }))
    }

    async fn delete_session_data(
        &self,
        request: Request<pb::DeleteSessionDataRequest>,
    ) -> Answer<pb::DeleteSessionDataResponse> {
        let caller = self.0.data_caller()?;
        let message = request.get_ref();
        let done = async {
            let at = at(message.owner, &message.namespace, &message.session_id)?;
            self.0.service.data.delete(&self.0.ctx, caller, at, condition(message.expected_version)?).await
        };
        done.await.map_err(|e| self.0.status(&e))?;
        Ok(Response::new(pb::DeleteSessionDataResponse {}))
    }

    async fn list_session_data(
        &self,
        request: Request<pb::ListSessionDataRequest>,
    ) -> Answer<pb::ListSessionDataResponse> {
        let caller = self.0.data_caller()?;
        let message = request.get_ref();
        let done = async { self.0.service.data.list(caller, &message.session_id, scope(message.owner)?).await };
        let entries = done.await.map_err(|e| self.0.status(&e))?.into_iter().map(entry).collect();
        Ok(Response::new(pb::ListSessionDataResponse { entries }))
    }
}

fn at<'a>(owner: i32, namespace: &'a str, session_id: &'a str) -> ServiceResult<DataAt<'a>> {
    Ok(DataAt { session_id, scope: scope(owner)?, namespace })
}

fn scope(owner: i32) -> ServiceResult<DataScope> {
    match pb::DataOwner::try_from(owner) {
        Ok(pb::DataOwner::Session) => Ok(DataScope::Session),
        Ok(pb::DataOwner::User) => Ok(DataScope::User),
        Ok(pb::DataOwner::Unspecified) | Err(_) => Err(Error::invalid("owner", "must be SESSION or USER")),
    }
}

fn condition(expected_version: i64) -> ServiceResult<DataCondition> {
    match expected_version {
        0 => Ok(DataCondition::Any),
        version if version > 0 => Ok(DataCondition::Version(version)),
        _ => Err(Error::invalid("expected_version", "must not be negative")),
    }
}

fn entry(entry: DataEntry) -> pb::SessionDataEntry {
    pb::SessionDataEntry {
        namespace: entry.namespace,
        version: entry.version,
        size_bytes: i32::try_from(entry.bytes).unwrap_or(i32::MAX),
        update_time: Some(time(entry.updated_at)),
    }
}
