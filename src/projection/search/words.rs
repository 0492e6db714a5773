//! How texts become words, for what is indexed and for what is looked for alike.
//!
//! A text is cut where its script changes: runs of Han characters go through the segmenter, kana stand alone, everything
//! else that is a letter or a digit makes lower-cased words. Full-width forms count as the ASCII that they stand for. A
//! word's position counts Han characters and other words before it, so that a phrase is found wherever its characters
//! follow one another, however the segmenter has cut around it; punctuation and blanks count nothing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy_jieba::jieba_rs::Jieba;

/// Runs of Han characters whose cuts are remembered; titles, towns and streets come again and again.
const CUTS_KEPT_MAX: usize = 1 << 16;
/// The longest run that is remembered, in bytes.
const CUT_BYTES_MAX: usize = 96;
/// Digits that the end of a phone number must have to be looked for.
pub(crate) const PHONE_DIGITS_MIN: usize = 4;

static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);
static CUTS: LazyLock<Mutex<CutsByText>> = LazyLock::new(Mutex::default);

/// Texts, and how they are cut.
type CutsByText = HashMap<Box<str>, Arc<[Cut]>>;

/// What kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text in which the segmenter finds words: with the words within words where it is indexed.
    Prose,
    /// A name: every Han character is a word.
    Name,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it is compared.
    pub(crate) text: String,
    /// Han characters and other words before it.
    pub(crate) position: usize,
}

/// The words of a text that is looked for: each of them is indexed for a text that contains it in the same cut.
pub(crate) fn words(text: &str, kind: Kind) -> Vec<Word> {
    cut(text, kind, false)
}

/// The words that a text is found by: those within words, too. Their positions ascend.
pub(super) fn words_within(text: &str, kind: Kind) -> Vec<Word> {
    cut(text, kind, true)
}

fn cut(text: &str, kind: Kind, for_index: bool) -> Vec<Word> {
    let mut pieces = Pieces::default();
    pieces.cut(text, kind, for_index);
    let word = |piece: &Piece| Word { text: pieces.word(piece).to_owned(), position: piece.position };
    pieces.list.iter().map(word).collect()
}

/// The last run of a text, uncut, and the words before it: how a beginning of a word is looked for.
pub(crate) fn beginning(text: &str, kind: Kind) -> Option<(Vec<Word>, String)> {
    let mut last: Option<(usize, usize)> = None;
    let class = |char: char| match fold(char) {
        char if is_han(char) => 1,
        char if is_kana(char) => 2,
        char if char.is_alphanumeric() => 3,
        _ => 0,
    };
    for (at, char) in text.char_indices() {
        let class_here = class(char);
        let goes_on = last.is_some_and(|(begin, end)| {
            end == at && text[begin..].chars().next().is_some_and(|first| class(first) == class_here)
        });
        let is_single = class_here == 2 || (class_here == 1 && kind == Kind::Name);
        match (class_here, &mut last) {
            (0, _) => {}
            (_, Some((_, end))) if goes_on && !is_single => *end = at + char.len_utf8(),
            _ => last = Some((at, at + char.len_utf8())),
        }
    }
    let (begin, end) = last?;
    let run = text[begin..end].chars().map(fold).flat_map(char::to_lowercase).collect();
    Some((words(&text[..begin], kind), run))
}

/// The digits of a phone number, last one first; of a text that has other letters in it, none.
pub(crate) fn phone_end(text: &str) -> String {
    if text.chars().any(char::is_alphabetic) {
        return String::new();
    }
    text.chars().rev().map(fold).filter(char::is_ascii_digit).collect()
}

/// A full-width form as ASCII.
fn fold(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap_or(char),
        _ => char,
    }
}

fn is_han(char: char) -> bool {
    matches!(char, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
        || matches!(char, '\u{3005}' | '\u{3007}')
}

fn is_kana(char: char) -> bool {
    matches!(char, '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}')
}

/// Where a word lies in its run, in bytes, and before how many characters of it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: u16,
    to: u16,
    position: u16,
    length: u16,
}

/// A word among the pieces of a text.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: usize,
    to: usize,
    position: usize,
    length: usize,
}

/// A text in pieces.
#[derive(Clone, Debug, Default)]
struct Pieces {
    /// As it is compared.
    text: String,
    list: Vec<Piece>,
}

impl Pieces {
    fn word(&self, piece: &Piece) -> &str {
        &self.text[piece.from..piece.to]
    }

    fn cut(&mut self, text: &str, kind: Kind, for_index: bool) {
        self.text.clear();
        self.list.clear();
        let mut position = 0;
        let mut chars = text.chars().map(fold).peekable();
        while let Some(char) = chars.next() {
            let from = self.text.len();
            if is_han(char) {
                self.text.push(char);
                let mut len = 1;
                while let Some(char) = chars.next_if(|char| is_han(*char)) {
                    self.text.push(char);
                    len += 1;
                }
                match kind {
                    Kind::Name => self.each_char(from, position),
                    Kind::Prose => self.segment(from, position, for_index),
                }
                position += len;
            } else if is_kana(char) {
                self.text.push(char);
                self.list.push(Piece { from, to: self.text.len(), position, length: 1 });
                position += 1;
            } else if char.is_alphanumeric() {
                self.text.extend(char.to_lowercase());
                let goes_on = |char: &char| char.is_alphanumeric() && !is_han(*char) && !is_kana(*char);
                while let Some(char) = chars.next_if(goes_on) {
                    self.text.extend(char.to_lowercase());
                }
                self.list.push(Piece { from, to: self.text.len(), position, length: 1 });
                position += 1;
            }
        }
    }

    /// Every character of the run that ends the text.
    fn each_char(&mut self, from: usize, position: usize) {
        let run = &self.text[from..];
        self.list.extend(run.char_indices().enumerate().map(|(nth, (at, char))| {
            let from = from + at;
            Piece { from, to: from + char.len_utf8(), position: position + nth, length: 1 }
        }));
    }

    /// The words of the run that ends the text.
    fn segment(&mut self, from: usize, position: usize, for_index: bool) {
        let run = &self.text[from..];
        let piece = |cut: &Cut| Piece {
            from: from + usize::from(cut.from),
            to: from + usize::from(cut.to),
            position: position + usize::from(cut.position),
            length: usize::from(cut.length),
        };
        if !for_index {
            self.list.extend(cuts_of(run, false).iter().map(piece));
            return;
        }
        let known = CUTS.lock().unwrap_or_else(PoisonError::into_inner).get(run).cloned();
        let cuts = known.unwrap_or_else(|| {
            let cuts: Arc<[Cut]> = cuts_of(run, true).into();
            if run.len() <= CUT_BYTES_MAX {
                let mut kept = CUTS.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == CUTS_KEPT_MAX {
                    // Whatever comes again and again is soon back.
                    kept.clear();
                }
                kept.insert(run.into(), Arc::clone(&cuts));
            }
            cuts
        });
        self.list.extend(cuts.iter().map(piece));
    }
}

/// Cuts a run of Han characters. Without guessing at words that no dictionary knows: the same characters must be cut
/// alike wherever they stand.
fn cuts_of(run: &str, with_inner_words: bool) -> Vec<Cut> {
    let tokens = if with_inner_words { JIEBA.cut_for_search(run, false) } else { JIEBA.cut(run, false) };
    let cut = |token: tantivy_jieba::jieba_rs::Token<'_>| {
        let narrow = |number: usize| u16::try_from(number).ok();
        Some(Cut {
            from: narrow(token.byte_start)?,
            to: narrow(token.byte_end)?,
            position: narrow(token.start)?,
            length: narrow(token.end - token.start)?,
        })
    };
    // Texts are bounded to far less than 64 KiB.
    let mut cuts: Vec<Cut> = tokens.into_iter().filter_map(cut).collect();
    // The index wants the positions of one word ascending.
    cuts.sort_by_key(|cut| cut.position);
    cuts
}

/// Cuts what is indexed.
#[derive(Clone, Debug)]
pub(super) struct Cutter {
    kind: Kind,
    pieces: Pieces,
}

impl Cutter {
    /// For one kind of text.
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, pieces: Pieces::default() }
    }
}

impl Tokenizer for Cutter {
    type TokenStream<'a> = CutText<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> CutText<'a> {
        self.pieces.cut(text, self.kind, true);
        CutText { pieces: &self.pieces, next: 0, token: Token::default() }
    }
}

/// The words of a text, one after the other.
pub(super) struct CutText<'a> {
    pieces: &'a Pieces,
    next: usize,
    token: Token,
}

impl TokenStream for CutText<'_> {
    fn advance(&mut self) -> bool {
        let Some(piece) = self.pieces.list.get(self.next) else { return false };
        self.next += 1;
        self.token.text.clear();
        self.token.text.push_str(self.pieces.word(piece));
        self.token.offset_from = piece.from;
        self.token.offset_to = piece.to;
        self.token.position = piece.position;
        self.token.position_length = piece.length;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[Word]) -> Vec<(&str, usize)> {
        words.iter().map(|word| (word.text.as_str(), word.position)).collect()
    }

    fn indexed(text: &str, kind: Kind) -> Vec<(String, usize)> {
        let mut cutter = Cutter::new(kind);
        let mut stream = cutter.token_stream(text);
        let mut words = Vec::new();
        while stream.advance() {
            words.push((stream.token().text.clone(), stream.token().position));
        }
        words
    }

    #[test]
    fn words_are_lower_cased_folded_and_counted_across_punctuation() {
        let found = words("Green TEA, ５０ｇ (T-Shirt)", Kind::Prose);
        assert_eq!(texts(&found), [("green", 0), ("tea", 1), ("50g", 2), ("t", 3), ("shirt", 4)]);
        assert_eq!(words("，。 -!", Kind::Prose), []);
    }

    #[test]
    fn chinese_is_segmented_and_found_by_words_within_words() {
        let whole = indexed("新茶：西湖龙井绿茶礼盒50g", Kind::Prose);
        for word in words("龙井 绿茶 礼盒", Kind::Prose) {
            assert!(whole.iter().any(|(text, _)| *text == word.text), "{} in {whole:?}", word.text);
        }
        assert_eq!(whole.last().map(|(text, _)| text.as_str()), Some("50g"));
        let inner = indexed("中华人民共和国", Kind::Prose);
        assert!(inner.iter().any(|(text, at)| text == "共和国" && *at == 4), "{inner:?}");
        assert!(inner.is_sorted_by_key(|(_, position)| *position), "{inner:?}");
    }

    #[test]
    fn a_name_is_cut_into_characters() {
        assert_eq!(
            texts(&words("欧阳小明 Li", Kind::Name)),
            [("欧", 0), ("阳", 1), ("小", 2), ("明", 3), ("li", 4)]
        );
    }

    #[test]
    fn a_beginning_keeps_its_last_run_whole() {
        let (before, run) = beginning("Green Te", Kind::Prose).unwrap();
        assert_eq!((texts(&before), run.as_str()), (vec![("green", 0)], "te"));
        let (before, run) = beginning("50克 龙井", Kind::Prose).unwrap();
        assert_eq!((texts(&before).len(), run.as_str()), (2, "龙井"));
        let (before, run) = beginning("张三", Kind::Name).unwrap();
        assert_eq!((texts(&before), run.as_str()), (vec![("张", 0)], "三"));
        assert_eq!(beginning(" -", Kind::Prose), None);
    }

    #[test]
    fn phones_are_digits_from_the_end() {
        assert_eq!(phone_end("+86 138-1234-5678"), "8765432183168");
        assert_eq!(phone_end("５６７８"), "8765");
        assert_eq!(phone_end("abc5678"), "");
    }
}
