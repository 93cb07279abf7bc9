//! Black-box tests of the built product, one file a noun.

mod lead;
mod subscribe;
