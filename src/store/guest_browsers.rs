//! Browsers that have just become a guest's or a user's, and whose requests may still be on their way without the cookie.
//!
//! Each has a row among the forms that were spent, whose id is made of the visitor's cookie. Whoever comes second, at whatever
//! process, waits for the first to commit.

use super::{
    Opening,
    engine::{Tx, execute, optional},
    failure::corrupt,
};
use crate::{
    domain::{
        guest::{GuestJoin, SAME_BROWSER, SigningBrowser},
        session::FormSpending,
    },
    error::Result,
    id::SessionId,
    time::Timestamp,
};

impl Tx {
    /// Makes this session the guest of a browser. Returns false if the browser has been a guest, or a user has signed in
    /// there, for less than [`SAME_BROWSER`], and that session lives. It may not be visible to this statement, which is why
    /// it must be seen to have ended.
    pub(super) async fn guest_begin(
        &mut self,
        browser: &FormSpending,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<bool> {
        const SQL: &str = "INSERT INTO spent_forms (id, proof, session_id, result, spent_at) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET proof = excluded.proof, \
            session_id = excluded.session_id, result = excluded.result, spent_at = excluded.spent_at \
            WHERE spent_forms.spent_at <= $6 OR spent_forms.spent_at >= $7 OR EXISTS (SELECT 1 FROM sessions \
            WHERE sessions.id = spent_forms.session_id AND sessions.revoked_at IS NOT NULL)";
        let FormSpending { id, proof, result } = browser;
        let (id, proof) = (id.as_slice(), proof.as_slice());
        // A clock that was set back makes nobody the same for long.
        let (from, to) = (now.minus(SAME_BROWSER).millis(), now.plus(SAME_BROWSER).millis());
        let began = execute!(self, SQL, id, proof, session.as_str(), result.as_slice(), now.millis(), from, to)?;
        Ok(began == 1)
    }

    /// The guest that a browser has just become, when its user signs in without having sent that cookie. From now on, what
    /// the browser has sent before the sign-in makes no guest of it: the answer would replace the user's cookie.
    pub(super) async fn late_guest(&mut self, opening: &Opening, now: Timestamp) -> Result<Option<GuestJoin>> {
        const HOLD: &str = "INSERT INTO spent_forms (id, proof, session_id, spent_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (id) DO UPDATE SET proof = spent_forms.proof RETURNING session_id, spent_at";
        const TAKE: &str = "UPDATE spent_forms SET session_id = $2, result = NULL, spent_at = $3 WHERE id = $1";
        let Some(SigningBrowser { proof, policies }) = &opening.browser else { return Ok(None) };
        let (id, user) = (SigningBrowser::id_of(proof), opening.session.id.as_str());
        let held = optional!(self, (String, i64), HOLD, id.as_slice(), proof.as_slice(), user, now.millis())?;
        let Some((session, at)) = held.filter(|(session, _)| session != user) else { return Ok(None) };
        execute!(self, TAKE, id.as_slice(), user, now.millis())?;
        if now.since(Timestamp::from_millis(at)).millis().abs() >= SAME_BROWSER.millis() {
            return Ok(None);
        }
        let session = session.parse().map_err(|_| corrupt("spent_forms", "session_id", &session))?;
        Ok(Some(GuestJoin { session, policies: policies.clone() }))
    }
}
