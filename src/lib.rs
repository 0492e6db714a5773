//! Stockade: an order core for flash sales.
//!
//! One process takes orders, reserves their stock, waits for their payment and closes those that are not paid. It never
//! sells a unit twice and never loses an order that it has acknowledged. State lives in memory, each piece of it owned
//! by one actor; every change is an event in a write-ahead log on disk before anybody hears of it. There is no Redis, no
//! message queue and no cron job beside it.
//!
//! # Quick start
//!
//! ```
//! use stockade::{
//!     Config, Durability, Engine, Money, Payment, PaymentResult, Sku, StockAdjustment, StockChange, StockKey,
//!     SubmitOrder,
//! };
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // In memory, for a trial. `Config::new("shop-data")` alone keeps everything in that directory, and answers
//!     // only when the answer survives a power cut.
//!     let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
//!
//!     // Something to sell: SKU 42 at 199.00, at most two for each member, a hundred in stock.
//!     let tea = Sku {
//!         id: 42.into(),
//!         product_id: 7.into(),
//!         code: "TEA-50".into(),
//!         title: "Green tea, 50 g".into(),
//!         price: Money::from_minor(19_900),
//!         on_sale: true,
//!         limit_per_member: 2,
//!     };
//!     engine.put_sku(tea).await?;
//!     let key = StockKey::normal(42.into());
//!     let delivery = StockAdjustment { id: 1.into(), key, change: StockChange::Relative(100) };
//!     engine.adjust_stock(delivery).await?;
//!
//!     // Member 7 orders one. 1001 is the client's name for the request: sent again, it gives the same receipt.
//!     let receipt = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
//!
//!     // The payment provider reports the money, perhaps more than once.
//!     let payment = Payment {
//!         order: receipt.order_no.into(),
//!         channel: "wechat".into(),
//!         merchant: "shop-1".into(),
//!         transaction_id: "4200001".into(),
//!         amount: receipt.pay_amount,
//!     };
//!     let outcome = engine.pay(payment).await?;
//!     assert_eq!(outcome.result, PaymentResult::Paid);
//!
//!     let stock = engine.stock(key).await?;
//!     assert_eq!((stock.available, stock.sold), (99, 1));
//!     engine.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! Every method of [`Engine`] carries an example of its own.
//!
//! # Modules
//!
//! | module | what it holds |
//! |---|---|
//! | the root | what an embedding program needs: [`Engine`], [`Config`], requests, answers, [`Reject`] |
//! | [`domain`] | pure: ids, money, catalogue, stock counters and hold protocol, order state machine, events, rejects |
//! | [`timer`] | pure: the hierarchical timing wheel |
//! | [`runtime`] | batched inbox and doorbell, credits, clock, request filter, gate, histograms; knows no orders |
//! | [`journal`] | the write-ahead log: entries, frames, writer thread, sled and memory backends |
//! | [`audit`] | the independent auditor behind `stockade verify` |
//! | `http` | the HTTP adapter, with the feature of that name |
//! | [`ops`] | inspecting, backing up and exporting a data directory |
//! | `actors` (private) | stock and order actors, the delay queue: drain, decide, append, then perform |
//! | `engine` (private) | wiring, recovery, front door, metrics, the public API |
//!
//! `docs/ARCHITECTURE.md` in the repository follows an order through all of them, and defines the rules R1 to R14 that
//! the documentation refers to. `docs/DURABILITY.md` says what each [`Durability`] survives.
// What the index alone uses of the store and of itself. A build with all features finds what nobody uses.
#![cfg_attr(not(feature = "search"), allow(dead_code))]

mod actors;
pub mod audit;
pub mod domain;
mod engine;
#[doc(hidden)]
pub mod examples;
#[cfg(feature = "http")]
pub mod http;
pub mod journal;
#[cfg(any(feature = "http", feature = "relay", feature = "search"))]
pub mod personal;
pub(crate) mod projection;
#[cfg(feature = "relay")]
pub mod relay;
pub mod runtime;
pub mod timer;

pub use actors::order::coupons::IssueOutcome;
pub use actors::order::{PaymentOutcome, PaymentResult, RefundCursor};
pub use actors::reply::{ImportOutcome, PaymentAttempt, Receipt, RefundReceipt};
pub use domain::activity::{Activity, ActivityItem, ActivityKind, TeamTerms};
pub use domain::catalogue::Sku;
pub use domain::coupon::{COUPONS_PER_MEMBER_MAX, CouponEvent, CouponState, CouponStep};
pub use domain::event::Event;
pub use domain::ids::{
    ActivityId, AdjustmentId, CouponId, CouponTermsId, FreightId, ImportId, LocationId, MemberId, OrderNo,
    PaymentId, Pool, Position, ProductId, RequestId, SkuId, Slot, StockKey, TeamId,
};
pub use domain::import::{ImportedLimit, ImportedLine, ImportedOrder};
pub use domain::money::Money;
pub use domain::operator::{NewAct, OperatorAct};
pub use domain::order::{
    Attempt, CloseReason, OrderEvent, OrderStatus, OrderTerms, PayNo, RefundReason, SpentCoupon,
    TimelineEntry,
};
pub use domain::order_type::OrderType;
pub use domain::pricing::{
    BroughtLine, BroughtPrices, CouponBenefit, CouponScope, CouponTerms, CouponUse, FreightCharge,
    FreightRule, FreightTemplate, LineRefund, OrderTypes, PriceChange, Quote, QuotedLine,
};
pub use domain::refund::{Refund, RefundBy, RefundCause, RefundLine, RefundNo, RefundState, RefundStep};
pub use domain::reject::{Reject, Retry};
pub use domain::request::{
    Caller, OrderLine, OrderRef, Payment, Personal, Shipment, StockAdjustment, StockChange, SubmitOrder,
    TeamChoice,
};
pub use domain::setting::{Origin, SaleControl, SkuShipping};
pub use domain::statement::{
    Account, AccountStatement, BillEntry, BillKind, Day, Difference, Movement, MovementKind, Reconciliation,
    Standing, Statement, Sum, Totals, UtcOffset,
};
pub use domain::stock::StockCounters;
pub use domain::task::{
    AckOutcome, DeadCause, DeadCursor, DeadLetter, DiscardOutcome, ExtendOutcome, NackOutcome, NewTask,
    ParseReservationError, PopOutcome, PushOutcome, RemoveOutcome, RequeueOutcome, RescheduleOutcome,
    ReservationId, ReserveOutcome, Reserved, TASK_BODY_BYTES_MAX, TASK_DELAY_MS_MAX, TASK_ID_BYTES_MAX,
    TOPIC_BYTES_MAX, Task, TaskEvent, TaskId, TopicName, TopicStats,
};
pub use domain::team::{TeamEvent, TeamState};
pub use engine::ops;
pub use engine::{
    ACTS_PAGE_LEN_MAX, ActFilter, ActPage, ActsPage, BackupError, BackupReport, Config, ConfigError,
    CouponView, DEAD_LETTERS_PAGE_MAX, DESK_PAGE_LEN_MAX, DelayQueue, DeskAnswer, DeskPage, DeskSequence,
    Engine, EventStream, Failure, Health, ImportReceipt, IssueReceipt, LineView, MOVEMENT_PAGE_LEN_MAX,
    MemberFilter, Metrics, MovementCursor, MovementPage, ORDER_ACTORS_MAX, OpenError, OrderCounts,
    OrderFilter, OrderPage, OrderView, PAGE_LEN_MAX, PackageView, Page, ParseMovementCursorError, Preview,
    Promise, REFUNDS_PAGE_LEN_MAX, RecordedAct, RefundFilter, RefundPage, RefundRequest, ReindexProgress,
    SEARCH_PAGE_LEN_MAX, SUBMISSION_WAIT_MS_MAX, Search, SearchAnswer, SearchConfig, SearchCounts,
    SearchFigures, SearchMode, SearchSource, ShipPackage, ShutdownError, StateHash, StatementError,
    Submission, SubscribeError, TASK_BATCH_BYTES_MAX, TASK_WAIT_MS_MAX, TeamView,
};
#[cfg(feature = "relay")]
pub use engine::{Relay, RelayStream};
pub use journal::{Durability, RecordedEvent};
pub use runtime::histogram::Histogram;
