//! The plan: the text of `guestbake.toml` and the bundle's env files become values that refer only to what exists.

mod model;

pub use model::*;
