//! JSON on the way in and out: bodies, query strings and path parts, each with a clear refusal; ids, instants, opaque
//! values.

mod body;
mod id;
mod moment;
mod number;
mod params;
mod value;

pub use body::{BODY_BYTES_MAX, Body, parse, read};
pub use id::Id;
pub use moment::Moment;
pub use number::OrderNumber;
pub use params::{Params, Part, PartPair, Parts};
pub use value::{ext_bytes, ext_value, instant};
