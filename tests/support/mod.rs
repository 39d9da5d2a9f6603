//! What the integration tests share: a real Docker engine of their own and image archives made to measure.

// Each test file compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub mod engine;
pub mod http;
pub mod image;
pub mod run;
