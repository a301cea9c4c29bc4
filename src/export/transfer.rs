//! How the records of a query arrive: page by page over REST.

mod count;
pub(super) mod rest;
