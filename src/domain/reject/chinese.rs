//! What a reject says in Chinese: the short text of `docs/ORDERS.md`, with the reject's values in it. For shops that show
//! an answer's message to their members; programs go by [`Reject::code`].
//!
//! Names of fields and bounds stay as they are written in requests and settings.

use std::fmt;

use super::Reject;
use crate::domain::order::OrderStatus;
use crate::domain::order_type::OrderType;
use crate::domain::refund::RefundState;
use crate::domain::search;

impl Reject {
    /// Its message in Chinese, with the same values as the English one.
    ///
    /// ```
    /// use stockade::Reject;
    /// assert_eq!(Reject::SoldOut { sku: 42.into() }.message_zh(), "商品 42 已售罄");
    /// ```
    pub fn message_zh(&self) -> String {
        InChinese(self).to_string()
    }
}

/// Shows a reject in Chinese.
struct InChinese<'a>(&'a Reject);

impl fmt::Display for InChinese<'_> {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Reject::EmptyOrder => f.write_str("订单没有商品"),
            Reject::TooManyLines { lines, lines_max } => write!(f, "订单有 {lines} 行商品，最多 {lines_max} 行"),
            Reject::QuantityTooSmall { sku } => write!(f, "商品 {sku} 的数量不能小于 1"),
            Reject::QuantityOverflow { sku } => write!(f, "商品 {sku} 的数量过大"),
            Reject::AmountOverflow => f.write_str("金额过大"),
            Reject::UnknownSku { sku } => write!(f, "商品 {sku} 不存在"),
            Reject::SkuOffSale { sku } => write!(f, "商品 {sku} 已下架"),
            Reject::NegativePrice { sku } => write!(f, "商品 {sku} 的价格不能为负数"),
            Reject::UnexpectedActivity { order_type } => write!(f, "{}不能指定活动", type_zh(order_type)),
            Reject::FieldTooLong { field, len, len_max } => write!(f, "字段 {field} 有 {len} 字节，最多 {len_max} 字节"),
            Reject::FieldEmpty { field } => write!(f, "字段 {field} 不能为空"),
            Reject::SoldOut { sku } => write!(f, "商品 {sku} 已售罄"),
            Reject::LimitExceeded { sku, limit, bought } => write!(f, "商品 {sku} 每人限购 {limit} 件，已购 {bought} 件"),
            Reject::RequestIdReused => f.write_str("请求编号已用于其他请求"),
            Reject::ExternalNoTaken => f.write_str("外部单号已被其他订单使用"),
            Reject::ExternalNoBusy => f.write_str("外部单号正在处理中，请重试"),
            Reject::TermsConflict { sku } => write!(f, "商品 {sku} 的价格或限购不一致"),
            Reject::DeadlinePassed { deadline_ms } => write!(f, "支付期限 {deadline_ms} 已过"),
            Reject::DeadlineTooFar { ahead_ms_max } => write!(f, "支付期限过远，最多 {ahead_ms_max} 毫秒之后"),
            Reject::OrderNotFound => f.write_str("订单不存在"),
            Reject::WrongAmount { expected, paid } => write!(f, "支付金额 {paid} 元与订单金额 {expected} 元不符"),
            Reject::WrongStatus { order_no: _, status } => write!(f, "订单{}，不允许此操作", status_zh(status)),
            Reject::OrderOverdue { order_no: _ } => f.write_str("订单已超过支付期限"),
            Reject::PaymentIdReused => f.write_str("该支付流水已用于其他订单或金额"),
            Reject::AdjustmentIdReused => f.write_str("库存调整编号已被使用"),
            Reject::StockBelowZero { needed, available } => write!(f, "可用库存不足：需要 {needed} 件，可用 {available} 件"),
            Reject::StockOverflow { total_max } => write!(f, "库存超出上限 {total_max} 件"),
            Reject::Overloaded { bound, retry_after_ms } => write!(f, "系统繁忙（{bound}），请在 {retry_after_ms} 毫秒后重试"),
            Reject::DiskReserve => f.write_str("磁盘空间不足，暂停下单"),
            Reject::Unavailable => f.write_str("服务暂不可用"),
            Reject::NoStore => f.write_str("此引擎未启用存储，无法查询"),
            Reject::SearchSyntax { at, expected } => write!(f, "查询语句在第 {at} 个字符之后有误，应为：{}", phrase_zh(expected)),
            Reject::SearchWordsUnavailable { is_off: _ } => f.write_str("搜索索引暂不可用，无法按关键词搜索，请使用筛选条件"),
            Reject::SearchSortUnavailable { is_off: _ } => f.write_str("搜索索引暂不可用，无法按此排序，请按下单时间排序"),
            Reject::SearchBuilding => f.write_str("搜索索引正在建立"),
            Reject::SearchBehind { lag_ms } => write!(f, "搜索索引落后 {lag_ms} 毫秒"),
            Reject::SearchFailed => f.write_str("搜索索引发生故障，详见日志"),
            Reject::SearchOff => f.write_str("搜索索引未启用"),
            Reject::SearchTooBroad { what } => write!(f, "搜索范围过大：{}", phrase_zh(what)),
            Reject::OutcomeUnknown => f.write_str("结果未知，请在服务恢复后用同一请求编号重试"),
            Reject::UnknownOrderType => f.write_str("订单类型不存在，可用 normal、seckill、group_buy"),
            Reject::ActivityRequired { order_type } => write!(f, "{}必须指定活动", type_zh(order_type)),
            Reject::ActivityNotFound { activity } => write!(f, "活动 {activity} 不存在，或不适用于该订单类型"),
            Reject::NotOpenYet { activity, opens_at_ms } => write!(f, "活动 {activity} 尚未开始，开始时间 {opens_at_ms}"),
            Reject::ActivityOver { activity } => write!(f, "活动 {activity} 已结束"),
            Reject::SkuNotInActivity { sku, activity } => write!(f, "商品 {sku} 不在活动 {activity} 中"),
            Reject::ActivityInvalid { activity, what } => write!(f, "活动 {activity} 设置有误：{}", phrase_zh(what)),
            Reject::SkuTwice { sku } => write!(f, "商品 {sku} 重复"),
            Reject::SalesPaused => f.write_str("已暂停销售"),
            Reject::SkuPaused { sku } => write!(f, "商品 {sku} 已暂停销售"),
            Reject::ActivityPaused { activity } => write!(f, "活动 {activity} 已暂停"),
            Reject::MemberBlocked { until_ms } => write!(f, "账号暂时无法下单，恢复时间 {until_ms}"),
            Reject::TransferInvalid { sku, what } => write!(f, "商品 {sku} 的库存调拨有误：{}", phrase_zh(what)),
            Reject::PositionNotKept { position, first, last } => write!(f, "日志位置 {position} 不可用，可用范围 {first} 至 {last}"),
            Reject::InvalidField { field, expected } => write!(f, "字段 {field} 取值有误，应为：{}", phrase_zh(expected)),
            Reject::UnknownFreight { freight } => write!(f, "运费模板 {freight} 不存在"),
            Reject::TooManyCoupons { coupons, coupons_max } => write!(f, "使用了 {coupons} 张优惠券，最多 {coupons_max} 张"),
            Reject::CouponRepeated { coupon } => write!(f, "优惠券 {coupon} 重复"),
            Reject::CouponNotStackable { coupon } => write!(f, "优惠券 {coupon} 不可叠加使用"),
            Reject::CouponNotYetValid { coupon, valid_from_ms } => write!(f, "优惠券 {coupon} 尚未生效，生效时间 {valid_from_ms}"),
            Reject::CouponExpired { coupon, valid_until_ms } => write!(f, "优惠券 {coupon} 已过期，有效期至 {valid_until_ms}"),
            Reject::CouponWrongOrderType { coupon, order_type } => write!(f, "优惠券 {coupon} 不适用于{}", type_zh(order_type)),
            Reject::CouponOutOfScope { coupon } => write!(f, "优惠券 {coupon} 不适用于所选商品"),
            Reject::CouponBelowThreshold { coupon, threshold, amount } => write!(f, "未达到优惠券 {coupon} 的使用门槛：需满 {threshold} 元，当前 {amount} 元"),
            Reject::CouponWithoutEffect { coupon } => write!(f, "优惠券 {coupon} 无可抵扣金额，请勿使用"),
            Reject::DiscountAboveAmount { discount, amount } => write!(f, "优惠金额 {discount} 元超过商品金额 {amount} 元"),
            Reject::TotalBelowFreight { pay_amount, freight } => write!(f, "总价 {pay_amount} 元低于运费 {freight} 元"),
            Reject::PriceMissing { sku } => write!(f, "缺少商品 {sku} 的价格"),
            Reject::PriceUnexpected { sku } => write!(f, "商品 {sku} 的价格与商品不对应，或重复"),
            Reject::TotalMismatch { stated, computed } => write!(f, "总价 {stated} 元与明细合计 {computed} 元不符"),
            Reject::TeamChoiceInvalid { order_type, rule } => write!(f, "拼团选择有误：{}{}", type_zh(order_type), phrase_zh(rule)),
            Reject::TeamNotFound { team } => write!(f, "拼团 {team} 不存在"),
            Reject::TeamFull { team } => write!(f, "拼团 {team} 已满"),
            Reject::TeamClosed { team } => write!(f, "拼团 {team} 已结束"),
            Reject::AlreadyInTeam { team } => write!(f, "已参加拼团 {team}"),
            Reject::PriceChanged { expected, actual } => write!(f, "价格已变动：预期 {expected} 元，现为 {actual} 元，请重新确认"),
            Reject::CouponsExhausted { terms } => write!(f, "优惠券（种类 {terms}）已领完"),
            Reject::CouponTermsNotFound { terms } => write!(f, "优惠券（种类 {terms}）不存在"),
            Reject::RefundAboveQuantity { units, left } => write!(f, "退款数量 {units} 件超过可退数量 {left} 件"),
            Reject::OutOfRange { field, value, min, max } => write!(f, "字段 {field} 的数值 {value} 超出范围 {min} 至 {max}"),
            Reject::BatchTooLong { unit, len, len_max } => write!(f, "批量有 {len} {}，最多 {len_max} {}", unit_zh(unit), unit_zh(unit)),
            Reject::TooManyOfOneOrder { what, len_max } => write!(f, "该订单的{}已达上限 {len_max}", phrase_zh(what)),
            Reject::SkuNotInOrder { sku } => write!(f, "订单中没有商品 {sku}"),
            Reject::UnitsExceeded { sku, left } => write!(f, "超过商品 {sku} 的可用数量，仅剩 {left} 件"),
            Reject::RefundExceedsPaid { left } => write!(f, "退款金额超过可退金额 {left} 元"),
            Reject::RefundNotFound => f.write_str("退款单不存在"),
            Reject::WrongRefundState { state } => write!(f, "退款{}，不允许此操作", state_zh(state)),
            Reject::RefundFinishedOtherwise => f.write_str("退款已以其他渠道退款单号完成"),
            Reject::RefundOpen => f.write_str("订单有未完成的售后，暂不能发货"),
            Reject::AfterSaleOver { until_ms } => write!(f, "已超过售后期限 {until_ms}"),
            Reject::TeamNotFormed => f.write_str("拼团尚未成功，不能发货"),
            Reject::CouponNotFound { coupon } => write!(f, "优惠券 {coupon} 不存在"),
            Reject::CouponLocked { coupon } => write!(f, "优惠券 {coupon} 已被未支付的订单占用"),
            Reject::CouponUsed { coupon } => write!(f, "优惠券 {coupon} 已使用"),
            Reject::CouponTermsOver { terms, valid_until_ms } => write!(f, "优惠券（种类 {terms}）领取已结束，有效期至 {valid_until_ms}"),
            Reject::CouponMaximum { terms, coupons_max } => write!(f, "优惠券（种类 {terms}）已达到领取上限 {coupons_max} 张"),
        }
    }
}

const fn type_zh(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::Normal => "普通订单",
        OrderType::Seckill => "秒杀订单",
        OrderType::GroupBuy => "拼团订单",
    }
}

const fn status_zh(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "待支付",
        OrderStatus::Paid => "已支付",
        OrderStatus::Shipped => "已发货",
        OrderStatus::Completed => "已完成",
        OrderStatus::Cancelled => "已取消",
        OrderStatus::PartiallyShipped => "已部分发货",
    }
}

const fn state_zh(state: RefundState) -> &'static str {
    match state {
        RefundState::Applied => "待审核",
        RefundState::Withdrawn => "已撤销",
        RefundState::Rejected => "已拒绝",
        RefundState::Required => "待退款",
        RefundState::Requested => "退款中",
        RefundState::Failed => "退款失败",
        RefundState::Finished => "已完成",
    }
}

fn unit_zh(unit: &'static str) -> &'static str {
    match unit {
        "tasks" => "个任务",
        "bytes" => "字节",
        other => other,
    }
}

/// What the engine says within some rejects. A phrase that is not known here stays English, which is better than none.
fn phrase_zh(phrase: &'static str) -> &'static str {
    match phrase {
        "its id is 0" => "编号不能为 0",
        "it ends before it starts" => "结束时间早于开始时间",
        "it has more than 500 skus" => "商品超过 500 个",
        "a session has no teams" => "秒杀场次不能设置拼团",
        "a campaign needs teams" => "拼团活动必须设置拼团",
        "a team has 2 to 100 members" => "成团人数应为 2 至 100",
        "a team has 1 ms to 31 days to form" => "成团时限应为 1 毫秒至 31 天",
        "its orders would close at once" => "订单会立即关闭",
        "its kind can't change" => "活动类型不能修改",
        "it has started: its start can't change" => "活动已开始，不能修改开始时间",
        "it has started: its teams can't change" => "活动已开始，不能修改拼团设置",
        "it has started: its skus can't leave" => "活动已开始，不能移除商品",
        "it goes between two keys of one sku, and moves at least one unit" => {
            "只能在同一商品的两个库存之间调拨，且至少一件"
        }
        "only units of goods can be moved" => "只能调拨商品库存",
        "amounts from 0" | "an amount from 0" => "不小于 0 的金额",
        "zero or more" => "不小于 0",
        "1 to 2^40" => "1 至 2^40",
        "absent where prices are given" => "自带价格时不可填写",
        "not later than before" => "不晚于原来的时间",
        "take no team" => "不能选择拼团",
        "open a team or join one" => "须开团或参团",
        "attempts to pay" => "支付次数",
        "changes of price" => "改价次数",
        "events" => "操作次数",
        "packages" => "包裹数",
        "refunds" => "退款数",
        "too many conditions" | "a query with too many parts" => "条件过多",
        "a beginning that too many words have" => "匹配该词头的词过多",
        "the end of a phone number that too many have" => "匹配该号码末尾的电话过多",
        "the cursor of a search with the same sort" => "相同排序的搜索游标",
        other => search::chinese(other).unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn has_han(text: &str) -> bool {
        text.chars().any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char))
    }

    /// Everything in a message that looks like a value: words with a digit or an underscore in them.
    fn values(text: &str) -> impl Iterator<Item = &str> {
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.');
        text.split(move |char| !is_part(char))
            .map(|word| word.trim_matches('.'))
            .filter(|word| word.contains('_') || word.bytes().any(|byte| byte.is_ascii_digit()))
    }

    #[test]
    fn every_reject_says_in_chinese_what_it_says_in_english() {
        for reject in samples::all() {
            let (english, chinese) = (reject.to_string(), reject.message_zh());
            assert!(has_han(&chinese), "{}: {chinese}", reject.code());
            for value in values(&english) {
                assert!(chinese.contains(value), "{}: {value} is missing in {chinese}", reject.code());
            }
        }
    }

    #[test]
    fn every_name_within_a_message_has_a_translation() {
        let types = OrderType::ALL.map(type_zh);
        let states = RefundState::UNFINISHED.map(state_zh);
        let phrases = ["its id is 0", "take no team", "attempts to pay"].map(phrase_zh);
        let units = ["tasks", "bytes"].map(unit_zh);
        // Names of values stay as they are written in queries.
        let searched = search::EXPECTED.iter().filter(|(english, _)| *english != "started");
        let searched: Vec<_> = searched.map(|(english, _)| phrase_zh(english)).collect();
        let all = types.iter().chain(&states).chain(&phrases).chain(&units).chain(&searched);
        for text in all {
            assert!(has_han(text), "{text}");
        }
        assert_eq!(phrase_zh("something new"), "something new");
    }

    #[test]
    fn amounts_are_shown_in_yuan() {
        let reject = Reject::PriceChanged {
            expected: crate::domain::money::Money::from_minor(19_900),
            actual: crate::domain::money::Money::from_minor(5),
        };
        assert_eq!(reject.message_zh(), "价格已变动：预期 199.00 元，现为 0.05 元，请重新确认");
    }
}
