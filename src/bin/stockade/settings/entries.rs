//! All configuration keys, in the order in which they are printed.

use super::schema::{Entry, Kind};

const SWITCH: Kind = Kind::Bool;
const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 366 * 24 * HOUR_MS;
/// No bound but that of the number.
const ANY: i64 = i64::MAX;
/// Most bytes, where only the machine bounds them.
const BYTES: i64 = 1 << 44;
/// Most bits of the filter and most refusals.
const POWER: Kind = Kind::PowerOfTwo { min: 2_048, max: 1 << 36 };

/// The keys.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::new(
        "server.listen",
        Kind::Address,
        "Address and port to listen at. TLS is the proxy's before it.",
    ),
    Entry::int(
        "server.connections_max",
        "connections",
        (1, 1_000_000),
        "Most connections at a time; one more is answered 503.",
    )
    .live(),
    Entry::int(
        "server.header_timeout_ms",
        "ms",
        (1, HOUR_MS),
        "How long a request's head may take to arrive.",
    )
    .live(),
    Entry::int(
        "server.request_timeout_ms",
        "ms",
        (1, HOUR_MS),
        "How long a request's body may take to arrive, and its answer to be read; streams are \
             exempt.",
    )
    .live(),
    Entry::int(
        "server.idle_timeout_ms",
        "ms",
        (1, HOUR_MS),
        "How long a client may do nothing, between requests or in the middle of one, streams \
             included.",
    )
    .live(),
    Entry::int("server.head_bytes_max", "bytes", (8_192, 1 << 20), "Most bytes of a request's head.").live(),
    Entry::int(
        "server.body_bytes_max",
        "bytes",
        (1_024, 256 << 10),
        "Most bytes of a JSON body; batches and streams have bounds of their own.",
    )
    .live(),
    Entry::int("server.drain_ms_max", "ms", (0, 600_000), "How long the end waits for requests in flight.")
        .live(),
    Entry::int(
        "server.in_flight_max",
        "requests",
        (1, 1_000_000),
        "Most requests in flight; one more is answered 503.",
    )
    .live(),
    Entry::int(
        "server.in_flight_reserve",
        "requests",
        (1, 1_000_000),
        "Requests in flight beyond that for callbacks, health and administration.",
    )
    .live(),
    Entry::int(
        "server.refusal_delay_ms",
        "ms",
        (0, 10_000),
        "How long the answer waits that refuses a request for load: so a client that doesn't heed \
             Retry-After asks no more often.",
    )
    .live(),
    Entry::new(
        "server.trusted_proxies",
        Kind::Networks { len_max: 256 },
        "Networks of proxies whose X-Forwarded-For is believed.",
    )
    .live(),
    Entry::new(
        "server.cors_origins",
        Kind::Origins { len_max: 64 },
        "Origins whose pages may call from a browser.",
    ),
    Entry::int(
        "limits.per_member_per_s",
        "requests/s",
        (0, 1_000_000),
        "Requests of one member; 0 for no limit.",
    )
    .live(),
    Entry::int(
        "limits.per_member_burst",
        "requests",
        (1, 1_000_000),
        "Requests that a member may make at once after a pause.",
    )
    .live(),
    Entry::int(
        "limits.per_address_per_s",
        "requests/s",
        (0, 1_000_000),
        "Requests from one IPv4 address or IPv6 network of 64 bits; 0 for no limit.",
    )
    .live(),
    Entry::int(
        "limits.per_address_burst",
        "requests",
        (1, 1_000_000),
        "Requests that may come from an address at once after a pause.",
    )
    .live(),
    Entry::int(
        "limits.members_max",
        "members",
        (8, 1 << 24),
        "Members told apart at a time, 24 bytes each; beyond it newcomers share a bucket.",
    )
    .live(),
    Entry::int(
        "limits.addresses_max",
        "addresses",
        (8, 1 << 24),
        "Addresses told apart at a time, 24 bytes each; beyond it newcomers share a bucket.",
    )
    .live(),
    Entry::new(
        "limits.exempt_networks",
        Kind::Networks { len_max: 256 },
        "Networks that no limit by address holds for.",
    )
    .live(),
    Entry::new(
        "auth.keys",
        Kind::Own,
        "Keys that tokens are verified with, at most 16, as [{ kid = \"a\", alg = \"HS256\", \
             secret = { file = \"/etc/stockade/a.key\" } }]; alg may be RS256 or EdDSA with \
             public_key_file. Without one the server starts for --demo alone.",
    )
    .live(),
    Entry::new("auth.issuer", Kind::Text, "Who must have issued a token (iss).").live(),
    Entry::new("auth.audience", Kind::Text, "Whom a token must be meant for (aud).").live(),
    Entry::int("auth.leeway_ms", "ms", (0, 120_000), "How far the issuer's clock may be from ours.").live(),
    Entry::int(
        "auth.tokens_cached_max",
        "tokens",
        (0, 1 << 20),
        "How many verified tokens are remembered; 0 for none.",
    )
    .live(),
    Entry::new(
        "tickets.keys",
        Kind::Own,
        "Keys that sale tickets are signed with, at most 16, as [{ id = 1, secret = { file = \
             \"/etc/stockade/ticket.key\" } }].",
    )
    .live(),
    Entry::new(
        "tickets.required_for",
        Kind::Own,
        "Activities whose orders need a ticket: \"all\", \"none\" or a list of ids.",
    )
    .live(),
    Entry::int(
        "tickets.tickets_max",
        "tickets",
        (1, 1 << 24),
        "Most used tickets that are remembered; more are refused.",
    )
    .live(),
    Entry::int(
        "tickets.lifetime_ms_max",
        "ms",
        (1, 604_800_000),
        "A ticket that expires later than this from now is refused.",
    )
    .live(),
    Entry::new(
        "admin.backup_root",
        Kind::Text,
        "The directory that backups over HTTP are made in; without one, none are made.",
    ),
    Entry::int(
        "observe.refusals_kept",
        "refusals",
        (8, 1 << 24),
        "Recent refusals that are kept, about 200 bytes each.",
    ),
    Entry::int(
        "observe.request_log_per_s_max",
        "lines/s",
        (0, 1_000_000),
        "Most requests that are logged at level info or above; the others are counted.",
    ),
    Entry::new(
        "callback.generic",
        Kind::Own,
        "Payment providers that sign in the generic way, as [{ name = \"pay\", secrets = [{ file \
             = \"/etc/stockade/pay.key\" }] }].",
    )
    .live(),
    Entry::new(
        "callback.wechat",
        Kind::Own,
        "WeChat Pay, one for each merchant: name, channel, mchid, api_v3_key, public_keys.",
    )
    .live(),
    Entry::new(
        "engine.data_dir",
        Kind::Text,
        "Directory of the data, made if it is absent. One process at a time owns it.",
    ),
    Entry::new(
        "engine.durability",
        Kind::Durability,
        "When a write is acknowledged: \"synced\", once it survives a power cut; { buffered_ms = \
             N }, with at most N ms at risk on a power cut; \"memory\", with nothing kept.",
    ),
    Entry::int("engine.order_actors", "actors", (0, 256), "Order actors; 0 for one per core."),
    Entry::int(
        "engine.in_flight_max",
        "commands",
        (1, 1 << 24),
        "Most commands and questions under way in the engine; beyond it they are refused as \
             overloaded.",
    ),
    Entry::int(
        "engine.expiry_in_flight_max",
        "closes",
        (1, 1 << 24),
        "Most closes by timer, per order actor, that are not durable yet.",
    ),
    Entry::int(
        "engine.waiters_max",
        "callers",
        (1, 65_536),
        "Most callers waiting for one request id, one order, one payment or one member's limit.",
    ),
    Entry::int(
        "engine.promises_max",
        "submits",
        (1, 1 << 24),
        "Most asynchronous submits whose outcome is kept, some 200 bytes each.",
    ),
    Entry::int(
        "engine.auto_close_normal_ms",
        "ms",
        (1, u32::MAX as i64),
        "How long an everyday order may stay unpaid.",
    ),
    Entry::int(
        "engine.auto_close_seckill_ms",
        "ms",
        (1, u32::MAX as i64),
        "How long a seckill order may stay unpaid.",
    ),
    Entry::int(
        "engine.auto_close_group_buy_ms",
        "ms",
        (1, u32::MAX as i64),
        "How long a group-buy order may stay unpaid.",
    ),
    Entry::int(
        "engine.payment_grace_ms",
        "ms",
        (0, YEAR_MS),
        "How far a started payment moves its order's deadline, once.",
    ),
    Entry::int(
        "engine.auto_confirm_ms",
        "ms",
        (1, YEAR_MS),
        "How long after its last package an order counts as received.",
    ),
    Entry::int(
        "engine.after_sale_window_ms",
        "ms",
        (0, YEAR_MS),
        "For how long after its completion refunds of an order may be applied for.",
    ),
    Entry::int(
        "engine.recovery_grace_ms",
        "ms",
        (0, YEAR_MS),
        "How long after a restart overdue orders wait for their payments before they are closed.",
    ),
    Entry::int(
        "engine.idempotency_window_ms",
        "ms",
        (1, YEAR_MS),
        "For how long, at least, a request id is known.",
    ),
    Entry {
        path: "engine.request_filter_bits",
        unit: "bits",
        kind: POWER,
        doc: "Size of each of the two generations of the request filter.",
        is_live: false,
    },
    Entry {
        path: "engine.refusals_kept",
        unit: "refusals",
        kind: POWER,
        doc: "How many recent refusals are remembered, 8 bytes each.",
        is_live: false,
    },
    Entry::int(
        "engine.stock_idle_ms",
        "ms",
        (1, YEAR_MS),
        "After how long without work a stock actor goes to rest.",
    ),
    Entry::int(
        "engine.disk_free_min_bytes",
        "bytes",
        (0, BYTES),
        "Free disk space below which new orders are refused.",
    ),
    Entry::int(
        "engine.ballast_bytes",
        "bytes",
        (0, BYTES),
        "Size of the file that can be deleted to make room for a restart on a full disk.",
    ),
    Entry::int(
        "engine.journal_queue_bytes_max",
        "bytes",
        (1, BYTES),
        "Most bytes handed to the journal and not written yet.",
    ),
    Entry::int(
        "engine.memory_journal_bytes_max",
        "bytes",
        (0, BYTES),
        "Most bytes of events that durability \"memory\" keeps for subscribers.",
    ),
    Entry::int(
        "engine.clock_step_max_ms",
        "ms",
        (1, YEAR_MS),
        "Difference between wall clock and engine clock that is not followed without a command.",
    ),
    Entry::int("engine.tick_ms", "ms", (1, 1_000), "How often timers are looked at."),
    Entry::new(
        "engine.store",
        SWITCH,
        "Whether there is a store beside the journal: without one every order stays in memory.",
    ),
    Entry::int("engine.store_cache_bytes", "bytes", (0, BYTES), "Memory for the store's cache."),
    Entry::int(
        "engine.checkpoint_interval_ms",
        "ms",
        (1, HOUR_MS),
        "How often the store takes in what has become durable.",
    ),
    Entry::int(
        "engine.checkpoint_events_max",
        "events",
        (1, 1 << 20),
        "Most events that one checkpoint takes in.",
    ),
    Entry::int(
        "engine.retain_closed_ms",
        "ms",
        (1_000, YEAR_MS),
        "How long a completed or cancelled order stays in memory.",
    ),
    Entry::int(
        "engine.idempotency_hot_max",
        "orders",
        (0, ANY),
        "Most completed and cancelled orders that stay in memory for that long.",
    ),
    Entry::int(
        "engine.payment_window_ms",
        "ms",
        (1, 10 * YEAR_MS),
        "For how long, at least, a payment id is known.",
    ),
    Entry::int(
        "engine.journal_keep_min_bytes",
        "bytes",
        (0, BYTES),
        "Bytes of journal that stay for inspection, although the store has taken them in.",
    ),
    Entry::int(
        "engine.archive_after_ms",
        "ms",
        (0, 10 * YEAR_MS),
        "How long after its last event a closed order moves to a cold file, at least \
             idempotency_window_ms; 0 for never.",
    ),
    Entry::new(
        "engine.control_socket",
        SWITCH,
        "Whether the engine listens on a unix socket in its data directory, for stockade inspect \
             and stockade backup.",
    ),
    Entry::int(
        "engine.tasks_max",
        "tasks",
        (1, 1_000_000_000),
        "Most live tasks of the delay queue, dead letters included.",
    ),
    Entry::int("engine.task_topics_max", "topics", (1, 1_000_000), "Most topics that have tasks."),
    Entry::int("engine.task_bytes_max", "bytes", (1, BYTES), "Most bytes of ids and bodies of live tasks."),
    Entry::int(
        "engine.task_batch_max",
        "tasks",
        (1, 65_536),
        "Most tasks that one call pushes, pops or reserves.",
    ),
    Entry::int(
        "engine.task_waiters_max",
        "callers",
        (1, 65_536),
        "Most callers waiting for a task of one topic.",
    ),
    Entry::int(
        "engine.task_attempts_max",
        "attempts",
        (1, 65_535),
        "How often a task may be reserved that doesn't say so itself.",
    ),
    Entry::int(
        "engine.task_visibility_ms_max",
        "ms",
        (1, YEAR_MS),
        "Longest time that a task may be reserved for.",
    ),
    Entry::int("engine.task_dead_letters_max", "tasks", (1, 10_000_000), "Most dead letters of one topic."),
    Entry::new(
        "search.mode",
        Kind::Choice(&["fallback", "on", "off"]),
        "Where order searches are answered from: \"fallback\", from the index, and from the store where the index fails or \
             is too far behind; \"on\", from the index alone; \"off\", from the store, without an index. An engine without \
             a store has no search.",
    )
    .live(),
    Entry::int(
        "search.max_lag_ms",
        "ms",
        (1, HOUR_MS),
        "How far the index may be behind before the store answers, or searches are refused.",
    )
    .live(),
    Entry::int(
        "search.refresh_ms",
        "ms",
        (10, 10_000),
        "How often what the index has taken in becomes searchable.",
    ),
    Entry::int(
        "search.memory_bytes",
        "bytes",
        (15 << 20, 4 << 30),
        "Memory for documents that are not written yet.",
    ),
    Entry::int(
        "search.lag_bytes_max",
        "bytes",
        (1 << 20, 1 << 40),
        "Most journal that is kept for an index that is behind; beyond it the index is built anew from the store.",
    ),
    #[cfg(feature = "relay")]
    Entry::new(
        "relay.subscriptions",
        Kind::Own,
        "Subscriptions that carry events to other systems, at most 64, as [relay.subscriptions.erp] with events, sink, \
             retry, in_flight_max, lag_bytes_max, dead_letters_max, snapshot and personal; a sink's password and secret are \
             { file = \"…\" } or { env = \"…\" }. docs/RELAY.md has all of them.",
    )
    .live(),
    Entry::new(
        "log.level",
        Kind::Text,
        "What is logged: error, warn, info, debug or trace, also per module, as \
             \"info,stockade::http=debug\".",
    )
    .live(),
    Entry::new("log.format", Kind::Choice(&["text", "json"]), "How it is written, to standard error."),
];
