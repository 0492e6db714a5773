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
    /// The same member's order after this one, or [`NONE`].
    pub(crate) next_of_member: u32,
    /// The collection that reserves its units again, or [`NONE`]; other commands wait meanwhile.
    pub(crate) reviving: u32,
    /// Whether the store has it among the open orders.
    pub(crate) stored_open: bool,
}

impl OrderRecord {
    /// An order that nothing is known about beside itself.
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            timer: TimerId::NONE,
            previous_of_member: NONE,
            next_of_member: NONE,
            reviving: NONE,
            stored_open: false,
        }
    }
}

/// All orders of one actor that are in memory, by index. The index of an order that has left is used again.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pages: Vec<Vec<Option<OrderRecord>>>,
    free: Vec<u32>,
}

impl Records {
    /// Adds an order; gives its index.
    ///
    /// # Panics
    /// Beyond 2^31 orders, half of the index space; memory ends long before.
    pub(crate) fn push(&mut self, record: OrderRecord) -> u32 {
        if let Some(index) = self.free.pop() {
            *self.cell(index) = Some(record);
            return index;
        }
        let index = self.cells();
        assert!(index < 1 << 31, "an order actor holds fewer than 2^31 orders");
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE_LEN => page.push(Some(record)),
            _ => {
                let mut page = Vec::with_capacity(PAGE_LEN);
                page.push(Some(record));
                self.pages.push(page);
            }
        }
        index as u32
    }

    /// Takes an order out.
    pub(crate) fn remove(&mut self, index: u32) -> OrderRecord {
        let record = self.cell(index).take().expect("an index names an order in memory");
        self.free.push(index);
        record
    }

    /// The order at an index.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &OrderRecord {
        let cell = &self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE_LEN - 1)];
        cell.as_ref().expect("an index names an order in memory")
    }

    /// The order at an index, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut OrderRecord {
        self.cell(index).as_mut().expect("an index names an order in memory")
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.cells() - self.free.len()
    }

    /// Exclusive bound of all indices.
    pub(crate) fn index_end(&self) -> u32 {
        self.cells() as u32
    }

    /// Whether there is an order at an index.
    pub(crate) fn contains(&self, index: u32) -> bool {
        let page = self.pages.get((index >> PAGE_BITS) as usize);
        page.and_then(|page| page.get(index as usize & (PAGE_LEN - 1))).is_some_and(Option::is_some)
    }

    /// All orders with their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &OrderRecord)> {
        let cells = self.pages.iter().flatten().enumerate();
        cells.filter_map(|(index, cell)| Some((index as u32, cell.as_ref()?)))
    }

    #[inline]
    fn cell(&mut self, index: u32) -> &mut Option<OrderRecord> {
        &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE_LEN - 1)]
    }

    fn cells(&self) -> usize {
        match self.pages.split_last() {
            None => 0,
            Some((last, full)) => full.len() * PAGE_LEN + last.len(),
        }
    }
}
