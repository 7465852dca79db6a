//! A map for the few entries that one allocation may have: a sorted vector.
//!
//! Look-up is a binary search, O(log n); insertion and removal move the tail, O(n), with n bounded by
//! `limits.permissions` and `limits.channels`. The first entry, the only one of most calls, lies in the map itself: a
//! packet of a call that the caches have lost then needs no other piece of memory for it.

use std::fmt;

use smallvec::SmallVec;

/// A sorted vector of pairs, by key. `Debug` shows how many: the keys are addresses of peers.
#[derive(Clone)]
pub(super) struct SmallMap<K, V> {
    /// Sorted by key; keys are distinct.
    entries: SmallVec<[(K, V); 1]>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self {
            entries: SmallVec::new(),
        }
    }
}

impl<K: Ord + Copy, V> SmallMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let at = self.position(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.position(key).is_ok()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.position(&key) {
            Ok(at) => self.entries[at].1 = value,
            Err(at) => self.entries.insert(at, (key, value)),
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.entries.retain(|(key, value)| keep(key, value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    fn position(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(k, _)| k.cmp(key))
    }
}

impl<K, V> fmt::Debug for SmallMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmallMap({} entries)", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::SmallMap;

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(operations in proptest::collection::vec((0u8..2, 0u8..8, 0u16..), 0..64)) {
            let mut map = SmallMap::default();
            let mut model = BTreeMap::new();
            for (operation, key, value) in operations {
                match operation {
                    0 => { map.insert(key, value); model.insert(key, value); }
                    _ => { map.retain(|_, v| v % 3 != 0); model.retain(|_, v| *v % 3 != 0); }
                }
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.contains(&key), model.contains_key(&key));
                prop_assert_eq!(map.len(), model.len());
            }
        }
    }
}
