//! Changes of one table since the last commit, in the order in which they came. No allocation per entry.

use std::cmp::Ordering;

use super::cursor::{PREFIX_BYTES, prefix_of};

/// Memory that is kept for the changes after a commit, in bytes, for each of its two parts.
const KEPT_BYTES: usize = 16 << 20;
const REMOVED: u32 = 1 << 31;

/// The changes of one table.
#[derive(Debug)]
pub(super) struct Staging {
    key_len: usize,
    /// Key and value of each change, one after the other.
    arena: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    /// The first bytes of the key, so that a comparison seldom goes to the arena.
    prefix: u128,
    /// Where the key lies. Later changes lie behind earlier ones.
    at: u32,
    /// Length of the value, or [`REMOVED`].
    value_len: u32,
}

impl Staging {
    pub(super) fn new(key_len: usize) -> Self {
        Self { key_len, arena: Vec::new(), changes: Vec::new() }
    }

    /// Notes a change; `None` removes.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let at = u32::try_from(self.arena.len()).expect("the owner commits long before 4 GiB are staged");
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value.unwrap_or_default());
        let value_len = value.map_or(REMOVED, |value| value.len() as u32);
        self.changes.push(Change { prefix: prefix_of(key), at, value_len });
    }

    /// Memory in use, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.arena.len() + self.changes.len() * size_of::<Change>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The last change of each key, by ascending key.
    pub(super) fn sorted(&mut self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let Self { key_len, arena, changes } = self;
        let (key_len, arena) = (*key_len, &*arena);
        changes.sort_unstable_by(|a, b| by_key(arena, key_len, a, b).then(a.at.cmp(&b.at)));
        let changes = &*changes;
        changes.iter().enumerate().filter_map(move |(index, change)| {
            let next = changes.get(index + 1);
            if next.is_some_and(|next| by_key(arena, key_len, change, next) == Ordering::Equal) {
                return None;
            }
            let (key, rest) = arena[change.at as usize..].split_at(key_len);
            let is_removed = change.value_len & REMOVED != 0;
            Some((key, (!is_removed).then(|| &rest[..change.value_len as usize])))
        })
    }

    /// Forgets the changes, but keeps a bounded part of their memory.
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT_BYTES);
        self.changes.clear();
        self.changes.shrink_to(KEPT_BYTES / size_of::<Change>());
    }
}

fn by_key(arena: &[u8], key_len: usize, a: &Change, b: &Change) -> Ordering {
    a.prefix.cmp(&b.prefix).then_with(|| {
        let tail = |change: &Change| {
            let at = change.at as usize;
            &arena[at + PREFIX_BYTES.min(key_len)..at + key_len]
        };
        tail(a).cmp(tail(b))
    })
}
