//! Records in, bytes out.

pub mod csv;
