//! The demonstration: sample goods, and commands that buy some of them.
//!
//! Its secrets are made up at each start and stand nowhere but in what it prints. What it puts into the data directory
//! are ordinary facts; started again on the same directory, it goes on where it was.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use stockade::http::auth::Scopes;
use stockade::http::auth::keys::{Key, Keys};
use stockade::http::auth::mint::mint_hs256;
use stockade::http::auth::tokens::Role;
use stockade::http::callback::{GenericProvider, Provider, REPLAY_WINDOW_S_DEFAULT};
use stockade::http::secret::Secret;
use stockade::{
    Activity, ActivityItem, ActivityKind, CouponBenefit, CouponScope, CouponTerms, Engine, Money, OrderTypes,
    Reject, Sku, StockAdjustment, StockChange, StockKey, TeamTerms,
};

use super::run::Failure;
use crate::common::with_causes;

const DAY_MS: u64 = 24 * 3_600_000;
/// How long sessions, campaigns and coupons of a start are good for.
const RUNS_MS: u64 = 30 * DAY_MS;
/// How long a token is good for.
const TOKEN_MS: u64 = DAY_MS;
/// The buyer.
const MEMBER: u64 = 7;
/// The id of its key, and the name of its payment provider.
const KEY_ID: &str = "demo";
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Units of each SKU.
const UNITS: i64 = 1_000;
/// Units of each SKU in the session, and in the campaign.
const ACTIVITY_UNITS: i64 = 100;
/// The coupons' terms.
const COUPON_TERMS: u64 = 5;

/// Goods: id, product, code, title, price in minor units, purchase limit.
const GOODS: [(u64, u64, &str, &str, i64, u32); 4] = [
    (41, 7, "TEA-50", "Green tea, 50 g", 3_900, 0),
    (42, 7, "TEA-250", "Green tea, 250 g", 16_900, 0),
    (43, 8, "POT-1", "Tea pot, cast iron", 29_900, 5),
    (44, 9, "CUP-2", "Two cups", 5_900, 0),
];

/// A demonstration.
pub(super) struct Demo {
    /// Signs tokens.
    secret: Vec<u8>,
    /// Signs notifications of payments, in hexadecimal digits, so that a shell can hold it.
    pay_secret: String,
}

impl Demo {
    /// One with new secrets.
    pub(super) fn new() -> Result<Self, Failure> {
        let pay_secret = made_up()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { secret: made_up()?, pay_secret })
    }

    /// The provider whose notifications pay.
    pub(super) fn provider(&self) -> Result<Box<dyn Provider>, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::new(format!("the demo's provider: {}", with_causes(error)))
        };
        let secret = Secret::new(self.pay_secret.clone()).map_err(|error| failed(&error))?;
        let provider = GenericProvider::new(KEY_ID, vec![secret], REPLAY_WINDOW_S_DEFAULT);
        Ok(Box::new(provider.map_err(|error| failed(&error))?))
    }

    /// The keys that its tokens are good under.
    pub(super) fn keys(&self) -> Result<Keys, Failure> {
        let failed =
            |error: &dyn std::error::Error| Failure::new(format!("the demo's key: {}", with_causes(error)));
        let secret = Secret::new(self.secret.clone()).map_err(|error| failed(&error))?;
        let key = Key::hs256(KEY_ID, &secret).map_err(|error| failed(&error))?;
        Keys::new(vec![key]).map_err(|error| failed(&error))
    }

    fn token(&self, sub: &str, role: Role, scopes: Scopes, now_ms: u64) -> String {
        mint_hs256(&self.secret, KEY_ID, sub, role, scopes, now_ms + TOKEN_MS)
    }

    /// Lays the goods out; what is there already stays as it is.
    pub(super) async fn stock(&self, engine: &Engine) -> Result<(), Failure> {
        let stocked = stock(engine).await;
        stocked.map_err(|reject| Failure::new(format!("can't lay out the demo's goods: {reject}")))
    }

    /// Prints what to try.
    pub(super) fn show(&self, addr: SocketAddr, now_ms: u64, data_dir: &Path) {
        let member = self.token(&MEMBER.to_string(), Role::Member, Scopes::NONE, now_ms);
        let admin = self.token("demo", Role::Admin, Scopes::ALL, now_ms);
        let pay_secret = &self.pay_secret;
        let goods: String = GOODS
            .iter()
            .map(|(id, _, _, title, price, _)| {
                format!("  {id}  {title}, {}.{:02}\n", price / 100, price % 100)
            })
            .collect();
        let submit = format!(
            "curl -s http://{addr}/api/order/submit -H \"authorization: Bearer $TOKEN\" \\\n  \
             -H 'content-type: application/json' \\\n  \
             -d '{{\"request_id\": \"demo-1\", \"lines\": [{{\"sku_id\": \"42\", \"quantity\": 1}}]}}'"
        );
        let text = format!(
            "Stockade demo at http://{addr}, data in {}. All routes: http://{addr}/docs\n\n\
             {goods}\n\
             TOKEN={member}\n\
             ADMIN={admin}\n\
             PAY_SECRET={pay_secret}\n\n\
             # Member {MEMBER} orders a tea.\n\
             {submit}\n\n\
             # Sent again, the same request gets the same answer; its number is needed below.\n\
             ORDER=$({submit} | cut -d'\"' -f4)\n\n\
             # The same tea in the running session, at half its price, one for each member.\n\
             curl -s http://{addr}/api/order/submit -H \"authorization: Bearer $TOKEN\" \\\n  \
             -H 'content-type: application/json' \\\n  \
             -d '{{\"request_id\": \"demo-2\", \"order_type\": \"seckill\", \"activity_id\": \"1\", \
             \"lines\": [{{\"sku_id\": \"42\", \"quantity\": 1}}]}}'\n\n\
             # The payment provider says that the first order is paid; it signs what it says.\n\
             BODY='{{\"order_no\": \"'$ORDER'\", \"channel\": \"demo\", \"merchant\": \"shop\", \
             \"transaction_id\": \"'$ORDER'\", \"amount\": 16900}}'\n\
             NOW=$(date +%s)\n\
             SIGNATURE=$(printf '%s.%s' \"$NOW\" \"$BODY\" | openssl dgst -sha256 -hmac \"$PAY_SECRET\" -r | cut -d' ' -f1)\n\
             curl -si http://{addr}/callback/payment/demo -d \"$BODY\" \\\n  \
             -H \"x-stockade-timestamp: $NOW\" -H \"x-stockade-signature: v1=$SIGNATURE\"\n\n\
             # The back office ships it, and the member sees it.\n\
             curl -s http://{addr}/admin/order/$ORDER/ship -H \"authorization: Bearer $ADMIN\" \\\n  \
             -H 'content-type: application/json' -d '{{\"carrier\": \"SF\", \"tracking_no\": \"SF1\"}}'\n\
             curl -s http://{addr}/api/order/list -H \"authorization: Bearer $TOKEN\"\n\n",
            data_dir.display(),
        );
        // A reader that has gone doesn't end the server.
        drop(io::stdout().lock().write_all(text.as_bytes()));
    }
}

fn made_up() -> Result<Vec<u8>, Failure> {
    let mut secret = vec![0; SECRET_BYTES];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut secret));
    read.map_err(|error| Failure::new(format!("can't make up a secret from /dev/urandom: {error}")))?;
    Ok(secret)
}

async fn stock(engine: &Engine) -> Result<(), Reject> {
    for (id, product_id, code, title, price, limit_per_member) in GOODS {
        let sku = Sku {
            id: id.into(),
            product_id: product_id.into(),
            code: code.into(),
            title: title.into(),
            price: Money::from_minor(price),
            on_sale: true,
            limit_per_member,
        };
        if engine.sku(id).is_none() {
            engine.put_sku(sku).await?;
        }
        add(engine, StockKey::normal(id.into()), UNITS).await?;
    }
    let now_ms = engine.now_ms();
    for activity in [session(now_ms), campaign(now_ms)] {
        if engine.activity(activity.id).is_none() {
            engine.put_activity(activity.clone()).await?;
            for item in &activity.items {
                add(engine, activity.stock_key(item.sku_id), ACTIVITY_UNITS).await?;
            }
        }
    }
    if engine.coupon_terms(COUPON_TERMS).is_none() {
        engine.put_coupon_terms(coupons(now_ms), None).await?;
        engine.issue_coupon(MEMBER, COUPON_TERMS, 1).await?;
    }
    Ok(())
}

/// Puts units into stock, once: the adjustment has the same id at every start.
async fn add(engine: &Engine, key: StockKey, units: i64) -> Result<(), Reject> {
    let change = StockChange::Relative(units);
    engine.adjust_stock(StockAdjustment { id: 1.into(), key, change }).await.map(drop)
}

fn session(now_ms: u64) -> Activity {
    Activity {
        id: 1.into(),
        title: "Tea at half its price".into(),
        start_ms: now_ms,
        end_ms: now_ms + RUNS_MS,
        items: vec![ActivityItem { sku_id: 42.into(), price: Money::from_minor(8_450), limit_per_member: 1 }],
        ..Activity::default()
    }
}

fn campaign(now_ms: u64) -> Activity {
    Activity {
        id: 2.into(),
        kind: ActivityKind::GroupBuy,
        title: "Two buy a tea pot".into(),
        start_ms: now_ms,
        end_ms: now_ms + RUNS_MS,
        items: vec![ActivityItem {
            sku_id: 43.into(),
            price: Money::from_minor(19_900),
            limit_per_member: 1,
        }],
        team: Some(TeamTerms { size: 2, time_limit_ms: DAY_MS }),
        ..Activity::default()
    }
}

fn coupons(now_ms: u64) -> CouponTerms {
    CouponTerms {
        id: COUPON_TERMS.into(),
        title: "10.00 off from 100.00".into(),
        benefit: CouponBenefit::AmountOff(Money::from_minor(1_000)),
        threshold: Money::from_minor(10_000),
        scope: CouponScope::All,
        valid_from_ms: now_ms,
        valid_until_ms: now_ms + RUNS_MS,
        stackable: false,
        issue_max: 1_000,
        per_member_max: 1,
        order_types: OrderTypes::all(),
    }
}
