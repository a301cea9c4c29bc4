//! The protocol without sockets: the calls to an org as bytes, and what its responses' bytes mean.

pub mod advice;
pub mod assertion;
pub mod call;
pub mod column_metadata;
pub mod composite;
pub mod describe;
pub mod explain;
pub mod fault;
pub mod identity;
mod json;
pub mod limits;
pub mod page;
pub mod query;
pub mod response;
pub mod token;
pub mod versions;
