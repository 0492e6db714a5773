//! The orders in memory: a slab in pages, so that growing never copies what is there.

use crate::domain::order::Order;
use crate::timer::TimerId;

/// "No index", where an index is optional.
pub(crate) const NONE: u32 = u32::MAX;

const PAGE_BITS: u32 = 12;
const PAGE_LEN: usize = 1 << PAGE_BITS;

/// An order and what its actor keeps beside it.
#[derive(Debug)]
pub(crate) struct OrderRecord {
    /// The order.
    pub(crate) order: Order,
    /// Its deadline on the wheel.
    pub(crate) timer: TimerId,
    /// The same member's order before this one, or [`NONE`].
    pub(crate) previous_of_member: u32,
    /// The collection that reserves its units again, or [`NONE`]; other commands wait meanwhile.
    pub(crate) reviving: u32,
}

/// All orders of one actor, by index.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pages: Vec<Vec<OrderRecord>>,
}

impl Records {
    /// Adds an order; gives its index.
    ///
    /// # Panics
    /// Beyond 2^31 orders, half of the index space; memory ends long before.
    pub(crate) fn push(&mut self, record: OrderRecord) -> u32 {
        let index = self.len();
        assert!(index < 1 << 31, "an order actor holds fewer than 2^31 orders");
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE_LEN => page.push(record),
            _ => {
                let mut page = Vec::with_capacity(PAGE_LEN);
                page.push(record);
                self.pages.push(page);
            }
        }
        index as u32
    }

    /// The order at an index.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &OrderRecord {
        &self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE_LEN - 1)]
    }

    /// The order at an index, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut OrderRecord {
        &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE_LEN - 1)]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self.pages.split_last() {
            None => 0,
            Some((last, full)) => full.len() * PAGE_LEN + last.len(),
        }
    }

    /// All orders with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &OrderRecord)> {
        self.pages.iter().flatten().enumerate().map(|(index, record)| (index as u32, record))
    }
}
