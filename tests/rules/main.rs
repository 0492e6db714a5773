//! The rules that hold, each shown by name on a whole engine: `docs/ARCHITECTURE.md` numbers them R1 to R14.
//!
//! Every test runs by a manual clock, and on a journal that can be made to fail, to stall, or to lose its power.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod after_sale;
mod async_submit;
mod backup;
mod backup_under_load;
mod bad_input;
mod clock;
mod coupons;
mod coupons_store;
mod data_dir;
mod delay_queue;
mod delay_queue_races;
mod delay_queue_store;
mod desk;
mod everything;
mod export_command;
mod figures;
mod import;
mod import_command;
mod inspect_command;
mod limits;
mod operators;
mod payments;
mod prices;
mod r10_late_money;
mod r11_subscriptions;
mod r12_bounds;
mod r13_fail_stop;
mod r14_own_only;
mod r1_no_oversell;
mod r2_all_or_nothing;
mod r3_no_false_sold_out;
mod r4_acknowledgement;
mod r5_causal_prefix;
mod r6_one_entry;
mod r7_replay;
mod r8_once;
mod r9_deadlines;
mod reconcile_command;
mod refund_work_list;
#[cfg(feature = "search")]
mod reindex_command;
#[cfg(feature = "relay")]
mod relay_consumer;
#[cfg(feature = "relay")]
mod relay_crash;
#[cfg(feature = "relay")]
mod relay_dead;
#[cfg(feature = "relay")]
mod relay_down;
#[cfg(feature = "relay")]
mod relay_end_to_end;
#[cfg(feature = "relay")]
mod relay_lag;
#[cfg(feature = "relay")]
mod relay_manage;
#[cfg(feature = "relay")]
mod relay_nats;
#[cfg(feature = "relay")]
mod relay_order;
#[cfg(feature = "relay")]
mod relay_pull;
#[cfg(feature = "relay")]
mod relay_rabbit;
#[cfg(feature = "relay")]
mod relay_sinks;
#[cfg(feature = "relay")]
mod relay_support;
mod sale_controls;
mod search;
mod search_filters;
#[cfg(feature = "search")]
mod search_index;
mod search_own;
mod search_pages;
mod sessions;
mod shipping;
mod statement;
mod store;
mod support;
mod teams;
mod upgrade;
mod verify_command;
