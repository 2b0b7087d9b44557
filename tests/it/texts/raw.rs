//! Calls with encoded messages, so that a request may hold what no generated type can.

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    metadata::{BinaryMetadataKey, MetadataValue},
    transport::Channel,
};

use crate::raw::Raw;

/// Calls a method. Returns its answer, or an empty one if it opened a stream.
pub(super) async fn call(
    channel: &Channel,
    path: &str,
    credentials: Option<&str>,
    message: Vec<u8>,
    streams: bool,
) -> Result<Vec<u8>, Status> {
    let mut request = Request::new(Bytes::from(message));
    if let Some(credentials) = credentials {
        request.metadata_mut().insert("authorization", credentials.parse().unwrap());
    }
    send(channel, path, request, streams).await
}

/// Calls a method with one header of these bytes.
pub(super) async fn with_header(
    channel: &Channel,
    path: &str,
    (name, value): (&'static str, &[u8]),
    message: Vec<u8>,
    streams: bool,
) -> Result<Vec<u8>, Status> {
    let mut request = Request::new(Bytes::from(message));
    if name.ends_with("-bin") {
        request.metadata_mut().insert_bin(BinaryMetadataKey::from_static(name), MetadataValue::from_bytes(value));
    } else {
        let value = http::HeaderValue::from_bytes(value).unwrap();
        let mut headers = request.metadata().clone().into_headers();
        headers.insert(name, value);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    }
    send(channel, path, request, streams).await
}

async fn send(channel: &Channel, path: &str, request: Request<Bytes>, streams: bool) -> Result<Vec<u8>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let mut answer = grpc.server_streaming(request, path, Raw).await?.into_inner();
    if streams {
        return Ok(Vec::new());
    }
    answer.message().await.map(|message| message.unwrap_or_default().into())
}
