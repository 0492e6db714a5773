//! What callers send: requests as they arrive, and the canonical form that the order actors work with.

use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::catalogue::Sku;
use super::hash::RecordHasher;
use super::ids::{
    ActivityId, AdjustmentId, CouponId, MemberId, OrderNo, PaymentId, Position, RequestId, SkuId, StockKey,
    TeamId,
};
use super::money::Money;
use super::order::{Line, Lines, OrderTerms, OrderText};
use super::order_type::OrderType;
use super::pricing::BroughtPrices;
use super::reject::Reject;
use super::whole;

/// Most lines of one order.
pub const ORDER_LINES_MAX: usize = 100;
/// Longest external number, in bytes.
pub const EXTERNAL_NO_BYTES_MAX: usize = 64;
/// Longest `ext` of an order, in bytes.
pub const ORDER_EXT_BYTES_MAX: usize = 4096;
/// Longest `ext` of a line, in bytes.
pub const LINE_EXT_BYTES_MAX: usize = 512;
/// Longest `ext` of all lines of an order together, in bytes, so that an entry always fits a frame.
pub const LINE_EXT_BYTES_TOTAL_MAX: usize = 8192;
/// Longest remark, in bytes of UTF-8.
pub const REMARK_BYTES_MAX: usize = 1024;
/// Largest personal data, in bytes.
pub const PERSONAL_BYTES_MAX: usize = 2048;
/// Longest part (channel, merchant, transaction id) of a payment's key, in bytes.
pub const PAYMENT_KEY_PART_BYTES_MAX: usize = 64;
/// Longest carrier or tracking number, in bytes.
pub const SHIPMENT_FIELD_BYTES_MAX: usize = 64;

/// Name, phone and address as one opaque, self-describing value. The engine never looks inside, and the state
/// hash leaves it out, so that it can be erased later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personal {
    /// Readable as it stands.
    Plain(#[serde(with = "whole")] Box<[u8]>),
    /// Encrypted under a key of the member's own; `key_version` says which.
    Sealed {
        /// Version of the member's key.
        key_version: u32,
        /// The encrypted value.
        #[serde(with = "whole")]
        ciphertext: Box<[u8]>,
    },
}

impl Personal {
    /// Its size, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Sealed { ciphertext, .. } => ciphertext.len(),
        }
    }
}

/// One wanted SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderLine {
    /// The SKU.
    pub sku_id: SkuId,
    /// Units, at least one.
    pub quantity: u32,
    /// The shop's own value for this line; at most [`LINE_EXT_BYTES_MAX`] bytes. Lines of one SKU are summed, and the
    /// first line's value is kept.
    pub ext: Option<Box<[u8]>>,
}

impl OrderLine {
    /// `quantity` units of a SKU.
    pub fn new(sku_id: impl Into<SkuId>, quantity: u32) -> Self {
        Self { sku_id: sku_id.into(), quantity, ext: None }
    }
}

/// A request to place an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmitOrder {
    /// The client's name for this request: sent again, it gives the first answer.
    pub request_id: RequestId,
    /// Who buys.
    pub member_id: MemberId,
    /// What kind of sale.
    pub order_type: OrderType,
    /// The session or campaign, where the type has one.
    pub activity_id: Option<ActivityId>,
    /// What is wanted: 1 to [`ORDER_LINES_MAX`] lines.
    pub lines: Vec<OrderLine>,
    /// Name, phone, address; at most [`PERSONAL_BYTES_MAX`] bytes.
    pub personal: Option<Personal>,
    /// The buyer's remark; at most [`REMARK_BYTES_MAX`] bytes.
    pub remark: Option<Box<str>>,
    /// The shop's own number for the order; unique, 1 to [`EXTERNAL_NO_BYTES_MAX`] bytes.
    pub external_no: Option<Box<str>>,
    /// The shop's own fields; at most [`ORDER_EXT_BYTES_MAX`] bytes.
    pub ext: Option<Box<[u8]>>,
    /// Coupons to be used, at most [`super::pricing::COUPONS_PER_ORDER_MAX`]; the member's own.
    pub coupons: Vec<CouponId>,
    /// The team to open or to join, in a group-buy campaign.
    pub team: TeamChoice,
    /// What a preview said is to be paid: if that is not so any more, the order is refused. No part of the body by which
    /// a retry is known.
    pub expected_pay_amount: Option<Money>,
    /// The prices, where a trusted caller brings its own; then without coupons.
    pub prices: Option<Box<BroughtPrices>>,
}

/// What a member wants of a campaign's teams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TeamChoice {
    /// No team: for every other type of order.
    #[default]
    None,
    /// To open one.
    Open,
    /// To join this one.
    Join(TeamId),
}

impl SubmitOrder {
    /// An everyday order of one line, the commonest request.
    ///
    /// ```
    /// use stockade::SubmitOrder;
    /// let order = SubmitOrder::one_line(7, 1001, 42, 1);
    /// assert_eq!(order.lines.len(), 1);
    /// ```
    pub fn one_line(
        member_id: impl Into<MemberId>,
        request_id: impl Into<RequestId>,
        sku_id: impl Into<SkuId>,
        quantity: u32,
    ) -> Self {
        Self {
            request_id: request_id.into(),
            member_id: member_id.into(),
            lines: vec![OrderLine::new(sku_id, quantity)],
            ..Self::default()
        }
    }

    /// A hash of everything but member and request id: equal bodies have equal hashes, also after a restart.
    pub fn body_hash(&self) -> u64 {
        let mut hash = RecordHasher::new(self.order_type as u64)
            .word(self.activity_id.map_or(0, |activity| activity.0))
            .word(self.lines.len() as u64);
        for line in &self.lines {
            hash = hash.word(line.sku_id.0).word(u64::from(line.quantity));
            if let Some(ext) = &line.ext {
                hash = hash.bytes(ext);
            }
        }
        if self.personal.is_some()
            || self.remark.is_some()
            || self.external_no.is_some()
            || self.ext.is_some()
        {
            hash = match &self.personal {
                None => hash.word(0),
                Some(Personal::Plain(bytes)) => hash.word(1).bytes(bytes),
                Some(Personal::Sealed { key_version, ciphertext }) => {
                    hash.word(2).word(u64::from(*key_version)).bytes(ciphertext)
                }
            };
            hash = hash
                .optional_bytes(self.remark.as_deref().map(str::as_bytes))
                .optional_bytes(self.external_no.as_deref().map(str::as_bytes))
                .optional_bytes(self.ext.as_deref());
        }
        // Later additions count only where they are given, so that the bodies of before keep their hashes.
        if !self.coupons.is_empty() {
            hash = hash.word(1).word(self.coupons.len() as u64);
            for coupon in &self.coupons {
                let [high, low] = coupon.words();
                hash = hash.word(high).word(low);
            }
        }
        match self.team {
            TeamChoice::None => {}
            TeamChoice::Open => hash = hash.word(2).word(0),
            TeamChoice::Join(team) => hash = hash.word(2).word(1).word(team.0),
        }
        if let Some(prices) = &self.prices {
            hash = hash.word(3).bytes(prices.source.as_bytes()).word(prices.freight.minor() as u64);
            hash = hash.word(prices.pay_amount.minor() as u64).word(prices.lines.len() as u64);
            for line in &prices.lines {
                hash = hash.word(line.sku.0).word(line.unit_price.minor() as u64);
                hash = hash.word(line.discount.minor() as u64);
            }
        }
        hash.finish()
    }

    /// Whether its price is that of its lines and nothing else, as far as the order itself says.
    pub(crate) fn is_plain(&self) -> bool {
        self.coupons.is_empty() && self.prices.is_none()
    }

    /// Checks every bound, prices the lines and brings them into canonical form: lines of one SKU summed,
    /// ascending stock key (R2, R3).
    ///
    /// `activity` is the session or campaign that the order names, as it stands, if there is one. `catalogue` calls its second argument with the current revision of a SKU, and answers `None` where there is
    /// none.
    ///
    /// # Errors
    /// The first reject found; nothing has changed.
    pub fn price<F>(
        &self,
        activity: Option<&Activity>,
        now_ms: u64,
        mut catalogue: F,
    ) -> Result<PricedOrder, Reject>
    where
        F: FnMut(SkuId, &mut dyn FnMut(u32, &Sku) -> Result<Line, Reject>) -> Option<Result<Line, Reject>>,
    {
        let strategy = self.order_type.strategy();
        strategy.check_activity(self.order_type, self.activity_id, activity, now_ms)?;
        self.check_bounds()?;

        let mut priced = |wanted: &OrderLine| -> Result<Line, Reject> {
            if wanted.quantity == 0 {
                return Err(Reject::QuantityTooSmall { sku: wanted.sku_id });
            }
            let mut price_line = |revision: u32, sku: &Sku| {
                let terms = strategy.terms(sku, activity)?;
                Ok(Line {
                    key: terms.key,
                    quantity: wanted.quantity,
                    price: terms.price,
                    revision,
                    limit_per_member: terms.limit_per_member,
                })
            };
            catalogue(wanted.sku_id, &mut price_line).ok_or(Reject::UnknownSku { sku: wanted.sku_id })?
        };

        let lines = match self.lines.as_slice() {
            [] => return Err(Reject::EmptyOrder),
            [wanted] => Lines::one(priced(wanted)?),
            many => {
                let mut lines = many.iter().map(&mut priced).collect::<Result<Vec<_>, _>>()?;
                lines.sort_by_key(|line| line.key);
                let mut summed: Vec<Line> = Vec::with_capacity(lines.len());
                for line in lines {
                    match summed.last_mut() {
                        Some(last) if last.key == line.key => {
                            last.quantity = last
                                .quantity
                                .checked_add(line.quantity)
                                .ok_or(Reject::QuantityOverflow { sku: line.key.sku })?;
                        }
                        _ => summed.push(line),
                    }
                }
                Lines::from_vec(summed)
            }
        };

        let pay_amount = lines.iter().try_fold(Money::ZERO, |sum, line| {
            line.price.checked_mul(line.quantity).and_then(|amount| sum.checked_add(amount))
        });
        let pay_amount = pay_amount.ok_or(Reject::AmountOverflow)?;
        Ok(PricedOrder { lines, pay_amount, terms: None })
    }

    fn check_bounds(&self) -> Result<(), Reject> {
        if self.lines.len() > ORDER_LINES_MAX {
            return Err(Reject::TooManyLines { lines: self.lines.len(), lines_max: ORDER_LINES_MAX });
        }
        let mut line_ext_bytes = 0;
        for line in &self.lines {
            let bytes = line.ext.as_deref().map_or(0, <[u8]>::len);
            Reject::check_len("line.ext", bytes, LINE_EXT_BYTES_MAX)?;
            line_ext_bytes += bytes;
        }
        Reject::check_len("lines.ext", line_ext_bytes, LINE_EXT_BYTES_TOTAL_MAX)?;
        if let Some(personal) = &self.personal {
            Reject::check_len("personal", personal.len(), PERSONAL_BYTES_MAX)?;
        }
        if let Some(remark) = &self.remark {
            Reject::check_len("remark", remark.len(), REMARK_BYTES_MAX)?;
        }
        if let Some(external_no) = &self.external_no {
            Reject::check_present("external_no", external_no.len(), EXTERNAL_NO_BYTES_MAX)?;
        }
        if let Some(ext) = &self.ext {
            Reject::check_len("ext", ext.len(), ORDER_EXT_BYTES_MAX)?;
        }
        Ok(())
    }

    /// Takes the parts that are carried along unread, or `None` where the order has none of them.
    pub(crate) fn take_text(&mut self) -> Option<Box<OrderText>> {
        let text = OrderText {
            personal: self.personal.take(),
            remark: self.remark.take(),
            external_no: self.external_no.take(),
            ext: self.ext.take(),
            line_ext: {
                let mut ext: Vec<(SkuId, Box<[u8]>)> = Vec::new();
                for line in &mut self.lines {
                    if let Some(value) = line.ext.take()
                        && ext.iter().all(|(sku, _)| *sku != line.sku_id)
                    {
                        ext.push((line.sku_id, value));
                    }
                }
                ext
            },
        };
        (!text.is_empty()).then(|| Box::new(text))
    }
}

/// An order's lines in canonical form, with what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedOrder {
    /// The lines: distinct stock keys, ascending.
    pub lines: Lines,
    /// What is to be paid.
    pub pay_amount: Money,
    /// What the price rests on beside the lines, where it rests on more.
    pub terms: Option<Box<OrderTerms>>,
}

/// Names an order: by its number, or by the shop's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OrderRef {
    /// By order number.
    Number(OrderNo),
    /// By external number.
    External(Box<str>),
}

impl From<OrderNo> for OrderRef {
    fn from(order_no: OrderNo) -> Self {
        Self::Number(order_no)
    }
}

impl From<&str> for OrderRef {
    fn from(external_no: &str) -> Self {
        Self::External(external_no.into())
    }
}

/// On whose behalf a command or query runs (R14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A member, who sees and changes only their own orders.
    Member(MemberId),
    /// The shop itself.
    Operator,
}

impl Caller {
    /// Whether this caller may see what belongs to `member`.
    pub fn may_see(self, member: MemberId) -> bool {
        match self {
            Self::Member(own) => own == member,
            Self::Operator => true,
        }
    }
}

/// A provider's notification that money has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The order it is for.
    pub order: OrderRef,
    /// Payment channel, for example `wechat`; 1 to [`PAYMENT_KEY_PART_BYTES_MAX`] bytes.
    pub channel: Box<str>,
    /// The shop's account with the channel; same bound.
    pub merchant: Box<str>,
    /// The channel's number for this payment; same bound. With the two above it makes the payment once-only (R8).
    pub transaction_id: Box<str>,
    /// What was paid.
    pub amount: Money,
}

impl Payment {
    /// The payment's identity.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`] or [`Reject::FieldTooLong`] for the parts of its key.
    pub fn id(&self) -> Result<PaymentId, Reject> {
        Reject::check_present("channel", self.channel.len(), PAYMENT_KEY_PART_BYTES_MAX)?;
        Reject::check_present("merchant", self.merchant.len(), PAYMENT_KEY_PART_BYTES_MAX)?;
        Reject::check_present("transaction_id", self.transaction_id.len(), PAYMENT_KEY_PART_BYTES_MAX)?;
        Ok(PaymentId::of(&self.channel, &self.merchant, &self.transaction_id))
    }
}

/// How a parcel travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// The carrier; at most [`SHIPMENT_FIELD_BYTES_MAX`] bytes.
    pub carrier: Box<str>,
    /// The carrier's number; same bound.
    pub tracking_no: Box<str>,
}

impl Shipment {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`].
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_len("carrier", self.carrier.len(), SHIPMENT_FIELD_BYTES_MAX)?;
        Reject::check_len("tracking_no", self.tracking_no.len(), SHIPMENT_FIELD_BYTES_MAX)
    }
}

/// How much a stock key changes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockChange {
    /// Adds units, or takes available ones away.
    Relative(i64),
    /// Sets the total; what is reserved and sold stays, so the total can't go below that.
    Absolute(u64),
    /// Sets what was available at a position: what was ordered, closed or adjusted since then stays so.
    AvailableAt {
        /// Units that were available, as somebody counted them.
        available: u64,
        /// Up to which position of the journal.
        as_of: Position,
    },
    /// Moves available units to another stock key.
    Transfer {
        /// Which.
        to: StockKey,
        /// How many.
        units: u64,
    },
}

/// An operator's change of a stock key's total, applied once per id and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockAdjustment {
    /// The operator's name for this adjustment.
    pub id: AdjustmentId,
    /// Which stock.
    pub key: StockKey,
    /// By how much.
    pub change: StockChange,
}
