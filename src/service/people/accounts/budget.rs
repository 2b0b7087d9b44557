//! How much a signed-in user may write. Tokens get stolen and programs run in circles, and every change costs a commit,
//! an audit event and sometimes mails.
//!
//! The budgets are in memory: each process has its own. What is counted is changes, not calls: a call that changes
//! nothing writes nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::limit::{LimitVerdict, Rule, Tally, UnderWay},
    error::{Error, Result},
    id::{SessionId, UserId},
    time::{Timestamp, Ttl},
};

/// Maximum budgets in each generation: 4 MB in total.
const MAX_BUDGETS: usize = 16_384;

/// Changes of the profile, of one user.
const PROFILE: Rule = Rule::Bucket { room: 30, every: Ttl::from_secs(10) };
/// Changes of passwords and sessions, from one session.
const SECURITY: Rule = Rule::Bucket { room: 10, every: Ttl::from_secs(30) };

/// Whose budget a change comes out of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write<'a> {
    /// A change of the user's name, profile or address. All sessions of a user share one budget.
    Profile(&'a UserId),
    /// A change of the password or an end of sessions. Each session has a budget of its own, so that the thief of a
    /// token cannot keep the owner from ending the session.
    Security(&'a SessionId),
}

impl Write<'_> {
    const fn rule(self) -> Rule {
        match self {
            Self::Profile(_) => PROFILE,
            Self::Security(_) => SECURITY,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Profile(user) => user.as_str().to_owned(),
            Self::Security(session) => session.as_str().to_owned(),
        }
    }
}

/// The budgets in use, in two generations, so that new ones evict old ones without a search.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Tally>,
    old: HashMap<String, Tally>,
}

/// What signed-in users may write.
#[derive(Debug, Default)]
pub(in crate::service::people) struct WriteBudget(Mutex<Generations>);

impl WriteBudget {
    /// Takes one change out of a budget.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if it is used up.
    pub(super) fn take(&self, write: Write<'_>, now: Timestamp) -> Result<()> {
        let (rule, name) = (write.rule(), write.name());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = all.young.get(&name).or_else(|| all.old.get(&name)).copied();
        if let LimitVerdict::Wait(after) = rule.verdict(tally.as_ref(), UnderWay::NONE, now) {
            return Err(Error::RateLimited { after });
        }
        if all.young.len() >= MAX_BUDGETS {
            all.old = std::mem::take(&mut all.young);
        }
        all.old.remove(&name);
        all.young.insert(name, rule.failed(tally.as_ref(), now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

    #[test]
    fn a_budget_is_a_burst_that_is_refilled_and_each_has_their_own() {
        let (budget, ada, bob) = (WriteBudget::default(), UserId::new(NOW, &OsEntropy), UserId::new(NOW, &OsEntropy));
        for n in 0..30 {
            budget.take(Write::Profile(&ada), NOW).unwrap_or_else(|e| panic!("{n}: {e}"));
        }
        let Err(Error::RateLimited { after }) = budget.take(Write::Profile(&ada), NOW) else { panic!("no limit") };
        assert_eq!(after, Ttl::from_secs(10));
        budget.take(Write::Profile(&bob), NOW).unwrap();
        let later = NOW.plus(after);
        budget.take(Write::Profile(&ada), later).unwrap();
        assert!(budget.take(Write::Profile(&ada), later).is_err());
        // A clock that was set back locks nobody out.
        budget.take(Write::Profile(&ada), NOW.minus(Ttl::from_days(1))).unwrap();
    }

    #[test]
    fn budgets_take_a_bounded_amount_of_memory() {
        let budget = WriteBudget::default();
        for _ in 0..3 * MAX_BUDGETS {
            budget.take(Write::Security(&SessionId::new(NOW, &OsEntropy)), NOW).unwrap();
        }
        let all = budget.0.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= 2 * MAX_BUDGETS);
    }
}
