//! A large body on its way: its parts come ahead of the task that takes them, and are of no account without it.

use super::Bytes;

/// The parts that have come of a body whose task has not.
#[derive(Debug, Default)]
pub(crate) struct BodyParts(Vec<u8>);

impl BodyParts {
    /// Takes the next part; the first one begins a body.
    pub(crate) fn take(&mut self, index: u8, part: &Bytes) {
        if index == 0 {
            self.0.clear();
        }
        self.0.extend_from_slice(&part.0);
    }

    /// What has come.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Forgets them, and gives whether there were any. A body's worth of memory would otherwise stay for good.
    pub(crate) fn forget(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

impl From<Vec<u8>> for BodyParts {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
