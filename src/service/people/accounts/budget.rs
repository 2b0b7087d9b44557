//! How much a signed-in user may write. Tokens get stolen and programs run in circles, and every change costs a commit,
//! an audit event and sometimes mails.
//!
//! The budgets are in memory: each process has its own. What is counted is changes, not calls: a call that changes
//! nothing writes nothing. A call that is refused takes the turn of a writer all the same, so refusals are counted as
//! well, apart from the changes.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::limit::{LimitVerdict, Rule, Tally, UnderWay},
    error::{Error, Result},
    id::{SessionId, UserId},
    time::{Timestamp, Ttl},
};

/// Maximum counts in each generation: 4 MB in total.
const MAX_BUDGETS: usize = 16_384;

/// Changes of the profile, of one user.
const PROFILE: Rule = Rule::Bucket { room: 30, every: Ttl::from_secs(10) };
/// Changes of passwords and sessions, from one session.
const SECURITY: Rule = Rule::Bucket { room: 10, every: Ttl::from_secs(30) };
/// Changes that were refused, of one user or from one session.
const REFUSED: Rule = Rule::Bucket { room: 60, every: Ttl::from_secs(5) };

/// Whose budget a change comes out of.
#[derive(Clone, Copy, Debug)]
pub(in crate::service::people) enum Write<'a> {
    /// A change of the user's name, profile or address. All sessions of a user share one budget.
    Profile(&'a UserId),
    /// A change of the password or of second factors, an end of sessions, or a step-up. Each session has a budget of its own, so that the thief of a
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

    /// The name of the count of what was refused.
    fn refused(self) -> String {
        format!("{} refused", self.name())
    }
}

/// The budgets in use, in two generations, so that new ones evict old ones without a search.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Tally>,
    old: HashMap<String, Tally>,
}

/// One change out of a budget, and how to give it back.
struct Taken {
    name: String,
    rule: Rule,
    before: Option<Tally>,
    after: Tally,
}

impl Generations {
    fn tally(&self, name: &str) -> Option<Tally> {
        self.young.get(name).or_else(|| self.old.get(name)).copied()
    }

    /// Fails if a count is full.
    fn check(&self, name: &str, rule: Rule, now: Timestamp) -> Result<()> {
        match rule.verdict(self.tally(name).as_ref(), UnderWay::NONE, now) {
            LimitVerdict::Wait(after) => Err(Error::RateLimited { after }),
            _ => Ok(()),
        }
    }

    fn count(&mut self, name: String, rule: Rule, now: Timestamp) -> Taken {
        let before = self.tally(&name);
        let after = rule.failed(before.as_ref(), now);
        if self.young.len() >= MAX_BUDGETS {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&name);
        self.young.insert(name.clone(), after);
        Taken { name, rule, before, after }
    }

    fn give_back(&mut self, taken: &Taken) {
        let all = if self.young.contains_key(&taken.name) { &mut self.young } else { &mut self.old };
        let Some(current) = all.get(&taken.name) else { return };
        match taken.rule.taken_back(taken.before.as_ref(), &taken.after, current) {
            Some(left) => all.insert(taken.name.clone(), left),
            None => all.remove(&taken.name),
        };
    }
}

/// What signed-in users may write.
#[derive(Debug, Default)]
pub(in crate::service::people) struct WriteBudget(Mutex<Generations>);

impl WriteBudget {
    /// Does what changes something, out of a budget that is taken from before. What is refused and has certainly
    /// changed nothing is given back, and counted as refused.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if the budget is used up, or if too much was refused; those of the work.
    pub(in crate::service::people) async fn spend<T>(
        &self,
        write: Write<'_>,
        now: Timestamp,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let taken = self.take(write, now)?;
        let done = work.await;
        match &done {
            Ok(_) | Err(Error::Unavailable(_) | Error::DeadlineExceeded | Error::Internal(_)) => {}
            Err(_) => {
                let mut all = self.all();
                all.give_back(&taken);
                all.count(write.refused(), REFUSED, now);
            }
        }
        done
    }

    fn take(&self, write: Write<'_>, now: Timestamp) -> Result<Taken> {
        let mut all = self.all();
        all.check(&write.refused(), REFUSED, now)?;
        all.check(&write.name(), write.rule(), now)?;
        Ok(all.count(write.name(), write.rule(), now))
    }

    fn all(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::OsEntropy, error::Reason};

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

    #[tokio::test]
    async fn what_is_refused_is_given_back_and_bounded_by_itself() {
        let (budget, ada) = (WriteBudget::default(), UserId::new(NOW, &OsEntropy));
        let refused = async |now| {
            let work = async { Err::<(), _>(Error::Exists("user", "bob".into())) };
            budget.spend(Write::Profile(&ada), now, work).await.unwrap_err().reason()
        };
        for n in 0..60 {
            assert_eq!(refused(NOW).await, Reason::AlreadyExists, "{n}");
        }
        assert_eq!(refused(NOW).await, Reason::RateLimited);
        let later = NOW.plus(Ttl::from_secs(5));
        assert_eq!(refused(later).await, Reason::AlreadyExists);
        assert_eq!(refused(later).await, Reason::RateLimited);
        // All changes are left. What may have been done counts.
        let later = NOW.plus(Ttl::from_secs(3600));
        let lost = async { Err::<(), _>(Error::Unavailable("gone".into())) };
        assert_eq!(budget.spend(Write::Profile(&ada), later, lost).await.unwrap_err().reason(), Reason::Unavailable);
        for n in 0..29 {
            budget.spend(Write::Profile(&ada), later, async { Ok(()) }).await.unwrap_or_else(|e| panic!("{n}: {e}"));
        }
        assert!(budget.take(Write::Profile(&ada), later).is_err());
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
