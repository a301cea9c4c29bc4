//! Bulk API 2.0 queries: what an org replies to the calls of a query job.

pub mod job;
pub mod results;
