//! Random interleavings of orders over a few stock keys: [`HoldBook`] against a naive oracle, and the rules R1, R2
//! and R3 against both.

use proptest::prelude::*;

use crate::domain::reject::Reject;
use crate::domain::request::StockChange;
use crate::domain::stock::{HoldAnswer, HoldBook, STOCK_TOTAL_MAX, StockCounters};

const KEYS: usize = 3;

/// What became of the units that an order was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Held,
    Reserved,
    Sold,
}

/// The naive twin: it remembers who has what and who waits, and adds everything up for each answer.
#[derive(Debug, Default)]
struct Oracle {
    total: u64,
    uses: Vec<(usize, u64, Use)>,
    waiting: Vec<(usize, u64)>,
}

impl Oracle {
    fn sum(&self, of: Use) -> u64 {
        self.uses.iter().filter(|(_, _, used)| *used == of).map(|(_, units, _)| units).sum()
    }

    fn available(&self) -> u64 {
        // Panics on oversell (R1): tests are built with overflow checks.
        self.total - self.sum(Use::Held) - self.sum(Use::Reserved) - self.sum(Use::Sold)
    }

    fn counters(&self) -> StockCounters {
        StockCounters {
            total: self.total,
            available: self.available(),
            held: self.sum(Use::Held),
            reserved: self.sum(Use::Reserved),
            sold: self.sum(Use::Sold),
        }
    }

    /// The answer for one who is first in line, or `None` if it has to wait.
    fn answer(&self, units: u64, returning: u64) -> Option<bool> {
        let may_come_back = self.sum(Use::Held) + returning;
        if self.available() >= units {
            Some(true)
        } else if self.available() + may_come_back < units {
            // R3: at this very instant the units are truly not there.
            Some(false)
        } else {
            None
        }
    }

    fn hold(&mut self, order: usize, units: u64, returning: u64) -> HoldAnswer {
        match self.answer(units, returning) {
            Some(false) => HoldAnswer::Refused,
            Some(true) if self.waiting.is_empty() => {
                self.uses.push((order, units, Use::Held));
                HoldAnswer::Granted
            }
            // R3: nobody overtakes.
            Some(true) | None => {
                self.waiting.push((order, units));
                HoldAnswer::Parked
            }
        }
    }

    fn resolve(&mut self, returning: u64) -> Vec<(usize, bool)> {
        let mut answers = Vec::new();
        while let Some((order, units)) = self.waiting.first().copied()
            && let Some(granted) = self.answer(units, returning)
        {
            self.waiting.remove(0);
            if granted {
                self.uses.push((order, units, Use::Held));
            }
            answers.push((order, granted));
        }
        answers
    }

    fn change(&mut self, order: usize, from: Use, to: Option<Use>) {
        let index = self.uses.iter().position(|(owner, _, used)| (*owner, *used) == (order, from));
        let index = index.expect("the order has these units");
        match to {
            Some(to) => self.uses[index].2 = to,
            None => drop(self.uses.remove(index)),
        }
    }

    fn has(&self, order: usize) -> Option<Use> {
        self.uses.iter().find(|(owner, _, _)| *owner == order).map(|(_, _, used)| *used)
    }
}

#[derive(Debug, Default)]
struct Stock {
    book: HoldBook<usize>,
    oracle: Oracle,
    /// Units whose release was counted and is not applied yet.
    returning: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Lines below `next` are granted; `parked` says whether line `next` waits for its answer.
    Collecting {
        next: usize,
        parked: bool,
    },
    /// All lines are granted, those below `next` are settled.
    Settling {
        next: usize,
    },
    /// A line was refused; so many lines are still to be given back.
    GivingBack {
        left: usize,
    },
    Refused,
    Placed,
    Paid,
    Closed,
}

#[derive(Debug)]
struct SimulatedOrder {
    /// Stock index and units, ascending by index.
    lines: Vec<(usize, u32)>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Step {
    Submit([u32; KEYS]),
    /// The order with this index (wrapped around) does the next thing it has to do.
    Advance(usize),
    /// A placed order is closed: its releases set out.
    Close(usize),
    /// A release arrives.
    Deliver(usize),
    Pay(usize),
    Adjust(usize, StockChange),
}

#[derive(Debug, Default)]
struct Simulation {
    stocks: [Stock; KEYS],
    orders: Vec<SimulatedOrder>,
    releases: Vec<(usize, usize, u32)>,
}

impl Simulation {
    fn run(&mut self, step: Step) {
        match step {
            Step::Submit(quantities) => {
                let lines =
                    quantities.into_iter().enumerate().filter(|(_, quantity)| *quantity > 0).collect();
                self.orders
                    .push(SimulatedOrder { lines, stage: Stage::Collecting { next: 0, parked: false } });
            }
            Step::Advance(order) => {
                if let Some(order) = self.pick(order, |stage| {
                    !matches!(stage, Stage::Refused | Stage::Placed | Stage::Paid | Stage::Closed)
                }) {
                    self.advance(order);
                }
            }
            Step::Close(order) => {
                if let Some(order) = self.pick(order, |stage| stage == Stage::Placed) {
                    self.orders[order].stage = Stage::Closed;
                    for (stock, quantity) in self.orders[order].lines.clone() {
                        self.stocks[stock].returning += u64::from(quantity);
                        self.releases.push((stock, order, quantity));
                    }
                }
            }
            Step::Deliver(release) => {
                if !self.releases.is_empty() {
                    let (stock, order, quantity) = self.releases.remove(release % self.releases.len());
                    let state = &mut self.stocks[stock];
                    state.book.release(u64::from(quantity));
                    state.oracle.change(order, Use::Reserved, None);
                    state.returning -= u64::from(quantity);
                    self.resolve(stock);
                }
            }
            Step::Pay(order) => {
                if let Some(order) = self.pick(order, |stage| stage == Stage::Placed) {
                    self.orders[order].stage = Stage::Paid;
                    for (stock, quantity) in self.orders[order].lines.clone() {
                        self.stocks[stock].book.sell(u64::from(quantity));
                        self.stocks[stock].oracle.change(order, Use::Reserved, Some(Use::Sold));
                        self.resolve(stock);
                    }
                }
            }
            Step::Adjust(stock, change) => self.adjust(stock, change),
        }
        self.check();
    }

    /// Lets everything that is under way come to its end; nothing new begins.
    fn settle_down(&mut self) {
        loop {
            let before = self.progress();
            for order in 0..self.orders.len() {
                self.advance(order);
                self.check();
            }
            self.run(Step::Deliver(0));
            if self.progress() == before {
                return;
            }
        }
    }

    fn progress(&self) -> (Vec<Stage>, usize) {
        (self.orders.iter().map(|order| order.stage).collect(), self.releases.len())
    }

    /// The first order from `start` on, wrapped around, whose stage is wanted.
    fn pick(&self, start: usize, wanted: impl Fn(Stage) -> bool) -> Option<usize> {
        let len = self.orders.len();
        (0..len).map(|index| (start % len + index) % len).find(|index| wanted(self.orders[*index].stage))
    }

    fn advance(&mut self, order: usize) {
        let SimulatedOrder { lines, stage } = &self.orders[order];
        let line = |index: usize| lines[index];
        match *stage {
            Stage::Collecting { next, parked: false } => {
                let (stock, quantity) = line(next);
                let Stock { book, oracle, returning } = &mut self.stocks[stock];
                let answer = book.hold(order, quantity, *returning);
                assert_eq!(answer, oracle.hold(order, u64::from(quantity), *returning));
                match answer {
                    HoldAnswer::Granted => self.answered(order, true),
                    HoldAnswer::Refused => self.answered(order, false),
                    HoldAnswer::Parked => self.orders[order].stage = Stage::Collecting { next, parked: true },
                }
                self.resolve(stock);
            }
            Stage::Settling { next } => {
                let (stock, quantity) = line(next);
                let last = next + 1 == lines.len();
                self.stocks[stock].book.settle(u64::from(quantity));
                self.stocks[stock].oracle.change(order, Use::Held, Some(Use::Reserved));
                self.orders[order].stage =
                    if last { Stage::Placed } else { Stage::Settling { next: next + 1 } };
                self.resolve(stock);
            }
            Stage::GivingBack { left: 0 } => self.orders[order].stage = Stage::Refused,
            Stage::GivingBack { left } => {
                let (stock, quantity) = line(left - 1);
                self.stocks[stock].book.give_back(u64::from(quantity));
                self.stocks[stock].oracle.change(order, Use::Held, None);
                self.orders[order].stage = Stage::GivingBack { left: left - 1 };
                self.resolve(stock);
            }
            Stage::Collecting { parked: true, .. }
            | Stage::Refused
            | Stage::Placed
            | Stage::Paid
            | Stage::Closed => {}
        }
    }

    fn answered(&mut self, order: usize, granted: bool) {
        let SimulatedOrder { lines, stage } = &mut self.orders[order];
        let Stage::Collecting { next, .. } = *stage else { panic!("{stage:?} was not waiting") };
        *stage = match granted {
            false => Stage::GivingBack { left: next },
            true if next + 1 == lines.len() => Stage::Settling { next: 0 },
            true => Stage::Collecting { next: next + 1, parked: false },
        };
    }

    fn resolve(&mut self, stock: usize) {
        let Stock { book, oracle, returning } = &mut self.stocks[stock];
        let mut answers = Vec::new();
        book.resolve_parked(*returning, |order, granted| answers.push((order, granted)));
        assert_eq!(answers, oracle.resolve(*returning));
        for (order, granted) in answers {
            self.answered(order, granted);
        }
    }

    fn adjust(&mut self, stock: usize, change: StockChange) {
        let Stock { book, oracle, .. } = &mut self.stocks[stock];
        let target = match change {
            StockChange::Absolute(target) => i128::from(target),
            StockChange::Relative(delta) => i128::from(oracle.total) + i128::from(delta),
            StockChange::AvailableAt { .. } => i128::from(oracle.total),
            StockChange::Transfer { units, .. } => i128::from(oracle.total) - i128::from(units),
        };
        // The oracle allows what leaves everything that is held, reserved or sold in place.
        let least = i128::from(oracle.total - oracle.available());
        match book.check_adjustment(change, 0) {
            Ok(delta) => {
                assert!((least..=i128::from(STOCK_TOTAL_MAX)).contains(&target));
                assert_eq!(i128::from(oracle.total) + i128::from(delta), target);
                book.adjust(delta);
                oracle.total = target as u64;
            }
            Err(Reject::StockBelowZero { .. }) => assert!(target < least),
            Err(reject) => {
                assert_eq!(reject, Reject::StockOverflow { total_max: STOCK_TOTAL_MAX });
                assert!(target > i128::from(STOCK_TOTAL_MAX));
            }
        }
        self.resolve(stock);
    }

    fn check(&self) {
        for Stock { book, oracle, returning } in &self.stocks {
            assert!(book.counters().balanced(), "R1");
            assert_eq!(book.counters(), oracle.counters());
            assert_eq!(book.parked_len(), oracle.waiting.len());
            // Whoever waits can still be served by what may come back: otherwise it would wait for ever.
            if let Some((_, units)) = oracle.waiting.first() {
                assert!(oracle.available() < *units, "the first in line waits although its units are there");
                assert!(oracle.sum(Use::Held) + returning > 0, "waits for nothing");
            }
        }
        for (order, SimulatedOrder { lines, stage }) in self.orders.iter().enumerate() {
            let has = |used| lines.iter().all(|(stock, _)| self.stocks[*stock].oracle.has(order) == used);
            match stage {
                Stage::Placed => assert!(has(Some(Use::Reserved)), "R2: a placed order has every line"),
                Stage::Paid => assert!(has(Some(Use::Sold)), "R2: a paid order has every line"),
                Stage::Refused => assert!(has(None), "R2: a refused order has no line"),
                Stage::Settling { .. } => assert!(
                    lines.iter().all(|(stock, _)| self.stocks[*stock].oracle.has(order).is_some()),
                    "R2: nothing is reserved before every line is held"
                ),
                Stage::Collecting { .. } | Stage::GivingBack { .. } | Stage::Closed => {}
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let quantities = prop::array::uniform3(prop_oneof![2 => Just(0), 3 => 1..4_u32])
        .prop_filter("an order has a line", |quantities| quantities.iter().any(|quantity| *quantity > 0));
    let change = prop_oneof![
        8 => (-4..6_i64).prop_map(StockChange::Relative),
        2 => (0..12_u64).prop_map(StockChange::Absolute),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(StockChange::Relative),
        1 => prop_oneof![Just(STOCK_TOTAL_MAX + 1), Just(u64::MAX)].prop_map(StockChange::Absolute),
    ];
    prop_oneof![
        6 => quantities.prop_map(Step::Submit),
        18 => any::<usize>().prop_map(Step::Advance),
        3 => any::<usize>().prop_map(Step::Close),
        3 => any::<usize>().prop_map(Step::Deliver),
        1 => any::<usize>().prop_map(Step::Pay),
        2 => (0..KEYS, change).prop_map(|(stock, change)| Step::Adjust(stock, change)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_interleavings_keep_the_stock_rules_and_leave_nobody_waiting(
        totals in prop::array::uniform3(0..10_u64),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut simulation = Simulation::default();
        for (stock, total) in totals.into_iter().enumerate() {
            simulation.run(Step::Adjust(stock, StockChange::Absolute(total)));
        }
        for step in steps {
            simulation.run(step);
        }
        simulation.settle_down();
        for Stock { book, returning, .. } in &simulation.stocks {
            prop_assert!(book.is_quiet(), "somebody waits, or units are still held: {:?}", book);
            prop_assert_eq!(*returning, 0);
        }
        for order in &simulation.orders {
            let ended = matches!(order.stage, Stage::Refused | Stage::Placed | Stage::Paid | Stage::Closed);
            prop_assert!(ended, "{:?} never got its answer", order);
        }
    }
}

/// The protocol's heart, step by step: a request parks while units are held, and the outcome decides.
#[test]
fn a_request_waits_for_held_units_and_is_refused_once_they_settle() {
    let mut book = HoldBook::default();
    book.adjust(1);
    assert_eq!(book.hold("first", 1, 0), HoldAnswer::Granted);
    assert_eq!(book.hold("second", 1, 0), HoldAnswer::Parked);
    assert_eq!(book.hold("third", 2, 0), HoldAnswer::Refused, "two units could never come back");
    book.resolve_parked(0, |waiter, _| panic!("{waiter} has to wait"));
    book.settle(1);
    let mut answers = Vec::new();
    book.resolve_parked(0, |waiter, granted| answers.push((waiter, granted)));
    assert_eq!(answers, [("second", false)]);
}

/// Units on their way back count, even before their message has arrived, and a later small request doesn't overtake.
#[test]
fn a_request_waits_for_returning_units_and_nobody_overtakes() {
    let mut book = HoldBook::default();
    book.adjust(3);
    assert_eq!(book.hold("first", 2, 0), HoldAnswer::Granted);
    book.settle(2);
    assert_eq!(book.hold("large", 3, 2), HoldAnswer::Parked);
    assert_eq!(book.hold("small", 1, 2), HoldAnswer::Parked, "one is there, but somebody waits for it");
    book.release(2);
    let mut answers = Vec::new();
    book.resolve_parked(0, |waiter, granted| answers.push((waiter, granted)));
    assert_eq!(answers, [("large", true)]);
    book.give_back(3);
    book.resolve_parked(0, |waiter, granted| answers.push((waiter, granted)));
    assert_eq!(answers, [("large", true), ("small", true)]);
}

#[test]
#[should_panic(expected = "R1")]
fn selling_more_than_is_reserved_is_a_bug() {
    let mut book: HoldBook<()> = HoldBook::default();
    book.adjust(1);
    book.sell(1);
}
