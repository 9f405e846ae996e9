//! The program `gaugeline`.
fn main() {}
