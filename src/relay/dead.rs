//! Which dead letters a subscription has, without their bodies: whose later events stand behind them, and what is to be
//! delivered again.
//!
//! An order with a dead letter gets nothing more delivered: its later events become dead letters behind it, so that they
//! keep their order when they are delivered again. While that goes on, new events still go to the end of the letters.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::domain::ids::{OrderNo, Position};

/// How a new event stands to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing stands before it.
    Free,
    /// It is one already.
    Dead,
    /// It stands behind this one.
    Behind(Position),
}

/// The letters of one order.
#[derive(Debug, Default)]
struct OfOrder {
    /// Whether each is in the book already.
    letters: BTreeMap<Position, bool>,
    /// They are to be delivered again, one after the other.
    requeued: bool,
    /// The first of them is on its way.
    under_way: bool,
}

/// The letters of a subscription.
#[derive(Debug, Default)]
pub(super) struct Dead {
    orders: HashMap<OrderNo, OfOrder>,
    /// Letters without an order, and whether each is in the book already.
    others: BTreeMap<Position, bool>,
    /// Letters that may go, oldest first.
    offered: BTreeSet<(Position, Option<OrderNo>)>,
    len: usize,
}

impl Dead {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How an event of this order stands to them.
    pub(super) fn standing(&self, position: Position, order_no: Option<OrderNo>) -> Standing {
        let Some(order_no) = order_no else {
            return if self.others.contains_key(&position) { Standing::Dead } else { Standing::Free };
        };
        let Some(of_order) = self.orders.get(&order_no) else { return Standing::Free };
        if of_order.letters.contains_key(&position) {
            return Standing::Dead;
        }
        let first = of_order.letters.first_key_value().map(|(first, _)| *first);
        first.filter(|first| *first < position).map_or(Standing::Free, Standing::Behind)
    }

    /// Whether there is such a letter.
    pub(super) fn contains(&self, position: Position, order_no: Option<OrderNo>) -> bool {
        match order_no {
            Some(order_no) => {
                self.orders.get(&order_no).is_some_and(|of_order| of_order.letters.contains_key(&position))
            }
            None => self.others.contains_key(&position),
        }
    }

    /// A letter is on its way to the book. Gives whether it is to be delivered again at once.
    pub(super) fn add(&mut self, position: Position, order_no: Option<OrderNo>) -> bool {
        let Some(order_no) = order_no else {
            self.len += usize::from(self.others.insert(position, false).is_none());
            return false;
        };
        let of_order = self.orders.entry(order_no).or_default();
        self.len += usize::from(of_order.letters.insert(position, false).is_none());
        of_order.requeued
    }

    /// A letter is in the book.
    pub(super) fn booked(&mut self, position: Position, order_no: Option<OrderNo>) {
        match order_no {
            Some(order_no) => {
                let letter = self.orders.get_mut(&order_no).and_then(|of| of.letters.get_mut(&position));
                if let Some(is_booked) = letter {
                    *is_booked = true;
                }
                self.offer(order_no);
            }
            None => {
                if let Some(is_booked) = self.others.get_mut(&position) {
                    *is_booked = true;
                }
            }
        }
    }

    /// A letter that was tried again is dead again, and those behind it wait with it. Gives the order's letters.
    pub(super) fn dead_again(&mut self, order_no: Option<OrderNo>) -> Vec<Position> {
        let Some(of_order) = order_no.and_then(|order_no| self.orders.get_mut(&order_no)) else {
            return Vec::new();
        };
        (of_order.requeued, of_order.under_way) = (false, false);
        of_order.letters.keys().copied().collect()
    }

    /// A letter is gone: delivered, or thrown away.
    pub(super) fn gone(&mut self, position: Position, order_no: Option<OrderNo>) {
        self.offered.remove(&(position, order_no));
        let Some(order_no) = order_no else {
            self.len -= usize::from(self.others.remove(&position).is_some());
            return;
        };
        let Some(of_order) = self.orders.get_mut(&order_no) else { return };
        let was_first = of_order.letters.first_key_value().is_some_and(|(first, _)| *first == position);
        self.len -= usize::from(of_order.letters.remove(&position).is_some());
        if was_first {
            of_order.under_way = false;
        }
        if of_order.letters.is_empty() {
            self.orders.remove(&order_no);
        } else {
            self.offer(order_no);
        }
    }

    /// The order of a letter; `None` where there is no such letter.
    pub(super) fn order_of(&self, position: Position) -> Option<Option<OrderNo>> {
        if self.others.contains_key(&position) {
            return Some(None);
        }
        // Asked by a person, now and then.
        let found = self.orders.iter().find(|(_, of_order)| of_order.letters.contains_key(&position));
        found.map(|(order_no, _)| Some(*order_no))
    }

    /// The letters that go together with this one, itself included: those of its order.
    pub(super) fn together(&self, position: Position, order_no: Option<OrderNo>) -> Vec<Position> {
        let of_order = order_no.and_then(|order_no| self.orders.get(&order_no));
        of_order.map_or_else(|| vec![position], |of_order| of_order.letters.keys().copied().collect())
    }

    /// All letters, oldest first.
    pub(super) fn all(&self) -> Vec<(Position, Option<OrderNo>)> {
        let of_orders = self.orders.iter().flat_map(|(order_no, of_order)| {
            of_order.letters.keys().map(|position| (*position, Some(*order_no)))
        });
        let mut all: Vec<_> = of_orders.chain(self.others.keys().map(|position| (*position, None))).collect();
        all.sort_unstable();
        all
    }

    /// A letter, and with it those of its order, are to be delivered again.
    pub(super) fn requeue(&mut self, position: Position, order_no: Option<OrderNo>) {
        match order_no {
            Some(order_no) => {
                if let Some(of_order) = self.orders.get_mut(&order_no) {
                    of_order.requeued = true;
                    self.offer(order_no);
                }
            }
            None if self.others.get(&position) == Some(&true) => {
                self.offered.insert((position, None));
            }
            None => {}
        }
    }

    /// The oldest letter that is to be delivered again, and may go.
    pub(super) fn take_offered(&mut self) -> Option<(Position, Option<OrderNo>)> {
        self.offered.pop_first()
    }

    /// A letter that was taken has not gone after all.
    pub(super) fn give_back(&mut self, position: Position, order_no: Option<OrderNo>) {
        match order_no {
            Some(order_no) => {
                if let Some(of_order) = self.orders.get_mut(&order_no) {
                    of_order.under_way = false;
                    self.offer(order_no);
                }
            }
            None => self.requeue(position, None),
        }
    }

    /// Offers the first letter of an order whose letters are to be delivered again.
    fn offer(&mut self, order_no: OrderNo) {
        let Some(of_order) = self.orders.get_mut(&order_no) else { return };
        if let Some((first, true)) = of_order.letters.first_key_value()
            && of_order.requeued
            && !of_order.under_way
        {
            of_order.under_way = true;
            self.offered.insert((*first, Some(order_no)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u64) -> Option<OrderNo> {
        OrderNo::from_u64(number)
    }

    fn add(dead: &mut Dead, position: u64, number: u64) {
        dead.add(Position(position), order(number));
        dead.booked(Position(position), order(number));
    }

    #[test]
    fn later_events_of_an_order_stand_behind_its_letters() {
        let mut dead = Dead::default();
        assert_eq!(dead.standing(Position(5), order(1)), Standing::Free);
        add(&mut dead, 5, 1);
        assert_eq!(dead.standing(Position(5), order(1)), Standing::Dead);
        assert_eq!(dead.standing(Position(6), order(1)), Standing::Behind(Position(5)));
        assert_eq!(dead.standing(Position(4), order(1)), Standing::Free, "an earlier one may still go");
        assert_eq!(dead.standing(Position(6), order(2)), Standing::Free);
        assert_eq!(dead.standing(Position(6), None), Standing::Free);
        dead.gone(Position(5), order(1));
        assert_eq!(dead.standing(Position(6), order(1)), Standing::Free);
        assert_eq!(dead.len(), 0);
    }

    #[test]
    fn letters_of_an_order_go_one_after_the_other_with_those_that_come_meanwhile() {
        let mut dead = Dead::default();
        add(&mut dead, 5, 1);
        add(&mut dead, 7, 1);
        add(&mut dead, 6, 2);
        dead.requeue(Position(7), order(1));
        assert_eq!(dead.take_offered(), Some((Position(5), order(1))));
        assert_eq!(dead.take_offered(), None);
        assert!(dead.add(Position(9), order(1)), "what comes meanwhile is requeued, too");
        dead.gone(Position(5), order(1));
        assert_eq!(dead.take_offered(), Some((Position(7), order(1))));
        dead.gone(Position(7), order(1));
        assert_eq!(dead.take_offered(), None, "not in the book yet");
        dead.booked(Position(9), order(1));
        assert_eq!(dead.take_offered(), Some((Position(9), order(1))));
        dead.gone(Position(9), order(1));
        assert_eq!((dead.len(), dead.take_offered()), (1, None));
    }

    #[test]
    fn a_letter_that_is_dead_again_stops_those_behind_it() {
        let mut dead = Dead::default();
        add(&mut dead, 5, 1);
        add(&mut dead, 7, 1);
        dead.requeue(Position(5), order(1));
        assert_eq!(dead.take_offered(), Some((Position(5), order(1))));
        assert_eq!(dead.dead_again(order(1)), [Position(5), Position(7)]);
        dead.booked(Position(5), order(1));
        assert_eq!(dead.take_offered(), None);
        dead.requeue(Position(5), order(1));
        let taken = dead.take_offered().unwrap();
        dead.give_back(taken.0, taken.1);
        assert_eq!(dead.take_offered(), Some(taken));
    }

    #[test]
    fn letters_without_an_order_stand_alone() {
        let mut dead = Dead::default();
        dead.add(Position(3), None);
        dead.requeue(Position(3), None);
        assert_eq!(dead.take_offered(), None, "not in the book yet");
        dead.booked(Position(3), None);
        assert_eq!(dead.standing(Position(4), None), Standing::Free);
        add(&mut dead, 2, 1);
        assert_eq!(dead.all(), [(Position(2), order(1)), (Position(3), None)]);
        assert_eq!(dead.order_of(Position(3)), Some(None));
        assert_eq!(dead.order_of(Position(2)), Some(order(1)));
        assert_eq!(dead.order_of(Position(4)), None);
        assert_eq!(dead.together(Position(3), None), [Position(3)]);
        dead.requeue(Position(3), None);
        assert_eq!(dead.take_offered(), Some((Position(3), None)));
    }
}
