//! Refusals of the relay as problems.

use axum::http::StatusCode;

use crate::http::problem::Problem;
use crate::relay::RelayError;

/// The name of a subscription is its caller's word, so no problem repeats it.
///
/// Exhaustive on purpose: a new refusal has to choose.
impl From<RelayError> for Problem {
    fn from(error: RelayError) -> Self {
        let conflict = StatusCode::CONFLICT;
        match error {
            RelayError::Off => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "relay_off",
                "the relay is closed",
                "事件转发已关闭",
            ),
            RelayError::Stopped { name: _, reason } => Self::new(
                conflict,
                "subscription_stopped",
                format!("the subscription does not run: {reason}"),
                format!("该订阅未在运行：{reason}"),
            ),
            RelayError::NotFound { name: _ } => Self::new(
                StatusCode::NOT_FOUND,
                "subscription_not_found",
                "there is no subscription of this name",
                "没有该名称的订阅",
            ),
            RelayError::Exists { name: _ } => Self::new(
                conflict,
                "subscription_exists",
                "there is a subscription of this name already, with other settings",
                "该名称的订阅已存在，且设置不同",
            ),
            RelayError::Configured { name: _ } => Self::new(
                conflict,
                "subscription_configured",
                "this subscription comes from the configuration: change it there",
                "该订阅来自配置文件：请在配置中修改",
            ),
            RelayError::Invalid { field, reason } => {
                let chinese = format!("{field} 不正确：{reason}");
                Self::invalid(field, reason, chinese)
            }
            RelayError::TooMany { max } => Self::new(
                conflict,
                "too_many_subscriptions",
                format!("there are {max} subscriptions already, as many as may be"),
                format!("订阅数量已达上限 {max}"),
            ),
            RelayError::Trimmed { asked, first } => Self::new(
                conflict,
                "position_trimmed",
                format!("position {asked} is gone: the journal begins at {first}"),
                format!("位置 {asked} 已被清理：日志从 {first} 开始"),
            ),
            RelayError::Ahead { asked, last } => Self::new(
                conflict,
                "position_ahead",
                format!("position {asked} is not written yet: the journal ends at {last}"),
                format!("位置 {asked} 尚未写入：日志到 {last} 为止"),
            ),
            RelayError::NotPulled { name: _ } => Self::new(
                conflict,
                "subscription_not_pulled",
                "this subscription has a sink of its own: it can't be polled or acknowledged",
                "该订阅有自己的投递目标，不能拉取或确认",
            ),
            RelayError::Busy { name: _ } => Self::new(
                conflict,
                "subscription_busy",
                "somebody else polls this subscription at this moment",
                "该订阅正在被其他调用方拉取，请稍后再试",
            )
            .retry_after_ms(1_000),
            RelayError::NoDeadLetter { position: _ } => Self::new(
                StatusCode::NOT_FOUND,
                "dead_letter_not_found",
                "the subscription has no dead letter at this position",
                "该订阅在此位置没有死信",
            )
            .field("position"),
            RelayError::Storage(reason) => {
                tracing::error!(%reason, "the relay can't write what it keeps");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "relay_failed",
                    "what the relay keeps can't be written: the log says why; orders go on",
                    "事件转发的存储写入失败：原因见日志；订单不受影响",
                )
            }
        }
    }
}
