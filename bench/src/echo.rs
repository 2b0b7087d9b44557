//! A bare tonic server and its callers: the ceiling of every unary call.

use std::io::Write;

use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};

use self::pb::{EchoRequest, EchoResponse, echo_client::EchoClient, echo_server};
use crate::{
    calls::{Connections, failure},
    deployment::Tools,
    load::{Caller, Outcome, Window, closed_loop},
    pin,
    process::Process,
    stats::Measurement,
};

/// The generated types.
#[allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/, where every item is documented"
)]
mod pb {
    tonic::include_proto!("chancery.bench.v1");
}

/// The same limit as Chancery's.
const MAX_STREAMS: u32 = 256;

struct Echo;

#[tonic::async_trait]
impl echo_server::Echo for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let size = usize::try_from(request.get_ref().answer_size).unwrap_or(0);
        Ok(Response::new(EchoResponse { payload: vec![7; payload_length(size, 0)] }))
    }
}

/// The length of the `payload` field in a message of `size` bytes, of which other fields take `taken`.
fn payload_length(size: usize, taken: usize) -> usize {
    let room = size.saturating_sub(taken);
    // One byte for the tag, and one per seven bits of the length.
    let head = match room {
        0..=129 => 2,
        130..=16_386 => 3,
        _ => 4,
    };
    room.saturating_sub(head)
}

/// Serves until the process is killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready {address}")?;
        out.flush()?;
    }
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(echo_server::EchoServer::new(Echo))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// The encoded sizes of a request and its response.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Sizes {
    request: usize,
    answer: usize,
}

impl Sizes {
    /// Arbitrary sizes.
    pub(crate) fn new(request: usize, answer: usize) -> Self {
        Self { request, answer }
    }

    /// The sizes of real messages.
    pub(crate) fn of(request: &impl Message, answer: &impl Message) -> Self {
        Self { request: request.encoded_len(), answer: answer.encoded_len() }
    }

    /// The sizes in human-readable form.
    pub(crate) fn text(self) -> String {
        format!("{} to {} bytes", self.request, self.answer)
    }

    fn message(self) -> EchoRequest {
        let answer_size = u32::try_from(self.answer).unwrap_or(u32::MAX);
        let taken = EchoRequest { answer_size, ..EchoRequest::default() }.encoded_len();
        EchoRequest { payload: vec![7; payload_length(self.request, taken)], answer_size }
    }
}

#[derive(Debug)]
struct EchoCaller {
    rpc: EchoClient<Channel>,
    message: EchoRequest,
}

impl Caller for EchoCaller {
    async fn call(&mut self) -> Outcome {
        match self.rpc.echo(self.message.clone()).await {
            Ok(_) => Outcome::Answered,
            Err(status) => Outcome::Failed(failure(&status)),
        }
    }
}

/// The amount of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Concurrent requests.
    pub(crate) tasks: usize,
    /// Connections that the requests share.
    pub(crate) connections: usize,
}

/// Starts a bare server and calls it with messages of these sizes.
pub(crate) async fn measure(tools: &Tools, shape: Shape, sizes: Sizes, window: Window) -> anyhow::Result<Measurement> {
    let mut command = pin::server_side(tools.pin, &tools.own);
    command.arg("echo-server");
    let server = Process::start(command, &tools.dir.join("echo.log")).await?;
    let connections = Connections::open(server.ready_value("")?, shape.connections).await?;
    let mut callers = Vec::new();
    for n in 0..shape.tasks {
        callers.push(EchoCaller { rpc: EchoClient::new(connections.for_caller(n)?), message: sizes.message() });
    }
    let (measured, _) = closed_loop(callers, window, server.id()).await?;
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_requested_size() {
        for request in [10, 100, 200, 131, 139, 700, 5000] {
            let message = Sizes { request, answer: 900 }.message();
            assert_eq!(message.encoded_len(), request);
        }
        for size in [50, 129, 132, 900, 20_000] {
            assert_eq!(EchoResponse { payload: vec![0; payload_length(size, 0)] }.encoded_len(), size);
        }
    }
}
