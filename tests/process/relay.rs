//! A TCP relay to a server that can be cut or redirected.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) struct Relay {
    pub(crate) address: String,
    to: Arc<Mutex<Option<String>>>,
    cuts: watch::Sender<u64>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let to = Arc::new(Mutex::new(Some(server.to_owned())));
        let (cuts, cut) = watch::channel(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (target, counter) = (to.clone(), accepted.clone());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let server = target.lock().unwrap().clone();
                tokio::spawn(forward(near, server, cut.clone()));
            }
        });
        Self { address, to, cuts, accepted, task }
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Closes all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        *self.to.lock().unwrap() = None;
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Closes all connections and forwards new ones to this server.
    pub(crate) fn redirect_to(&self, server: &str) {
        *self.to.lock().unwrap() = Some(server.to_owned());
        self.cuts.send_modify(|n| *n += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut near: TcpStream, server: Option<String>, mut cut: watch::Receiver<u64>) {
    let Some(server) = server else { return };
    cut.mark_unchanged();
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = cut.changed() => {}
    }
}
