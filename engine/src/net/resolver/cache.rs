//! Answers kept until their TTL is over, positive and negative, in bounded room.
//!
//! When the room is full, the next entry that has expired or was not asked for since the hand last passed it makes
//! way (the clock algorithm), so that a flood of names nobody asks for twice does not drive out those in use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::proto::dns::Question;

/// The answers of one worker.
#[derive(Debug)]
pub(super) struct Cache {
    places: HashMap<Question, usize>,
    entries: Vec<Entry>,
    entries_max: usize,
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    question: Question,
    outcome: Outcome,
    expires_at: Instant,
    used: bool,
}

impl Cache {
    /// An empty cache for `entries_max` answers, at least one.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            entries: Vec::new(),
            entries_max: entries_max.max(1),
            hand: 0,
        }
    }

    /// What is known about `question` at `now`.
    pub(super) fn find(&mut self, question: &Question, now: Instant) -> Option<Outcome> {
        let place = *self.places.get(question)?;
        let entry = self.entries.get_mut(place)?;
        if entry.expires_at <= now {
            return None;
        }
        entry.used = true;
        Some(entry.outcome.clone())
    }

    /// Keeps `outcome` for `ttl`; nothing is kept for zero.
    pub(super) fn insert(
        &mut self,
        question: Question,
        outcome: Outcome,
        ttl: Duration,
        now: Instant,
    ) {
        if ttl.is_zero() {
            return;
        }
        let entry = Entry {
            question: question.clone(),
            outcome,
            expires_at: now + ttl,
            used: false,
        };
        let place = match self.places.get(&question) {
            Some(place) => *place,
            None if self.entries.len() < self.entries_max => self.entries.len(),
            None => self.free_place(now),
        };
        match self.entries.get_mut(place) {
            Some(replaced) => {
                self.places.remove(&replaced.question);
                *replaced = entry;
            }
            None => self.entries.push(entry),
        }
        self.places.insert(question, place);
    }

    /// The place of the entry that makes way. Ends: the hand clears every mark it passes.
    fn free_place(&mut self, now: Instant) -> usize {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.entries.len();
            let entry = &mut self.entries[place];
            if entry.expires_at <= now || !std::mem::replace(&mut entry.used, false) {
                return place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::rc::Rc;

    use super::super::ResolveError;
    use super::*;
    use crate::proto::dns::{DomainName, Family};

    const SECOND: Duration = Duration::from_secs(1);

    fn question(name: &str) -> Question {
        let name = DomainName::parse(name).expect("a domain name");
        Question {
            name,
            family: Family::V4,
        }
    }

    fn outcome(last: u8) -> Outcome {
        Ok(Rc::from([IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))]))
    }

    #[test]
    fn an_answer_is_known_until_its_ttl_is_over() {
        let now = Instant::now();
        let mut cache = Cache::new(4);
        cache.insert(question("a.example"), outcome(1), 10 * SECOND, now);
        cache.insert(
            question("b.example"),
            Err(ResolveError::NotFound),
            SECOND,
            now,
        );
        cache.insert(question("c.example"), outcome(3), Duration::ZERO, now);
        assert_eq!(cache.find(&question("a.example"), now), Some(outcome(1)));
        assert_eq!(cache.find(&question("A.EXAMPLE"), now), Some(outcome(1)));
        assert_eq!(
            cache.find(&question("b.example"), now),
            Some(Err(ResolveError::NotFound))
        );
        assert_eq!(
            cache.find(&question("c.example"), now),
            None,
            "a TTL of zero"
        );
        let other = Question {
            family: Family::V6,
            ..question("a.example")
        };
        assert_eq!(cache.find(&other, now), None, "the families are apart");
        assert_eq!(cache.find(&question("b.example"), now + SECOND), None);
        assert_eq!(
            cache.find(
                &question("a.example"),
                now + 10 * SECOND - Duration::from_nanos(1)
            ),
            Some(outcome(1))
        );
        assert_eq!(cache.find(&question("a.example"), now + 10 * SECOND), None);
    }

    #[test]
    fn a_newer_answer_replaces_the_older() {
        let now = Instant::now();
        let mut cache = Cache::new(2);
        for last in 1..=9 {
            cache.insert(question("a.example"), outcome(last), SECOND, now);
        }
        assert_eq!(cache.find(&question("a.example"), now), Some(outcome(9)));
        assert_eq!((cache.entries.len(), cache.places.len()), (1, 1));
    }

    #[test]
    fn a_flood_of_names_stays_in_its_room_and_leaves_those_in_use() {
        let now = Instant::now();
        let mut cache = Cache::new(16);
        cache.insert(question("used.example"), outcome(1), SECOND, now);
        for number in 0..1000 {
            let flood = question(&format!("n{number}.example"));
            cache.insert(flood.clone(), outcome(2), SECOND, now);
            assert_eq!(
                cache.find(&question("used.example"), now),
                Some(outcome(1)),
                "{number}"
            );
            assert_eq!(
                cache
                    .places
                    .get(&flood)
                    .map(|place| &cache.entries[*place].question),
                Some(&flood)
            );
            assert!(cache.entries.len() <= 16 && cache.places.len() == cache.entries.len());
        }
    }

    #[test]
    fn what_has_expired_makes_way_first_and_a_room_all_in_use_still_takes_more() {
        let now = Instant::now();
        let mut cache = Cache::new(3);
        for (name, ttl) in [("a.example", 9), ("b.example", 1), ("c.example", 9)] {
            cache.insert(question(name), outcome(1), ttl * SECOND, now);
            assert!(cache.find(&question(name), now).is_some());
        }
        let later = now + 2 * SECOND;
        cache.insert(question("d.example"), outcome(4), 9 * SECOND, later);
        for name in ["a.example", "c.example", "d.example"] {
            assert!(cache.find(&question(name), later).is_some(), "{name}");
        }
        cache.insert(question("e.example"), outcome(5), 9 * SECOND, later);
        assert_eq!(cache.find(&question("e.example"), later), Some(outcome(5)));
        assert_eq!((cache.entries.len(), cache.places.len()), (3, 3));
    }
}
