//! guestbake turns a freshly booted cloud guest into a finished image, or says why it could not.

pub mod arch;
pub mod audience;
pub mod bundle;
pub mod cli;
pub mod containers;
pub mod diagnose;
pub mod engine;
pub mod event;
pub mod failure;
pub mod guardian;
pub mod guest;
pub mod host;
pub mod images;
pub mod lines;
pub mod mask;
pub mod migrate;
pub mod pack;
pub mod pipeline;
pub mod plan;
pub mod report;
pub mod smoke;
pub mod verdict;
pub mod view;
pub mod wait;
pub mod watch;
pub mod worker;
