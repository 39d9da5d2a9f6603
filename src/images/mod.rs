//! Image archives of the bundle into images of the engine.

pub mod archive;
