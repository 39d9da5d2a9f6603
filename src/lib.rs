//! guestbake turns a freshly booted cloud guest into a finished image, or says why it could not.

pub mod failure;
pub mod images;
pub mod lines;
pub mod mask;
pub mod plan;
