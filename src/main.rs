//! Arguments → cli → exit status.

fn main() {}
