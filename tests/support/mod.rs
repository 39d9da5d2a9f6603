//! What the integration tests share: a real Docker engine of their own, image archives made to measure, servers to probe,
//! and the program run on a bundle.

// Each test file compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub mod engine;
pub mod fake;
pub mod guest;
pub mod http;
pub mod image;
pub mod provision;
pub mod server;
pub mod terminal;
