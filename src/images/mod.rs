//! Image archives of the bundle into images of the engine.

pub mod archive;
mod foreign;
mod stage;

pub use stage::{LoadedImages, as_found, emulated_ones, load};
