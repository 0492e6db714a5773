//! Who calls, and what they may do: principals, the access that each route asks for.
//!
//! First of all that happens to a request after its size was looked at. It knows nothing of HTTP types: it is handed a
//! header's text and a matched route, and answers with a principal or with an error that has a stable code.

pub mod access;
pub mod principal;
