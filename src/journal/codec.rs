//! Events to bytes and back. The only place that names bincode, so that it can be replaced behind the version byte.
//!
//! Integers are variable-length. Fixed-length ones encode faster (see `benches/codec.rs`), but a one-line
//! `OrderCreated` would exceed the 96 bytes that an order may cost in the journal, and the journal is bound by bytes.

use std::io::{self, Read};

use bincode::de::Deserializer;
use bincode::de::read::BincodeRead;
use bincode::{DefaultOptions, ErrorKind, Options};
use serde::de::{Deserialize, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::domain::event::{Event, OrderCreated};

/// The version that this release writes. It stands in every frame; what an older one means never changes.
pub const CODEC_VERSION: u8 = 1;

/// Bytes that are no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A newer release wrote them.
    #[error("codec version {version} is unknown, this release decodes versions up to {CODEC_VERSION}")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// They don't make an event of their version.
    #[error("malformed event: {0}")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The one set of options: little endian, variable-length integers.
///
/// bincode's own size limit stays off: it makes decoding half as slow again (204 against 134 ns for a one-line order),
/// and encoding walk every event twice. What it is for holds without it. An entry's bounds are checked when it is
/// pushed, and whoever decodes passes a slice of one entry: no length in it can ask for more than the slice has,
/// except that serde may reserve up to 1 MiB for a sequence. Trailing bytes are refused by [`super::Events`], which
/// knows where an entry ends.
fn options() -> impl Options {
    DefaultOptions::new()
}

/// Appends one event to `out`, in [`CODEC_VERSION`].
///
/// # Panics
/// Never for the events there are: writing to memory can't fail, and none has a sequence of unknown length.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let mut serializer = bincode::Serializer::new(out, options());
    let result = event.serialize(&mut serializer);
    assert!(result.is_ok(), "encoding to memory can't fail: {result:?}");
}

/// Appends what [`encode`] would append for `Event::OrderCreated` of this, without the box around it: placing an order
/// is the hottest path there is.
///
/// # Panics
/// Never, as [`encode`].
pub(super) fn encode_created(created: &OrderCreated, out: &mut Vec<u8>) {
    struct Borrowed<'e>(&'e OrderCreated);

    impl Serialize for Borrowed<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            // The variant's place in `Event`; a test compares the bytes.
            serializer.serialize_newtype_variant("Event", 3, "OrderCreated", self.0)
        }
    }

    let mut serializer = bincode::Serializer::new(out, options());
    let result = Borrowed(created).serialize(&mut serializer);
    assert!(result.is_ok(), "encoding to memory can't fail: {result:?}");
}

/// Reads one event of the given codec version from the front of `bytes` and moves past it. What follows is the
/// caller's to check.
///
/// This is where an old version's events are lifted to today's types.
///
/// # Errors
/// [`CodecError::UnknownVersion`] for versions of newer releases, [`CodecError::Malformed`] for anything else that
/// is not one event; `bytes` then stands somewhere inside it.
pub fn decode(version: u8, bytes: &mut &[u8]) -> Result<Event, CodecError> {
    match version {
        1 => decode_v1(bytes),
        _ => Err(CodecError::UnknownVersion { version }),
    }
}

/// The version of stored records that this release writes; their first byte. What an older one means never changes.
pub(crate) const RECORD_VERSION: u8 = 1;

/// Appends a stored record to `out`, in [`RECORD_VERSION`].
///
/// # Panics
/// If the value can't be encoded, which the types of this crate always can.
pub(crate) fn encode_record<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    out.push(RECORD_VERSION);
    let mut serializer = bincode::Serializer::new(out, options());
    let result = value.serialize(&mut serializer);
    assert!(result.is_ok(), "encoding to memory can't fail: {result:?}");
}

/// Reads a stored record; nothing may follow it.
///
/// # Errors
/// [`CodecError::UnknownVersion`] of a newer release, [`CodecError::Malformed`].
pub(crate) fn decode_record<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CodecError> {
    let mut bytes = match bytes.split_first() {
        Some((&RECORD_VERSION, bytes)) => bytes,
        Some((&version, _)) => return Err(CodecError::UnknownVersion { version }),
        None => return Err(CodecError::Malformed("an empty record".into())),
    };
    let mut deserializer = Deserializer::with_bincode_read(SliceCursor(&mut bytes), options());
    let value = T::deserialize(&mut deserializer).map_err(|error| CodecError::Malformed(error))?;
    if bytes.is_empty() {
        return Ok(value);
    }
    Err(CodecError::Malformed(format!("{} bytes follow the record", bytes.len()).into()))
}

/// Whether [`decode`] knows the version.
pub(super) fn is_known(version: u8) -> bool {
    version == CODEC_VERSION
}

fn decode_v1(bytes: &mut &[u8]) -> Result<Event, CodecError> {
    let mut deserializer = Deserializer::with_bincode_read(SliceCursor(bytes), options());
    Event::deserialize(&mut deserializer).map_err(|error| CodecError::Malformed(error))
}

/// bincode's own slice reader doesn't tell how far it has come; this one moves the caller's slice.
struct SliceCursor<'c, 'storage>(&'c mut &'storage [u8]);

impl<'storage> SliceCursor<'_, 'storage> {
    #[inline(always)]
    fn take(&mut self, len: usize) -> io::Result<&'storage [u8]> {
        match self.0.split_at_checked(len) {
            Some((taken, rest)) => {
                *self.0 = rest;
                Ok(taken)
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for SliceCursor<'_, '_> {
    #[inline(always)]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.copy_from_slice(self.take(out.len())?);
        Ok(out.len())
    }

    #[inline(always)]
    fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        self.read(out).map(|_| ())
    }
}

impl<'storage> BincodeRead<'storage> for SliceCursor<'_, 'storage> {
    #[inline(always)]
    fn forward_read_str<V: Visitor<'storage>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> bincode::Result<V::Value> {
        let text = std::str::from_utf8(self.take(length)?).map_err(ErrorKind::InvalidUtf8Encoding)?;
        visitor.visit_borrowed_str(text)
    }

    #[inline(always)]
    fn get_byte_buffer(&mut self, length: usize) -> bincode::Result<Vec<u8>> {
        Ok(self.take(length)?.to_vec())
    }

    #[inline(always)]
    fn forward_read_bytes<V: Visitor<'storage>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> bincode::Result<V::Value> {
        visitor.visit_borrowed_bytes(self.take(length)?)
    }
}
