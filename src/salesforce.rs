//! The protocol without sockets: what is asked of an org as bytes, and what its answers' bytes say.

pub mod advice;
pub mod assertion;
pub mod column_metadata;
pub mod explain;
pub mod fault;
pub mod identity;
mod json;
pub mod limits;
pub mod page;
pub mod query;
pub mod token;
pub mod versions;
