//! A pooler between a test and PostgreSQL that lends a connection for one transaction, as many do in production. It
//! knows no passwords and no names of statements.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use chancery::store::Location;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use crate::database::Database;

/// A request for TLS instead of a first message.
const TLS: u32 = 80_877_103;

/// Which of its connections the pooler lends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lends {
    /// The one that was given back last.
    Last,
    /// The one that was given back first, so that each transaction is on another.
    First,
}

/// A pooler before the server of a database.
pub(crate) struct Pooler {
    /// The database as seen through it.
    pub(crate) database: Database,
    house: Arc<House>,
    task: JoinHandle<()>,
}

struct House {
    server: String,
    /// The first message to the server.
    greeting: Vec<u8>,
    lends: Lends,
    /// Whether a client keeps its connection after a transaction.
    by_session: AtomicBool,
    free: Mutex<VecDeque<Backend>>,
    room: Arc<Semaphore>,
}

/// A connection to the server.
struct Backend {
    to: tcp::OwnedWriteHalf,
    from: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Pooler {
    /// With so many connections to the server.
    pub(crate) async fn to(database: &Database, connections: usize, lends: Lends) -> Self {
        let Location::Postgres(url) = &database.location else { panic!("no pooler leads to a file") };
        let (user, rest) = url.expose().split_once("://").unwrap().1.split_once('@').unwrap();
        let server = rest.split_once('/').unwrap().0.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let through = database.through(&listener.local_addr().unwrap().to_string());
        let house = Arc::new(House {
            server,
            greeting: greeting(&[("user", user), ("database", &database.name()), ("client_encoding", "UTF8")]),
            lends,
            by_session: AtomicBool::new(false),
            free: Mutex::default(),
            room: Arc::new(Semaphore::new(connections)),
        });
        let task = tokio::spawn(accept(listener, house.clone()));
        Self { database: through, house, task }
    }

    /// Lets clients keep their connections, or not.
    pub(crate) fn by_session(&self, on: bool) {
        self.house.by_session.store(on, Ordering::Relaxed);
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn greeting(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [length.to_be_bytes().to_vec(), body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// Reads a message without a kind, as the first of a connection is.
async fn first(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// Reads messages until the connection ends.
fn reader(mut from: tcp::OwnedReadHalf) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (to, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(kind) = from.read_u8().await {
            let Some(body) = first(&mut from).await else { return };
            if to.send(message(kind, &body)).is_err() {
                return;
            }
        }
    });
    messages
}

async fn accept(listener: TcpListener, house: Arc<House>) {
    while let Ok((client, _)) = listener.accept().await {
        // Each message is sent by itself: without this, it would wait until the one before is acknowledged.
        client.set_nodelay(true).unwrap();
        tokio::spawn(serve(client, house.clone()));
    }
}

async fn serve(mut client: TcpStream, house: Arc<House>) -> Option<()> {
    let mut hello = first(&mut client).await?;
    if hello.starts_with(&TLS.to_be_bytes()) {
        client.write_all(b"N").await.ok()?;
        hello = first(&mut client).await?;
    }
    // As PgBouncer does: it could not restore these.
    for refused in ["extra_float_digits", "options"] {
        if hello.split(|b| *b == 0).any(|word| word == refused.as_bytes()) {
            let text = format!("SFATAL\0C08P01\0Munsupported startup parameter: {refused}\0\0");
            client.write_all(&message(b'E', text.as_bytes())).await.ok()?;
            return None;
        }
    }
    let welcome = [message(b'R', &[0; 4]), message(b'S', b"client_encoding\0UTF8\0"), message(b'Z', b"I")].concat();
    client.write_all(&welcome).await.ok()?;
    let (from, mut to) = client.into_split();
    let mut from = reader(from);
    loop {
        let request = from.recv().await.filter(|m| m[0] != b'X')?;
        let place = house.room.clone().acquire_owned().await.ok()?;
        let mut backend = house.lend().await?;
        transaction(request, (&mut from, &mut to), &mut backend, &house).await?;
        house.free.lock().unwrap().push_back(backend);
        drop(place);
    }
}

/// Carries messages both ways until the server is ready and in no transaction.
async fn transaction(
    request: Vec<u8>,
    (from, to): (&mut mpsc::UnboundedReceiver<Vec<u8>>, &mut tcp::OwnedWriteHalf),
    backend: &mut Backend,
    house: &House,
) -> Option<()> {
    let mut asked = usize::from(b"QS".contains(&request[0]));
    backend.to.write_all(&request).await.ok()?;
    loop {
        tokio::select! {
            request = from.recv() => {
                let request = request.filter(|m| m[0] != b'X')?;
                asked += usize::from(b"QS".contains(&request[0]));
                backend.to.write_all(&request).await.ok()?;
            }
            answer = backend.from.recv() => {
                let answer = answer?;
                to.write_all(&answer).await.ok()?;
                if answer[0] == b'Z' {
                    asked -= 1;
                    if asked == 0 && answer[5] == b'I' && !house.by_session.load(Ordering::Relaxed) {
                        return Some(());
                    }
                }
            }
        }
    }
}

impl House {
    async fn lend(&self) -> Option<Backend> {
        let free = {
            let mut free = self.free.lock().unwrap();
            // A new one as long as there is room.
            if free.len() < self.room.available_permits() + 1 {
                None
            } else {
                match self.lends {
                    Lends::Last => free.pop_back(),
                    Lends::First => free.pop_front(),
                }
            }
        };
        if free.is_some() {
            return free;
        }
        let mut server = TcpStream::connect(&self.server).await.unwrap();
        server.set_nodelay(true).unwrap();
        server.write_all(&self.greeting).await.unwrap();
        let (from, to) = server.into_split();
        let mut from = reader(from);
        while from.recv().await?[0] != b'Z' {}
        Some(Backend { to, from })
    }
}
