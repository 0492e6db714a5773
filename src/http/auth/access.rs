//! Who may call what: one table for every route, and the few rules that a route alone can't tell.
//!
//! What isn't in the table is denied: a route that was forgotten here answers nobody, rather than everybody. Whether an
//! order belongs to the member who asks for it is the handler's question, since only it knows the order.

use std::fmt;

use super::principal::{Principal, Scope, Scopes};
use crate::SaleControl;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A signature over the body, which the handler verifies: notifications of payment providers.
    Signed,
    /// A member.
    Member,
    /// A service of the shop. It doesn't act where a member does: on behalf of members it uses `/gateway`, where it
    /// names the member, so that no token opens both doors.
    Service,
    /// A service with a scope for a subscription of the relay; which one, [`may_poll`] asks.
    Relay,
    /// Somebody in the back office with any one of these scopes.
    Admin(Scopes),
    /// A service, as which a scraper comes, or somebody in the back office whatever their scopes.
    Metrics,
}

/// Why a caller may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody has said who they are.
    #[error("a token is needed")]
    Unauthenticated,
    /// They are somebody else than is needed.
    #[error("the token is not that of {needs}")]
    Forbidden {
        /// What is needed.
        needs: Access,
    },
}

impl Denied {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "token_missing",
            Self::Forbidden { .. } => "forbidden",
        }
    }
}

/// Who may, as part of a sentence.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public | Self::Signed => f.write_str("anybody in particular"),
            Self::Member => f.write_str("a member"),
            Self::Service => f.write_str("a service"),
            Self::Relay => f.write_str("a service with a scope relay:<name> for the subscription"),
            Self::Admin(scopes) => write!(f, "an operator with one of the scopes {scopes}"),
            Self::Metrics => f.write_str("a service or an operator"),
        }
    }
}

impl Access {
    /// Whether this caller may.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] if a caller is needed and there is none, [`Denied::Forbidden`] if it needs another.
    pub fn allows(&self, caller: Option<&Principal>) -> Result<(), Denied> {
        if matches!(self, Self::Public | Self::Signed) {
            return Ok(());
        }
        let caller = caller.ok_or(Denied::Unauthenticated)?;
        let may = match self {
            Self::Public | Self::Signed => true,
            Self::Member => matches!(caller, Principal::Member(_)),
            Self::Service => matches!(caller, Principal::Service { .. }),
            Self::Relay => matches!(caller, Principal::Service { relays, .. } if !relays.is_empty()),
            Self::Admin(any_of) => caller.scopes().meets(*any_of),
            Self::Metrics => matches!(caller, Principal::Service { .. } | Principal::Admin { .. }),
        };
        if may { Ok(()) } else { Err(Denied::Forbidden { needs: *self }) }
    }
}

/// How many orders an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One, which the caller named.
    One,
    /// A list, batch or export.
    Many,
}

/// Whether a back-office caller may have personal data shown in full (`?reveal=true`).
///
/// Those who talk with one member or pack one parcel may see the one order they work at; a list in full is a copy of
/// the member base, and for `security` alone. A member's own order is not asked about here.
///
/// # Errors
/// [`Denied`], with the scopes that would do.
pub fn may_reveal(caller: Option<&Principal>, shown: Shown) -> Result<(), Denied> {
    match shown {
        Shown::One => Access::Admin(Scopes::of(&[Scope::Support, Scope::Warehouse, Scope::Security])),
        Shown::Many => Access::Admin(Scopes::of(&[Scope::Security])),
    }
    .allows(caller)
}

/// Whether a back-office caller may put this switch: `operations` puts every one, `security` blocks members and lifts
/// their blocks. The table lets both to the route; this is the rest of the rule.
///
/// # Errors
/// [`Denied`], with the scopes that would do.
pub fn may_switch(caller: Option<&Principal>, control: &SaleControl) -> Result<(), Denied> {
    match control {
        SaleControl::MemberBlocked { .. } => Access::Admin(Scopes::of(&[Scope::Operations, Scope::Security])),
        SaleControl::AllPaused { .. }
        | SaleControl::SkuPaused { .. }
        | SaleControl::ActivityPaused { .. }
        | SaleControl::SafetyStock { .. } => OPERATIONS,
    }
    .allows(caller)
}

/// Whether a caller may poll and acknowledge this subscription of the relay: services that have a scope for it.
///
/// # Errors
/// [`Denied`], whether there is such a subscription or not.
pub fn may_poll(caller: Option<&Principal>, subscription: &str) -> Result<(), Denied> {
    match caller.ok_or(Denied::Unauthenticated)? {
        Principal::Service { relays, .. } if relays.has(subscription) => Ok(()),
        _ => Err(Denied::Forbidden { needs: Access::Relay }),
    }
}

/// Whether a back-office caller may send personal data in full to another system, or messages to an address within the
/// shop's own networks: the first is a copy of the member base, the second a way around its walls.
///
/// # Errors
/// [`Denied`], with the scopes that would do.
pub fn may_open_wide(caller: Option<&Principal>) -> Result<(), Denied> {
    Access::Admin(Scopes::of(&[Scope::Security])).allows(caller)
}

/// What a route asks for, by method and the path as the router has it; `None` for a route that isn't in the table,
/// which nobody may call. `HEAD` is asked as `GET`.
pub fn of(method: &str, matched_path: &str) -> Option<&'static Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    index_of(method, matched_path).map(|index| &ROUTES[index].2)
}

/// Where a route stands in [`ROUTES`].
pub fn index_of(method: &str, matched_path: &str) -> Option<usize> {
    // About a hundred comparisons of lengths; the routes of a sale stand first, so that theirs are few.
    ROUTES.iter().position(|(routed, path, _)| *path == matched_path && *routed == method)
}

/// Whether the table has the path, with whatever method.
pub fn knows(matched_path: &str) -> bool {
    ROUTES.iter().any(|(_, path, _)| *path == matched_path)
}

const fn admin(any_of: &[Scope]) -> Access {
    Access::Admin(Scopes::of(any_of))
}

const OPERATIONS: Access = admin(&[Scope::Operations]);
const WAREHOUSE: Access = admin(&[Scope::Warehouse]);
const FINANCE: Access = admin(&[Scope::Finance]);
/// Everybody who works with orders.
const ORDERS: Access =
    admin(&[Scope::Support, Scope::Warehouse, Scope::Operations, Scope::Finance, Scope::Auditor]);
const MONEY: Access = admin(&[Scope::Support, Scope::Finance, Scope::Auditor]);
const STOCK: Access = admin(&[Scope::Warehouse, Scope::Operations]);
const SALES_READ: Access = admin(&[Scope::Operations, Scope::Auditor]);
const SWITCHES: Access = admin(&[Scope::Operations, Scope::Security]);

/// Every route: method, path as the router has it, and who may call it.
pub const ROUTES: &[(&str, &str, Access)] = &[
    // A member's orders.
    ("POST", "/api/order/submit", Access::Member),
    ("GET", "/api/order/result", Access::Member),
    ("GET", "/api/stock/{sku_id}", Access::Public),
    ("GET", "/api/time", Access::Public),
    ("POST", "/api/order/{order_no}/pay", Access::Member),
    ("POST", "/api/order/preview", Access::Member),
    ("GET", "/api/order/list", Access::Member),
    ("GET", "/api/order/{order_no}", Access::Member),
    ("POST", "/api/order/{order_no}/cancel", Access::Member),
    ("POST", "/api/order/{order_no}/confirm", Access::Member),
    ("POST", "/api/order/{order_no}/address", Access::Member),
    ("POST", "/api/order/{order_no}/refund", Access::Member),
    ("POST", "/api/refund/{refund_no}/withdraw", Access::Member),
    ("GET", "/api/refund/{refund_no}", Access::Member),
    ("GET", "/api/coupons", Access::Member),
    ("GET", "/api/team/{id}", Access::Member),
    // For everybody.
    ("GET", "/api/activities", Access::Public),
    ("GET", "/openapi.json", Access::Public),
    ("GET", "/docs", Access::Public),
    ("GET", "/docs/", Access::Public),
    ("GET", "/docs/{*rest}", Access::Public),
    ("GET", "/healthz", Access::Public),
    ("GET", "/readyz", Access::Public),
    ("GET", "/metrics", Access::Metrics),
    // Payment providers.
    ("POST", "/callback/payment", Access::Signed),
    ("POST", "/callback/payment/{provider}", Access::Signed),
    // The shop's services.
    ("POST", "/gateway/orders", Access::Service),
    ("POST", "/gateway/delay/{topic}/push", Access::Service),
    ("POST", "/gateway/delay/{topic}/push_batch", Access::Service),
    ("POST", "/gateway/delay/{topic}/pop", Access::Service),
    ("POST", "/gateway/delay/{topic}/bpop", Access::Service),
    ("POST", "/gateway/delay/{topic}/remove", Access::Service),
    ("POST", "/gateway/delay/{topic}/reschedule", Access::Service),
    ("POST", "/gateway/delay/{topic}/reserve", Access::Service),
    ("POST", "/gateway/delay/{topic}/ack", Access::Service),
    ("POST", "/gateway/delay/{topic}/nack", Access::Service),
    ("POST", "/gateway/delay/{topic}/extend", Access::Service),
    ("GET", "/gateway/delay/{topic}/stats", Access::Service),
    #[cfg(feature = "relay")]
    ("GET", "/gateway/events/{name}", Access::Relay),
    #[cfg(feature = "relay")]
    ("POST", "/gateway/events/{name}/ack", Access::Relay),
    // The back office: orders.
    ("GET", "/admin/order", ORDERS),
    ("GET", "/admin/order/{order_no}", ORDERS),
    ("POST", "/admin/order/{order_no}/ship", WAREHOUSE),
    ("POST", "/admin/order/{order_no}/cancel", admin(&[Scope::Support, Scope::Operations])),
    ("POST", "/admin/order/{order_no}/remark", admin(&[Scope::Support, Scope::Warehouse, Scope::Operations])),
    ("POST", "/admin/order/{order_no}/price", admin(&[Scope::Operations, Scope::Finance])),
    ("POST", "/admin/order/{order_no}/address", admin(&[Scope::Support])),
    ("POST", "/admin/orders/batch_get", ORDERS),
    ("POST", "/admin/orders/batch_ship", WAREHOUSE),
    ("POST", "/admin/order/export", admin(&[Scope::Operations, Scope::Finance, Scope::Auditor])),
    // Refunds and payments.
    ("GET", "/admin/refunds", MONEY),
    ("POST", "/admin/refunds/{refund_no}/approve", admin(&[Scope::Support, Scope::Finance])),
    ("POST", "/admin/refunds/{refund_no}/reject", admin(&[Scope::Support, Scope::Finance])),
    ("POST", "/admin/refunds/{refund_no}/finish", FINANCE),
    ("POST", "/admin/refunds/{refund_no}/fail", FINANCE),
    ("POST", "/admin/refunds/{refund_no}/request", FINANCE),
    ("GET", "/admin/payments", MONEY),
    // Goods, stock and sales.
    ("GET", "/admin/skus/{sku_id}", OPERATIONS),
    ("PUT", "/admin/skus/{sku_id}", OPERATIONS),
    ("PUT", "/admin/skus/{sku_id}/shipping", OPERATIONS),
    ("PUT", "/admin/freight/{id}", OPERATIONS),
    ("POST", "/admin/stock/adjust", STOCK),
    ("POST", "/admin/stock/transfer", STOCK),
    ("GET", "/admin/stock/{sku_id}", admin(&[Scope::Warehouse, Scope::Operations, Scope::Auditor])),
    ("GET", "/admin/activities", SALES_READ),
    ("GET", "/admin/activities/{id}", SALES_READ),
    ("PUT", "/admin/activities/{id}", OPERATIONS),
    ("POST", "/admin/activities/{id}/end", OPERATIONS),
    ("GET", "/admin/activities/{id}/preflight", SALES_READ),
    ("GET", "/admin/sale-controls", SWITCHES),
    // `may_switch` says which of them `security` may put.
    ("POST", "/admin/sale-controls", SWITCHES),
    // Coupons.
    ("GET", "/admin/coupon-terms/{id}", SALES_READ),
    ("PUT", "/admin/coupon-terms/{id}", OPERATIONS),
    ("POST", "/admin/coupons/issue", admin(&[Scope::Operations, Scope::Support])),
    ("GET", "/admin/coupons/{member_id}", admin(&[Scope::Support, Scope::Operations, Scope::Auditor])),
    // Order search.
    ("GET", "/admin/search/status", SALES_READ),
    ("POST", "/admin/search/reindex", OPERATIONS),
    // The relay. `may_open_wide` says what else some settings need.
    #[cfg(feature = "relay")]
    ("GET", "/admin/relay/subscriptions", SALES_READ),
    #[cfg(feature = "relay")]
    ("GET", "/admin/relay/subscriptions/{name}", SALES_READ),
    #[cfg(feature = "relay")]
    ("PUT", "/admin/relay/subscriptions/{name}", OPERATIONS),
    #[cfg(feature = "relay")]
    ("DELETE", "/admin/relay/subscriptions/{name}", OPERATIONS),
    #[cfg(feature = "relay")]
    ("POST", "/admin/relay/subscriptions/{name}/pause", OPERATIONS),
    #[cfg(feature = "relay")]
    ("POST", "/admin/relay/subscriptions/{name}/resume", OPERATIONS),
    #[cfg(feature = "relay")]
    ("POST", "/admin/relay/subscriptions/{name}/seek", OPERATIONS),
    #[cfg(feature = "relay")]
    ("GET", "/admin/relay/subscriptions/{name}/dead_letters", SALES_READ),
    #[cfg(feature = "relay")]
    ("GET", "/admin/relay/subscriptions/{name}/dead_letters/{position}", SALES_READ),
    #[cfg(feature = "relay")]
    ("POST", "/admin/relay/subscriptions/{name}/dead_letters/requeue", OPERATIONS),
    #[cfg(feature = "relay")]
    ("POST", "/admin/relay/subscriptions/{name}/dead_letters/discard", OPERATIONS),
    // The delay queue, books and house-keeping.
    ("GET", "/admin/delay/{topic}/dead_letters", OPERATIONS),
    ("POST", "/admin/delay/{topic}/dead_letters/requeue", OPERATIONS),
    ("POST", "/admin/delay/{topic}/dead_letters/discard", OPERATIONS),
    ("GET", "/admin/statement", admin(&[Scope::Finance, Scope::Auditor])),
    ("POST", "/admin/backup", OPERATIONS),
    ("GET", "/admin/acts", admin(&[Scope::Auditor, Scope::Security])),
    ("GET", "/admin/refusals", admin(&[Scope::Support, Scope::Security])),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::ids::{MemberId, SkuId};
    use crate::http::auth::principal::Grants;

    /// Everybody there is: nobody, a member, a service, an operator without scopes and one for each scope, a service that may
    /// poll a subscription.
    fn callers() -> Vec<Option<Principal>> {
        let operator = |scopes| Some(Principal::Admin { operator: "ann".into(), scopes });
        let mut callers =
            vec![None, Some(Principal::Member(MemberId(7))), service("[]"), operator(Scopes::NONE)];
        callers.extend(Scope::ALL.map(|scope| operator(Scopes::of(&[scope]))));
        callers.push(service("[\"relay:erp\"]"));
        callers
    }

    fn service(scopes: &str) -> Option<Principal> {
        let Grants { relays, .. } = serde_json::from_str(scopes).unwrap();
        Some(Principal::Service { name: "shop".into(), relays })
    }

    fn operator(scopes: &[Scope]) -> Option<Principal> {
        Some(Principal::Admin { operator: "ann".into(), scopes: Scopes::of(scopes) })
    }

    #[test]
    fn a_route_that_is_not_in_the_table_is_nobodys() {
        for (method, path) in [
            ("GET", "/api/order/submit"),
            ("POST", "/api/order/submit/"),
            ("post", "/api/order/submit"),
            ("DELETE", "/api/order/{order_no}"),
            ("GET", "/admin"),
            ("GET", ""),
            ("OPTIONS", "/healthz"),
        ] {
            assert_eq!(of(method, path), None, "{method} {path}");
        }
        assert_eq!(of("HEAD", "/healthz"), Some(&Access::Public));
        assert_eq!(of("HEAD", "/api/order/submit"), None);
    }

    #[test]
    fn every_route_stands_once_in_the_table_and_in_its_place() {
        let mut seen = BTreeSet::new();
        for (method, path, access) in ROUTES {
            assert!(seen.insert((method, path)), "{method} {path} stands twice");
            assert_eq!(of(method, path), Some(access), "{method} {path}");
            assert!(matches!(*method, "GET" | "POST" | "PUT" | "DELETE"), "{method}");
            let place = path.split('/').nth(1).unwrap();
            let right = match access {
                Access::Admin(scopes) => place == "admin" && !scopes.is_empty(),
                Access::Service | Access::Relay => place == "gateway",
                Access::Member => place == "api",
                Access::Signed => place == "callback",
                Access::Metrics => place == "metrics",
                Access::Public => matches!(place, "api" | "openapi.json" | "docs" | "healthz" | "readyz"),
            };
            assert!(right, "{method} {path} is open to {access}");
            // Whoever only reads changes nothing.
            let auditors = matches!(access, Access::Admin(scopes) if scopes.has(Scope::Auditor));
            let reads = *method == "GET" || path.ends_with("/batch_get") || path.ends_with("/export");
            assert!(!auditors || reads, "{method} {path} is open to auditors");
        }
    }

    #[test]
    fn every_kind_of_access_lets_in_whom_it_names() {
        let may = |access: Access| -> Vec<bool> {
            callers().iter().map(|caller| access.allows(caller.as_ref()).is_ok()).collect()
        };
        let expect = |open: &[usize]| -> Vec<bool> { (0..11).map(|nth| open.contains(&nth)).collect() };
        assert_eq!(may(Access::Public), expect(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        assert_eq!(may(Access::Signed), expect(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        assert_eq!(may(Access::Member), expect(&[1]));
        assert_eq!(may(Access::Service), expect(&[2, 10]));
        assert_eq!(may(Access::Relay), expect(&[10]));
        assert_eq!(may(Access::Metrics), expect(&[2, 3, 4, 5, 6, 7, 8, 9, 10]));
        assert_eq!(may(WAREHOUSE), expect(&[5]));
        assert_eq!(may(ORDERS), expect(&[4, 5, 6, 7, 8]));
        assert_eq!(may(admin(&[])), expect(&[]));
    }

    #[test]
    fn nobody_and_the_wrong_one_are_told_apart() {
        assert_eq!(Access::Member.allows(None), Err(Denied::Unauthenticated));
        let needs = admin(&[Scope::Support, Scope::Finance]);
        let denied = needs.allows(operator(&[Scope::Warehouse]).as_ref()).unwrap_err();
        assert_eq!(denied, Denied::Forbidden { needs });
        assert_eq!(
            denied.to_string(),
            "the token is not that of an operator with one of the scopes support, finance"
        );
    }

    #[test]
    fn personal_data_is_shown_in_full_to_few() {
        let may = |scopes: &[Scope], shown| may_reveal(operator(scopes).as_ref(), shown).is_ok();
        for scope in Scope::ALL {
            let one = matches!(scope, Scope::Support | Scope::Warehouse | Scope::Security);
            assert_eq!(may(&[scope], Shown::One), one, "{scope:?}");
            assert_eq!(may(&[scope], Shown::Many), scope == Scope::Security, "{scope:?}");
        }
        for caller in [None, Some(Principal::Member(MemberId(7))), callers()[2].clone()] {
            assert!(may_reveal(caller.as_ref(), Shown::One).is_err(), "{caller:?}");
        }
    }

    #[test]
    fn a_subscription_is_polled_by_who_has_a_scope_for_it() {
        for caller in callers() {
            let may = |name| may_poll(caller.as_ref(), name).is_ok();
            let has_one = matches!(&caller, Some(Principal::Service { relays, .. }) if !relays.is_empty());
            assert_eq!((may("erp"), may("wms")), (has_one, false), "{caller:?}");
        }
        let all = service("\"relay:*\"");
        assert!(may_poll(all.as_ref(), "wms").is_ok());
        let denied = may_poll(None, "erp").unwrap_err();
        assert_eq!(denied, Denied::Unauthenticated);
    }

    #[test]
    fn security_blocks_members_and_pauses_nothing() {
        let block = SaleControl::MemberBlocked { member: MemberId(7), until_ms: 1 };
        let pause = SaleControl::SkuPaused { sku: SkuId(42), paused: true };
        let may = |scope, control| may_switch(operator(&[scope]).as_ref(), control).is_ok();
        assert!(may(Scope::Security, &block) && !may(Scope::Security, &pause));
        assert!(may(Scope::Operations, &block) && may(Scope::Operations, &pause));
        assert!(!may(Scope::Support, &block));
    }
}
