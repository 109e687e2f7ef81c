//! A set of numbers in the order of insertion, with constant-time membership.

use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// Up to this many, looking through all is faster than hashing.
const LINEAR: usize = 16;
/// Marks a removed entry; not a number that can be a member.
const GONE: u32 = u32::MAX;

/// Insertion-ordered set of numbers below `u32::MAX`.
///
/// Membership, insertion, removal and the first element take constant time
/// (amortised), however many there are.
#[derive(Debug, Default)]
pub struct OrderedSet {
    order: Vec<u32>,
    /// Entries of `order` before this one are all removed.
    head: usize,
    len: usize,
    /// Where each member is in `order`; kept only above `LINEAR` entries.
    index: Option<FxHashMap<u32, usize>>,
}

impl OrderedSet {
    /// The empty set; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            order: Vec::new(),
            head: 0,
            len: 0,
            index: None,
        }
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn find(&self, value: u32) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&value).copied(),
            None => self.order[self.head..]
                .iter()
                .rposition(|&v| v == value)
                .map(|at| at + self.head),
        }
    }

    /// True when `value` is a member.
    #[must_use]
    #[inline]
    pub fn contains(&self, value: u32) -> bool {
        self.find(value).is_some()
    }

    /// Adds a member at the end; false when it is one already.
    #[inline]
    pub fn insert(&mut self, value: u32) -> bool {
        debug_assert_ne!(value, GONE);
        if let Some(index) = &mut self.index {
            match index.entry(value) {
                Entry::Occupied(_) => return false,
                Entry::Vacant(place) => {
                    place.insert(self.order.len());
                }
            }
        } else if self.contains(value) {
            return false;
        }
        self.order.push(value);
        self.len += 1;
        if self.index.is_none() && self.order.len() - self.head > LINEAR {
            self.rebuild();
        }
        true
    }

    /// Takes a member out; false when it is none.
    #[inline]
    pub fn remove(&mut self, value: u32) -> bool {
        let found = match &mut self.index {
            Some(index) => index.remove(&value),
            None => self.find(value),
        };
        let Some(at) = found else {
            return false;
        };
        self.order[at] = GONE;
        self.len -= 1;
        if self.len == 0 {
            self.order.clear();
            self.head = 0;
            self.index = None;
            return true;
        }
        while self.order.last() == Some(&GONE) {
            self.order.pop();
        }
        while self.order[self.head] == GONE {
            self.head += 1;
        }
        if self.order.len() > 2 * self.len + LINEAR {
            self.rebuild();
        }
        true
    }

    /// Drops removed entries and makes the index anew.
    #[cold]
    fn rebuild(&mut self) {
        self.order.retain(|&v| v != GONE);
        self.head = 0;
        self.index = (self.order.len() > LINEAR).then(|| {
            self.order
                .iter()
                .enumerate()
                .map(|(i, &v)| (v, i))
                .collect()
        });
    }

    /// The member that was added first.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.order.get(self.head).copied()
    }

    /// The members in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.order[self.head..]
            .iter()
            .copied()
            .filter(|&v| v != GONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_membership_agree_with_a_plain_list() {
        let mut set = OrderedSet::new();
        let mut list: Vec<u32> = Vec::new();
        let mut seed = 7u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (seed >> 16) % 64;
            if seed >> 31 == 0 {
                assert_eq!(set.insert(value), !list.contains(&value));
                if !list.contains(&value) {
                    list.push(value);
                }
            } else {
                assert_eq!(set.remove(value), list.contains(&value));
                list.retain(|&v| v != value);
            }
            assert_eq!(set.len(), list.len());
            assert_eq!(set.first(), list.first().copied());
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), list);
    }

    #[test]
    fn a_queue_does_not_grow_without_bound() {
        let mut set = OrderedSet::new();
        for i in 0..100_000 {
            set.insert(i);
            if i >= 40 {
                assert!(set.remove(i - 40));
            }
        }
        assert!(set.order.capacity() < 1024, "{}", set.order.capacity());
    }
}
