//! The protocol without sockets: builds the bytes of each call to an org, and reads the bytes of its response.

pub mod advice;
pub mod assertion;
pub mod bulk;
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
pub mod replication;
pub mod response;
mod swar;
pub mod token;
pub mod versions;
