//! The listener in front of the application. Unlike the other listeners, it lets connections go on with another protocol.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use chancery_guard::listener::{Incoming, Peer};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use super::DevApp;

/// Open connections. A browser opens a few for each window.
const CONNECTIONS: usize = 256;
/// From the first byte of a request to the end of its headers.
const HEAD: Duration = Duration::from_secs(10);
/// Headers of a request, cookies of the application included.
const HEADER_BYTES: usize = 64 * 1024;
/// How long to wait after an error such as "too many open files" before accepting again.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves and all requests in flight are answered.
pub async fn serve(listener: TcpListener, app: DevApp, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, peer, place)) => {
                let (app, stopped) = (app.clone(), stopped.clone());
                tasks.spawn(async move {
                    connection(stream, peer, app, stopped).await;
                    drop(place);
                });
            }
            // A future that has resolved must not be polled again.
            None => {
                if tokio::time::timeout(PAUSE, &mut stop).await.is_ok() {
                    break;
                }
            }
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    while tasks.join_next().await.is_some() {}
}

/// A connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    // It fails only for a connection that is gone.
    let _ = stream.set_nodelay(true);
    Some((stream, peer, place))
}

async fn connection(stream: TcpStream, peer: SocketAddr, app: DevApp, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.answer(request.map(Body::new)).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEADER_BYTES);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection failed");
    }
}
