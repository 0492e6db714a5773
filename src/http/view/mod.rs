//! What answers show of the engine's things: the JSON that the member API and the back office share.
//!
//! Nothing here asks the engine anything; a view is turned into its body, and what its reader may not see is left out.

pub mod order;
pub mod refund;
