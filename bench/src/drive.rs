//! Load for `scripts/faults`: sessions that are opened and refreshed while a fault happens, and a check afterwards that
//! none was lost. Takes commands on standard input, one a line, and answers each with one line:
//!
//! - `sign-in`, `refresh`: one call; `ok`, or the code and reason of its failure
//! - `load`: starts opening and refreshing sessions
//! - `settle MS`: stops that, and refreshes every session that was acknowledged; sessions opened at or after that
//!   instant may be lost
//! - `sessions`: the number of sessions

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use chancery::{
    grpc::pb::RefreshRequest,
    grpc::pb::auth_service_client::AuthServiceClient,
    time::{Clock, SystemClock},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, interval, timeout},
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    args::Drive,
    calls::{LoginCaller, failure, request_id},
    report,
};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How long a session may remain without an answer once the fault is over.
const SETTLE: Duration = Duration::from_mins(1);
/// The pause after a call that may be repeated.
const PAUSE: Duration = Duration::from_millis(20);
/// Sessions that are checked at once.
const AT_ONCE: usize = 16;

/// A session whose sign-in was acknowledged.
#[derive(Clone, Debug)]
struct Held {
    /// The newest acknowledged refresh token.
    token: String,
    session: String,
    opened_at: i64,
    /// The number of acknowledged refreshes. The request id is derived from it, so that a repeated call is the same.
    refreshed: u64,
    /// Why it was refused for good.
    refused: Option<String>,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    args: Drive,
    channel: Channel,
    stop: AtomicBool,
    refreshed: AtomicU64,
    opened: Mutex<Vec<Held>>,
}

/// Reads and carries out commands until the input ends.
pub(crate) async fn drive(args: Drive) -> anyhow::Result<()> {
    let endpoint = Channel::from_shared(format!("http://{}", args.grpc))?.connect_timeout(CALL).timeout(CALL);
    let shared = Arc::new(Shared {
        channel: endpoint.connect_lazy(),
        args,
        stop: AtomicBool::new(false),
        refreshed: AtomicU64::new(0),
        opened: Mutex::default(),
    });
    let (mut sessions, mut load) = (Vec::new(), JoinSet::new());
    let (sender, mut lines) = mpsc::unbounded_channel();
    // A thread of its own, because a read of standard input cannot be cancelled.
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match *words {
            ["sign-in"] => shared.clone().sign_in_once(&mut sessions).await,
            ["refresh"] => shared.refresh_once(&mut sessions).await,
            ["load"] => {
                shared.start(&mut sessions, &mut load);
                "ok".to_owned()
            }
            ["settle", from] => {
                shared.stop(&mut sessions, &mut load).await;
                shared.settle(&mut sessions, from.parse().context("settle: an instant in milliseconds")?).await
            }
            ["sessions"] => sessions.len().to_string(),
            _ => bail!("{line}: no such command"),
        };
        report::print_line(&answer)?;
    }
    shared.stop(&mut sessions, &mut load).await;
    Ok(())
}

impl Shared {
    fn login(&self) -> LoginCaller {
        let users = self.args.users.split(',').map(str::to_owned).collect();
        LoginCaller::new(self.channel.clone(), &self.args.client, users, &self.args.password)
    }

    async fn sign_in_once(self: Arc<Self>, sessions: &mut Vec<Held>) -> String {
        match open(&mut self.login()).await {
            Ok(held) => {
                sessions.push(held);
                "ok".to_owned()
            }
            Err(status) => failure(&status).label,
        }
    }

    /// Refreshes the newest session once.
    async fn refresh_once(&self, sessions: &mut [Held]) -> String {
        let Some(held) = sessions.last_mut() else { return "no session".to_owned() };
        match self.refresh(held).await {
            Ok(()) => "ok".to_owned(),
            Err(status) => failure(&status).label,
        }
    }

    async fn refresh(&self, held: &mut Held) -> Result<(), Status> {
        let request = RefreshRequest {
            client_id: self.args.client.clone(),
            refresh_token: held.token.clone(),
            request_id: request_id(held.refreshed),
            ..RefreshRequest::default()
        };
        let answer = AuthServiceClient::new(self.channel.clone()).refresh(request).await?.into_inner();
        held.token = answer.tokens.unwrap_or_default().refresh_token;
        held.refreshed += 1;
        self.refreshed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Refreshes sessions one after the other, and opens others.
    fn start(self: &Arc<Self>, sessions: &mut Vec<Held>, load: &mut JoinSet<Vec<Held>>) {
        self.stop.store(false, Ordering::Relaxed);
        let each = sessions.len().div_ceil(self.args.chains.max(1)).max(1);
        while !sessions.is_empty() {
            let some = sessions.split_off(sessions.len().saturating_sub(each));
            load.spawn(refresh_in_turn(self.clone(), some));
        }
        for _ in 0..self.args.openers {
            load.spawn(open_in_turn(self.clone()));
        }
    }

    async fn stop(&self, sessions: &mut Vec<Held>, load: &mut JoinSet<Vec<Held>>) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = load.join_next().await {
            sessions.extend(done.unwrap_or_default());
        }
        sessions.append(&mut self.opened.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Refreshes every session twice, and forgets those that are gone.
    async fn settle(self: &Arc<Self>, sessions: &mut Vec<Held>, from: i64) -> String {
        let mut checks = JoinSet::new();
        let mut waiting = std::mem::take(sessions);
        let (known, mut lost, mut wrong) = (waiting.len(), 0, Vec::new());
        loop {
            while checks.len() < AT_ONCE
                && let Some(held) = waiting.pop()
            {
                checks.spawn(check(self.clone(), held));
            }
            let Some(done) = checks.join_next().await else { break };
            match done {
                Ok(held) if held.refused.is_none() => sessions.push(held),
                Ok(held) if is_unknown(&held) && held.opened_at >= from => lost += 1,
                Ok(held) => wrong.push(held),
                Err(error) => return format!("failed: {error}"),
            }
        }
        for held in wrong.iter().take(5) {
            let Held { session, opened_at, refreshed, refused, .. } = held;
            report::progress(&format!("{session}, opened {opened_at}, refreshed {refreshed} times: {refused:?}"));
        }
        let refreshed = self.refreshed.swap(0, Ordering::Relaxed);
        format!("sessions={known} refreshed={refreshed} lost={lost} wrong={}", wrong.len())
    }
}

/// Whether the database does not know the session, rather than having ended it.
fn is_unknown(held: &Held) -> bool {
    held.refused.as_deref().is_some_and(|why| why.ends_with("REFRESH_TOKEN_INVALID"))
}

async fn open(login: &mut LoginCaller) -> Result<Held, Status> {
    let pair = login.log_in().await?.ok_or_else(|| Status::internal("no tokens"))?;
    let opened_at = SystemClock.now().millis();
    Ok(Held { token: pair.refresh_token, session: pair.session_id, opened_at, refreshed: 0, refused: None })
}

/// Whether a call with the same request id may still succeed.
fn may_be_repeated(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::Cancelled => true,
        // The client's own: the connection broke, or the time for the call was over.
        Code::Unknown | Code::Internal => failure(status).lost,
        _ => false,
    }
}

async fn refresh_in_turn(shared: Arc<Shared>, mut some: Vec<Held>) -> Vec<Held> {
    let mut pauses = interval(PAUSE);
    while !shared.stop.load(Ordering::Relaxed) {
        for held in some.iter_mut().filter(|h| h.refused.is_none()) {
            match shared.refresh(held).await {
                Ok(()) => {}
                Err(status) if may_be_repeated(&status) => drop(pauses.tick().await),
                Err(status) => held.refused = Some(failure(&status).label),
            }
            if shared.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        if some.iter().all(|h| h.refused.is_some()) {
            break;
        }
    }
    some
}

/// Opens sessions; a failed sign-in has opened none that anybody knows of.
async fn open_in_turn(shared: Arc<Shared>) -> Vec<Held> {
    let (mut login, mut pauses) = (shared.login(), interval(PAUSE));
    while !shared.stop.load(Ordering::Relaxed) {
        pauses.tick().await;
        if let Ok(held) = open(&mut login).await {
            shared.opened.lock().unwrap_or_else(PoisonError::into_inner).push(held);
        }
    }
    Vec::new()
}

/// Refreshes a session twice, in spite of failures that may be repeated.
async fn check(shared: Arc<Shared>, mut held: Held) -> Held {
    if held.refused.is_some() {
        return held;
    }
    let (want, began) = (held.refreshed + 2, Instant::now());
    let refreshing = async {
        let mut pauses = interval(PAUSE);
        while held.refreshed < want && held.refused.is_none() {
            match shared.refresh(&mut held).await {
                Ok(()) => {}
                Err(status) if may_be_repeated(&status) && began.elapsed() < SETTLE => drop(pauses.tick().await),
                Err(status) => held.refused = Some(failure(&status).label),
            }
        }
    };
    if timeout(SETTLE + CALL, refreshing).await.is_err() {
        held.refused = Some("no answer".to_owned());
    }
    held
}
