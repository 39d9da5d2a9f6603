//! guestbake turns a freshly booted cloud guest into a finished image, or says why it could not.

pub mod arch;
pub mod bundle;
pub mod failure;
pub mod guest;
pub mod host;
pub mod plan;
pub mod watch;
