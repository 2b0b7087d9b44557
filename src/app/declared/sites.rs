//! In which order clients move to other sites: each host has one site, so whoever holds one moves away before another moves
//! in.

use std::collections::BTreeMap;

/// A client that is created, or changed.
#[derive(Debug)]
pub(super) struct Move<T> {
    pub(super) id: String,
    /// The site that it has now.
    pub(super) from: Option<String>,
    /// The site that it is to have.
    pub(super) to: Option<String>,
    pub(super) change: T,
}

/// The changes in an order that works.
///
/// # Errors
/// The ids of clients that take each other's sites.
pub(super) fn in_order<T>(mut moves: Vec<Move<T>>) -> Result<Vec<T>, Vec<String>> {
    let mut ordered = Vec::with_capacity(moves.len());
    while !moves.is_empty() {
        let holders: BTreeMap<_, _> = moves.iter().filter_map(|m| Some((m.from.clone()?, m.id.clone()))).collect();
        let must_wait = |m: &Move<T>| {
            let holder = m.to.as_ref().and_then(|wanted| holders.get(wanted));
            holder.is_some_and(|holder| *holder != m.id)
        };
        let (waiting, free): (Vec<_>, Vec<_>) = moves.into_iter().partition(must_wait);
        if free.is_empty() {
            return Err(waiting.into_iter().map(|m| m.id).collect());
        }
        ordered.extend(free.into_iter().map(|m| m.change));
        moves = waiting;
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(moves: &[(&str, &str, &str)]) -> Result<Vec<String>, Vec<String>> {
        let site = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let all = moves.iter().map(|(id, from, to)| Move {
            id: (*id).to_owned(),
            from: site(from),
            to: site(to),
            change: (*id).to_owned(),
        });
        in_order(all.collect())
    }

    #[test]
    fn whoever_holds_a_site_moves_before_another_moves_in() {
        assert_eq!(order(&[("a", "", "x"), ("b", "", "")]).unwrap(), ["a", "b"]);
        assert_eq!(
            order(&[("a", "x", "y"), ("b", "y", "z"), ("c", "z", ""), ("d", "", "x")]).unwrap(),
            ["c", "b", "a", "d"]
        );
        assert_eq!(order(&[("a", "x", "x")]).unwrap(), ["a"]);
        assert_eq!(order(&[("a", "x", "y"), ("b", "y", "x"), ("c", "", "z")]).unwrap_err(), ["a", "b"]);
    }
}
