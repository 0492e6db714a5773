//! What another system hands over: its open orders, and the purchase limits that its closed orders have used up.
//!
//! An imported order is an order like any other once it is there. It differs in where its terms come from: its lines
//! keep the price and the limit that were agreed elsewhere, which no catalogue revision says, and so they name
//! [`IMPORTED_REVISION`]. Its request id follows from its external number, so importing it again is a retry (R8).

use super::hash::{RecordHasher, hash128};
use super::ids::{AdjustmentId, CouponTermsId, ImportId, MemberId, RequestId, SkuId, StockKey};
use super::money::Money;
use super::order::{Line, Lines};
use super::reject::Reject;
use super::request::{
    EXTERNAL_NO_BYTES_MAX, ORDER_EXT_BYTES_MAX, ORDER_LINES_MAX, PERSONAL_BYTES_MAX, Personal, PricedOrder,
    REMARK_BYTES_MAX, SubmitOrder,
};

/// The revision that the lines of an imported order name: they bring their own terms. Revisions of the catalogue begin
/// at 1.
pub const IMPORTED_REVISION: u32 = 0;

/// The furthest that an imported order's deadline may lie ahead, in ms: 49 days and 17 hours.
pub const IMPORT_DEADLINE_AHEAD_MS_MAX: u64 = u32::MAX as u64;

/// Begins the body of an import, so that it never equals that of a submission.
const IMPORT_BODY: u64 = 0x0069_6d70_6f72_7421;

/// One line of an imported order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportedLine {
    /// The SKU; it must be in the catalogue, on sale or not.
    pub sku_id: SkuId,
    /// Units, at least one.
    pub quantity: u32,
    /// Price of one unit as it was agreed, in minor units; not negative.
    pub price: Money,
    /// The purchase limit that the units count towards, in units; 0 where they count towards none.
    pub limit_per_member: u32,
}

/// An open (placed, not paid) order of another system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedOrder {
    /// Its number there, which is its identity; 1 to [`EXTERNAL_NO_BYTES_MAX`] bytes.
    pub external_no: Box<str>,
    /// Who buys.
    pub member_id: MemberId,
    /// What was ordered: 1 to [`ORDER_LINES_MAX`] lines. Lines of one SKU are summed, and must agree in price and limit.
    pub lines: Vec<ImportedLine>,
    /// At and after this instant it can't be paid in the ordinary way, in ms since the Unix epoch; at most
    /// [`IMPORT_DEADLINE_AHEAD_MS_MAX`] ahead.
    pub deadline_ms: u64,
    /// Take it although its deadline has passed: it then closes after 1 ms, and a payment brings it back as any other
    /// late payment would (R10). Without this it is refused as `deadline_passed`.
    pub allow_overdue: bool,
    /// Name, phone, address; at most [`PERSONAL_BYTES_MAX`] bytes.
    pub personal: Option<Personal>,
    /// The buyer's remark; at most [`REMARK_BYTES_MAX`] bytes.
    pub remark: Option<Box<str>>,
    /// The shop's own fields; at most [`ORDER_EXT_BYTES_MAX`] bytes.
    pub ext: Option<Box<[u8]>>,
}

/// How much of a purchase limit a member has used up by orders of another system that are not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedLimit {
    /// The member.
    pub member_id: MemberId,
    /// Which stock.
    pub key: StockKey,
    /// Units, absolute: they take the place of what an earlier import said. 0 takes it away.
    pub used: u32,
    /// Which import said so; kept in the journal for whoever reads it.
    pub import_id: ImportId,
}

impl ImportedOrder {
    /// The request id that its external number stands for.
    pub fn request_id(&self) -> RequestId {
        RequestId::of_import(&self.external_no)
    }

    /// Checks every bound that needs neither catalogue nor clock, and brings the lines into canonical form: lines of
    /// one SKU summed, ascending stock key (R2, R3).
    ///
    /// # Errors
    /// The first reject found: [`Reject::FieldEmpty`], [`Reject::FieldTooLong`], [`Reject::EmptyOrder`],
    /// [`Reject::TooManyLines`], [`Reject::QuantityTooSmall`], [`Reject::QuantityOverflow`],
    /// [`Reject::NegativePrice`], [`Reject::TermsConflict`], [`Reject::AmountOverflow`].
    pub fn priced(&self) -> Result<PricedOrder, Reject> {
        self.check_bounds()?;
        let mut lines = self.lines.iter().map(ImportedLine::line).collect::<Result<Vec<_>, _>>()?;
        lines.sort_by_key(|line| line.key);
        let mut summed: Vec<Line> = Vec::with_capacity(lines.len());
        for line in lines {
            let sku = line.key.sku;
            match summed.last_mut() {
                Some(last) if last.key == line.key => {
                    if (last.price, last.limit_per_member) != (line.price, line.limit_per_member) {
                        return Err(Reject::TermsConflict { sku });
                    }
                    let quantity = last.quantity.checked_add(line.quantity);
                    last.quantity = quantity.ok_or(Reject::QuantityOverflow { sku })?;
                }
                _ => summed.push(line),
            }
        }
        let pay_amount = summed.iter().try_fold(Money::ZERO, |sum, line| {
            line.price.checked_mul(line.quantity).and_then(|amount| sum.checked_add(amount))
        });
        let pay_amount = pay_amount.ok_or(Reject::AmountOverflow)?;
        Ok(PricedOrder { lines: Lines::from_vec(summed), pay_amount, terms: None })
    }

    /// A hash of everything but the external number, over the lines in canonical form: an export that names the same
    /// lines in another order is the same body. Frozen, like [`SubmitOrder::body_hash`].
    pub fn body_hash(&self, priced: &PricedOrder) -> u64 {
        let mut hash = RecordHasher::new(IMPORT_BODY)
            .word(self.member_id.0)
            .word(self.deadline_ms)
            .word(priced.lines.len() as u64);
        for line in priced.lines.iter() {
            hash = line
                .key
                .fold_into(hash)
                .word(u64::from(line.quantity))
                .word(line.price.minor() as u64)
                .word(u64::from(line.limit_per_member));
        }
        hash = match &self.personal {
            None => hash.word(0),
            Some(Personal::Plain(bytes)) => hash.word(1).bytes(bytes),
            Some(Personal::Sealed { key_version, ciphertext }) => {
                hash.word(2).word(u64::from(*key_version)).bytes(ciphertext)
            }
        };
        hash.optional_bytes(self.remark.as_deref().map(str::as_bytes))
            .optional_bytes(self.ext.as_deref())
            .finish()
    }

    /// Checks the deadline against a time, in ms since the Unix epoch.
    ///
    /// # Errors
    /// [`Reject::DeadlinePassed`] unless overdue orders are allowed, [`Reject::DeadlineTooFar`].
    pub fn check_deadline(&self, now_ms: u64) -> Result<(), Reject> {
        if self.deadline_ms <= now_ms && !self.allow_overdue {
            return Err(Reject::DeadlinePassed { deadline_ms: self.deadline_ms });
        }
        if self.deadline_ms.saturating_sub(now_ms) > IMPORT_DEADLINE_AHEAD_MS_MAX {
            return Err(Reject::DeadlineTooFar { ahead_ms_max: IMPORT_DEADLINE_AHEAD_MS_MAX });
        }
        Ok(())
    }

    /// The request that carries the parts which the engine doesn't look into; its lines are left out.
    pub(crate) fn into_request(self) -> SubmitOrder {
        SubmitOrder {
            request_id: self.request_id(),
            member_id: self.member_id,
            personal: self.personal,
            remark: self.remark,
            external_no: Some(self.external_no),
            ext: self.ext,
            ..SubmitOrder::default()
        }
    }

    fn check_bounds(&self) -> Result<(), Reject> {
        Reject::check_present("external_no", self.external_no.len(), EXTERNAL_NO_BYTES_MAX)?;
        if self.lines.is_empty() {
            return Err(Reject::EmptyOrder);
        }
        if self.lines.len() > ORDER_LINES_MAX {
            return Err(Reject::TooManyLines { lines: self.lines.len(), lines_max: ORDER_LINES_MAX });
        }
        let personal = self.personal.as_ref().map_or(0, Personal::len);
        Reject::check_len("personal", personal, PERSONAL_BYTES_MAX)?;
        Reject::check_len("remark", self.remark.as_ref().map_or(0, |remark| remark.len()), REMARK_BYTES_MAX)?;
        Reject::check_len("ext", self.ext.as_ref().map_or(0, |ext| ext.len()), ORDER_EXT_BYTES_MAX)
    }
}

impl ImportedLine {
    fn line(&self) -> Result<Line, Reject> {
        let Self { sku_id: sku, quantity, price, limit_per_member } = *self;
        if quantity == 0 {
            return Err(Reject::QuantityTooSmall { sku });
        }
        if price.is_negative() {
            return Err(Reject::NegativePrice { sku });
        }
        let key = StockKey::normal(sku);
        Ok(Line { key, quantity, price, revision: IMPORTED_REVISION, limit_per_member })
    }
}

impl Line {
    /// Whether it brings its own terms: those of the system that it was imported from.
    pub const fn is_imported(&self) -> bool {
        self.revision == IMPORTED_REVISION
    }
}

/// How long an order with this deadline may stay unpaid when it is placed at `at_ms`, in ms: at least 1, because an
/// order can't be placed closed. Both times are in ms since the Unix epoch.
pub(crate) fn auto_close_ms(deadline_ms: u64, at_ms: u64) -> u32 {
    u32::try_from(deadline_ms.saturating_sub(at_ms)).unwrap_or(u32::MAX).max(1)
}

impl RequestId {
    /// The request id of the import of an order with this external number. Frozen: it is what makes an import once-only.
    pub fn of_import(external_no: &str) -> Self {
        Self::new(frozen(&[b"import", external_no.as_bytes()]))
    }
}

impl AdjustmentId {
    /// The adjustment by which an import sets the stock of a key. Frozen: it is what makes it once-only.
    pub fn of_import(import_id: ImportId, key: &StockKey) -> Self {
        let key = [key.pool as u64, key.activity.0, key.sku.0, u64::from(key.location.0)];
        let key: Vec<u8> = key.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self(frozen(&[b"import stock", &import_id.0.to_le_bytes(), &key]))
    }
}

impl AdjustmentId {
    /// The adjustment by which a revision of a definition of coupons sets what may be issued. Frozen: it is what makes it
    /// once-only.
    pub fn of_coupon_terms(terms: CouponTermsId, revision: u32) -> Self {
        Self(frozen(&[b"coupon issue", &terms.0.to_le_bytes(), &revision.to_le_bytes()]))
    }
}

impl ImportId {
    /// The id of an import that goes by a name.
    pub fn from_name(name: &str) -> Self {
        Self(frozen(&[b"import name", name.as_bytes()]))
    }
}

/// A frozen 128-bit hash of some parts; their lengths count, so that ("ab", "c") and ("a", "bc") differ.
fn frozen(parts: &[&[u8]]) -> u128 {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    hash128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: u64, quantity: u32, price: i64) -> ImportedLine {
        ImportedLine {
            sku_id: sku.into(),
            quantity,
            price: Money::from_minor(price),
            ..ImportedLine::default()
        }
    }

    fn order(lines: Vec<ImportedLine>) -> ImportedOrder {
        let (external_no, member_id) = ("OLD-1".into(), MemberId(7));
        ImportedOrder { external_no, member_id, lines, deadline_ms: 1_000, ..ImportedOrder::default() }
    }

    fn hash(order: &ImportedOrder) -> u64 {
        order.body_hash(&order.priced().unwrap())
    }

    #[test]
    fn the_ids_that_make_an_import_once_only_are_frozen() {
        assert_eq!(RequestId::of_import("OLD-1").get(), 0x1cac_71fa_a62e_9b91_f301_7e38_548a_fded);
        assert_eq!(ImportId::from_name("cut-over").0, 0xf65a_dcf3_c57f_fb62_0c5a_d4d9_e7eb_8e53);
        assert_eq!(
            AdjustmentId::of_import(ImportId(1), &StockKey::normal(SkuId(42))).0,
            0x80f5_e17c_6444_6c22_9763_fe58_609e_c6a6
        );
        assert_eq!(hash(&order(vec![line(1, 2, 500)])), 0xa278_b2e5_0a9f_c211);
    }

    #[test]
    fn lines_of_one_sku_are_summed_and_their_order_does_not_count() {
        let split = order(vec![line(2, 1, 100), line(1, 1, 500), line(2, 2, 100)]);
        let priced = split.priced().unwrap();
        assert_eq!(priced.pay_amount, Money::from_minor(800));
        assert_eq!(priced.lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [1, 3]);
        assert!(priced.lines.iter().all(Line::is_imported));
        assert_eq!(hash(&split), hash(&order(vec![line(1, 1, 500), line(2, 3, 100)])));
        assert_ne!(hash(&split), hash(&order(vec![line(1, 1, 500), line(2, 3, 101)])));
        assert_ne!(hash(&split), hash(&ImportedOrder { deadline_ms: 1_001, ..split.clone() }));
        let conflict = order(vec![line(1, 1, 500), line(1, 1, 400)]);
        assert_eq!(conflict.priced(), Err(Reject::TermsConflict { sku: 1.into() }));
    }

    #[test]
    fn a_deadline_is_refused_when_it_has_passed_or_is_too_far() {
        let check = |deadline_ms, allow_overdue| {
            ImportedOrder { deadline_ms, allow_overdue, ..order(vec![]) }.check_deadline(1_000)
        };
        assert_eq!(check(1_000, false), Err(Reject::DeadlinePassed { deadline_ms: 1_000 }));
        assert_eq!(check(1_000, true), Ok(()));
        assert_eq!(check(1_001, false), Ok(()));
        assert_eq!(check(1_000 + IMPORT_DEADLINE_AHEAD_MS_MAX, false), Ok(()));
        assert!(matches!(
            check(1_001 + IMPORT_DEADLINE_AHEAD_MS_MAX, true),
            Err(Reject::DeadlineTooFar { .. })
        ));
        assert_eq!((auto_close_ms(1_500, 1_000), auto_close_ms(10, 1_000)), (500, 1));
    }
}
