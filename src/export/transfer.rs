//! How the records of a query come: page by page over REST.

mod count;
pub(super) mod rest;
