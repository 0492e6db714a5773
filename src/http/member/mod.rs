//! What a shop's front end calls on behalf of a member, who sees and changes nothing but their own (R14), and what it
//! calls for everybody.
//!
//! | module | routes |
//! |---|---|
//! | [`preview`], [`submit`], [`result`] | placing an order |
//! | [`list`], [`order`], [`refund`] | orders that are placed |
//! | [`coupons`], [`team`] | what else a member has |
//! | [`activities`], [`stock`], [`time`] | for everybody |

pub mod activities;
pub mod coupons;
pub mod list;
pub mod order;
pub mod preview;
pub mod refund;
pub mod result;
pub mod stock;
pub mod submit;
pub mod team;
pub mod time;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::state::App;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit::submit))
        .routes(routes!(preview::preview))
        .routes(routes!(result::result))
        .routes(routes!(list::list))
        .routes(routes!(order::show))
        .routes(routes!(order::pay))
        .routes(routes!(order::cancel))
        .routes(routes!(order::confirm))
        .routes(routes!(order::change_address))
        .routes(routes!(refund::apply))
        .routes(routes!(refund::withdraw))
        .routes(routes!(refund::show))
        .routes(routes!(coupons::list))
        .routes(routes!(team::show))
        .routes(routes!(activities::list))
        .routes(routes!(stock::show))
        .routes(routes!(time::now))
}

/// The length of a page that was asked for.
fn page_len(size: Option<usize>, default: usize, len_max: usize) -> Result<usize, Problem> {
    match size {
        None => Ok(default),
        Some(size) if (1..=len_max).contains(&size) => Ok(size),
        Some(size) => Err(Problem::invalid(
            "size",
            format!("size is {size}: a page has 1 to {len_max}"),
            format!("size 为 {size}：每页应为 1 到 {len_max} 条"),
        )),
    }
}

/// A cursor that no answer has given.
fn wrong_cursor() -> Problem {
    Problem::invalid("cursor", "cursor is not one that an answer gave as next", "cursor 不是先前返回的 next")
}
