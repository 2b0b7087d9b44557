//! The lists that were published lately.

use std::{collections::HashMap, sync::Arc};

use super::PublishedList;

/// Maximum number of cached lists. A list takes at most 32 KiB, so all take at most 4 MiB. Anybody can ask for any
/// list, and there is one for every 131 072 sessions.
const MAX_LISTS: usize = 128;

/// Lists by number.
#[derive(Debug, Default)]
pub(super) struct PublishedLists(HashMap<i64, Arc<PublishedList>>);

impl PublishedLists {
    pub(super) fn get(&self, list: i64) -> Option<Arc<PublishedList>> {
        self.0.get(&list).cloned()
    }

    /// Adds a list. If there are too many, the one that was built longest ago goes: it is due to be built again.
    pub(super) fn insert(&mut self, list: i64, published: Arc<PublishedList>) {
        if self.0.len() >= MAX_LISTS
            && !self.0.contains_key(&list)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, p)| p.built_at).map(|(number, _)| *number)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(list, published);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn list(at: i64) -> Arc<PublishedList> {
        Arc::new(PublishedList {
            token: Vec::new().into(),
            etag: String::new(),
            kid: String::new(),
            seq: 0,
            built_at: Timestamp::from_millis(at),
        })
    }

    #[test]
    fn whoever_asks_for_every_list_fills_no_memory() {
        let mut lists = PublishedLists::default();
        for number in 0..1_000 {
            lists.insert(number, list(number));
            lists.insert(0, list(number));
        }
        assert_eq!(lists.0.len(), MAX_LISTS);
        // Those in use are built again and again, and stay.
        assert!(lists.get(0).is_some() && lists.get(999).is_some() && lists.get(1).is_none());
    }
}
