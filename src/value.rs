//! What a value is and how it is written, whatever brings it and whatever format it goes to.

pub mod number;
