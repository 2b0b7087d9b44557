//! The lists that are being built. All who need a list share one build, and its failure.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::PublishedList;
use crate::{
    error::{Error, Result},
    service::runtime::copy_error,
};

type Outcome = std::result::Result<Arc<PublishedList>, Arc<Error>>;
type Build = Shared<BoxFuture<'static, Outcome>>;

/// The builds under way, by list. There is at most one for each list that exists.
#[derive(Clone, Default)]
pub(super) struct Builds(Arc<Mutex<HashMap<i64, Build>>>);

impl fmt::Debug for Builds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Builds")
    }
}

/// Ends a build, even one that panics.
struct Ended(Builds, i64);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Builds {
    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Build>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the build of a list, or starts it. It runs in its own task: who waits for it may go away.
    pub(super) async fn join_or_start<F>(&self, list: i64, build: impl FnOnce() -> F) -> Result<Arc<PublishedList>>
    where
        F: Future<Output = Result<Arc<PublishedList>>> + Send + 'static,
    {
        let shared = self.lock().entry(list).or_insert_with(|| self.start(list, build())).clone();
        shared.await.map_err(|error| copy_error(&error))
    }

    fn start(&self, list: i64, build: impl Future<Output = Result<Arc<PublishedList>>> + Send + 'static) -> Build {
        let ended = Ended(self.clone(), list);
        let task = tokio::spawn(async move {
            let _ended = ended;
            build.await.map_err(Arc::new)
        });
        let failed = || Err(Arc::new(Error::Unavailable("the build of a status list was interrupted".into())));
        task.map(move |outcome| outcome.unwrap_or_else(|_| failed())).boxed().shared()
    }
}
