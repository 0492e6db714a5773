//! The titles of goods that orders name, and the words in them.
//!
//! Thousands of orders have the same title. So an order's document names the goods of its lines, each as one term, and not
//! the words of their titles: these stand here once, and a query for a word becomes one for the goods that have it. A
//! title that changes is one of another revision; what was ordered before goes on being found by the title that it had.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use super::words::{Kind, Word, words_within};
use super::{Goods, IndexError};
use crate::domain::ids::SkuId;

/// A SKU in a revision, from 1 on: what has one title for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Edition {
    pub(super) sku: SkuId,
    pub(super) revision: u32,
}

impl Edition {
    /// As it is indexed.
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.sku.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.revision.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sku, revision) = bytes.split_first_chunk::<8>()?;
        let sku = SkuId(u64::from_be_bytes(*sku));
        Some(Self { sku, revision: u32::from_be_bytes(revision.try_into().ok()?) })
    }
}

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Which title, by the sequence in which they came.
    title: u32,
    /// Words before it.
    position: u32,
}

/// A beginning that more words have than may be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Titles, and where each word stands in them.
#[derive(Debug, Default)]
pub(super) struct Titles {
    editions: Vec<Edition>,
    /// Ascending, each word's places.
    words: BTreeMap<Box<str>, Vec<Place>>,
}

impl Titles {
    /// Those of the goods that an index names.
    pub(super) fn of_index(
        searcher: &Searcher,
        field: Field,
        goods: &dyn Goods,
    ) -> Result<(Self, HashSet<Edition>), IndexError> {
        let storage = |error: std::io::Error| IndexError::Storage(error.to_string());
        let (mut titles, mut known) = (Self::default(), HashSet::new());
        for segment in searcher.segment_readers() {
            let inverted = segment.inverted_index(field).map_err(IndexError::from)?;
            let mut terms = inverted.terms().stream().map_err(storage)?;
            while terms.advance() {
                let unknown = || IndexError::Storage("it names goods in no form that there is".to_owned());
                let edition = Edition::from_bytes(terms.key()).ok_or_else(unknown)?;
                if known.insert(edition) {
                    titles.add_from(edition, goods);
                }
            }
        }
        Ok((titles, known))
    }

    /// Adds a title that is not there yet, if the goods have it.
    pub(super) fn add_from(&mut self, edition: Edition, goods: &dyn Goods) {
        if let Some(sku) = goods.sku(edition.sku, edition.revision) {
            self.add(edition, &sku.title);
        }
    }

    fn add(&mut self, edition: Edition, title: &str) {
        // Far fewer titles than fit.
        let number = self.editions.len() as u32;
        self.editions.push(edition);
        for Word { text, position } in words_within(title, Kind::Prose) {
            let places = self.words.entry(text.into()).or_default();
            places.push(Place { title: number, position: position as u32 });
        }
    }

    /// The titles that a word stands in.
    pub(super) fn with_word(&self, word: &str) -> BTreeSet<Edition> {
        self.editions_of(self.places(word).iter().map(|place| place.title))
    }

    /// The titles in which words stand as they do here.
    pub(super) fn with_phrase(&self, words: &[Word]) -> BTreeSet<Edition> {
        let Some((first, rest)) = words.split_first() else { return BTreeSet::new() };
        let stands = |place: &&Place| {
            rest.iter().all(|word| {
                let offset = word.position.saturating_sub(first.position) as u32;
                let place = Place { position: place.position + offset, ..**place };
                self.places(&word.text).binary_search(&place).is_ok()
            })
        };
        self.editions_of(self.places(&first.text).iter().filter(stands).map(|place| place.title))
    }

    /// The titles with a word that begins so.
    pub(super) fn with_beginning(&self, start: &str, words_max: usize) -> Result<BTreeSet<Edition>, TooMany> {
        let from = (std::ops::Bound::Included(start), std::ops::Bound::Unbounded);
        let begin = self.words.range::<str, _>(from).take_while(|(word, _)| word.starts_with(start));
        let mut found = BTreeSet::new();
        for (nth, (_, places)) in begin.enumerate() {
            if nth == words_max {
                return Err(TooMany);
            }
            found.extend(self.editions_of(places.iter().map(|place| place.title)));
        }
        Ok(found)
    }

    fn places(&self, word: &str) -> &[Place] {
        self.words.get(word).map_or(&[], Vec::as_slice)
    }

    fn editions_of(&self, titles: impl Iterator<Item = u32>) -> BTreeSet<Edition> {
        titles.map(|title| self.editions[title as usize]).collect()
    }
}

/// What goods are found by.
pub(super) fn term_of(field: Field, edition: Edition) -> Term {
    Term::from_field_bytes(field, &edition.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn titles(list: &[&str]) -> Titles {
        let mut titles = Titles::default();
        for (sku, title) in (1..).zip(list) {
            titles.add(edition(sku), title);
        }
        titles
    }

    fn edition(sku: u64) -> Edition {
        Edition { sku: SkuId(sku), revision: 1 }
    }

    fn skus(editions: &BTreeSet<Edition>) -> Vec<u64> {
        editions.iter().map(|edition| edition.sku.0).collect()
    }

    #[test]
    fn words_phrases_and_beginnings_find_titles() {
        let titles = titles(&["Green tea, green box", "Black tea", "西湖龙井绿茶", "Tea box, green tea"]);
        assert_eq!(skus(&titles.with_word("tea")), [1, 2, 4]);
        assert_eq!(skus(&titles.with_word("龙井")), [3]);
        assert!(titles.with_word("te").is_empty());
        let phrase = |text| skus(&titles.with_phrase(&words(text, Kind::Prose)));
        assert_eq!(phrase("green tea"), [1, 4]);
        assert_eq!(phrase("tea green box"), [1]);
        assert_eq!(phrase("box tea"), Vec::<u64>::new());
        assert_eq!(phrase("西湖龙井"), [3]);
        let beginning = |start, max| titles.with_beginning(start, max).map(|found| skus(&found));
        assert_eq!(beginning("b", 2), Ok(vec![1, 2, 4]));
        assert_eq!(beginning("b", 1), Err(TooMany));
        assert_eq!(beginning("z", 1), Ok(Vec::new()));
    }

    #[test]
    fn goods_keep_their_form_and_sequence() {
        let editions = [(1, 1), (1, 2), (2, 1), (u64::MAX, u32::MAX)]
            .map(|(sku, revision)| Edition { sku: SkuId(sku), revision });
        assert!(editions.map(Edition::to_bytes).is_sorted());
        assert_eq!(editions.map(|edition| Edition::from_bytes(&edition.to_bytes())), editions.map(Some));
        assert_eq!(Edition::from_bytes(&[0; 11]), None);
    }
}
