//! Guests: whoever stores something without being signed in.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::Browser;
use crate::{
    domain::{
        client::{Client, Grant},
        guest::{SAME_BROWSER, SigningBrowser},
        site::Site,
    },
    error::Result,
    id::VisitorId,
    keys::form_id::{self, FormId},
    service::{
        access::RequestContext,
        people::{FormProof, NewGuest},
    },
    time::Timestamp,
};

/// How many guests are remembered by this process. Whether a browser is a guest already is decided by the database: this
/// saves the requests that come in between the limits and the transaction.
const MAX_RECENT: usize = 1024;

/// The keyed hash of a browser and of the client whose guest it is.
type Key = [u8; 32];

/// When a guest came, and the guest.
type Came = (Timestamp, Arc<NewGuest>);

/// The guests who have just come. Clones share them.
#[derive(Clone, Default)]
pub(super) struct RecentGuests(Arc<Mutex<HashMap<Key, Came>>>);

impl fmt::Debug for RecentGuests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecentGuests")
    }
}

impl RecentGuests {
    fn get(&self, key: &Key, now: Timestamp) -> Option<Arc<NewGuest>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).filter(|(came, _)| is_recent(*came, now)).map(|(_, guest)| guest.clone())
    }

    fn put(&self, key: Key, now: Timestamp, guest: Arc<NewGuest>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_RECENT {
            all.retain(|_, (came, _)| is_recent(*came, now));
        }
        if all.len() < MAX_RECENT {
            all.insert(key, (now, guest));
        }
    }
}

/// A clock that was set back makes nobody recent for long.
fn is_recent(came: Timestamp, now: Timestamp) -> bool {
    now.since(came).millis().abs() < SAME_BROWSER.millis()
}

impl Browser {
    /// Whether a client has guests.
    #[must_use]
    pub fn has_guests(&self, client: &Client) -> bool {
        client.may(Grant::Guest)
    }

    /// Opens a session for a guest in this browser. What a browser stores at the same moment, or before it can have got
    /// the cookie, is stored by one guest, at whatever processes the requests arrive.
    ///
    /// # Errors
    /// [`Reason::ClientNotAllowed`](crate::error::Reason::ClientNotAllowed) if the client has no guests;
    /// [`Error::TooManyAttempts`](crate::error::Error::TooManyAttempts) before anything is written.
    pub async fn begin_guest(
        &self,
        ctx: &RequestContext,
        (client, site): (&Client, &Site),
        visitor: &VisitorId,
    ) -> Arc<Result<Arc<NewGuest>>> {
        let browser = self.browser_proof((client, site), visitor);
        let key = browser.proof;
        let work = Box::pin(async {
            // Within the work, so that no two requests find none.
            if let Some(guest) = self.recent_guests.get(&key, ctx.now).filter(|guest| self.is_live(guest)) {
                return Ok(guest);
            }
            let guest = Arc::new(self.sign_ins.start_guest_at_site(ctx, client, &browser).await?);
            self.recent_guests.put(key, ctx.now, guest.clone());
            Ok(guest)
        });
        self.submissions.guests.join(key, work).await
    }

    /// What stands for a browser where a form stands for a sign-in: only whoever has the visitor's cookie can name it.
    fn browser_proof(&self, (client, site): (&Client, &Site), visitor: &VisitorId) -> FormProof {
        let issued_at = Timestamp::from_millis(0);
        let nothing = FormId { id: [0; 16], site: site.origin().to_owned(), visitor: *visitor, issued_at };
        let proof = form_id::proof(&self.runtime.sealing, &nothing, &[b"guest", client.id.as_str().as_bytes()]);
        FormProof { id: SigningBrowser::id_of(&proof), proof }
    }

    /// What stands for a browser in which somebody signs in, where it may be a guest's.
    pub(super) fn signing_browser(&self, at: (&Client, &Site), visitor: &VisitorId) -> Option<[u8; 32]> {
        self.has_guests(at.0).then(|| self.browser_proof(at, visitor).proof)
    }

    /// Whether a guest who has just come has not gone already.
    fn is_live(&self, guest: &NewGuest) -> bool {
        !self.runtime.live.snapshot().revoked_sessions.contains_key(guest.session.id.as_str())
    }
}
