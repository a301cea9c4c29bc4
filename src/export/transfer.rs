//! How the records of a query come: page by page over REST.

pub(super) mod rest;
