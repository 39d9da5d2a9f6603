//! Everything the agent does to or reads from the machine it runs on, each effect behind a narrow trait.

pub mod block_devices;
pub mod bounded;
pub mod disks;
pub mod iso9660;
pub mod kernel_log;
mod loop_device;
pub mod machine;
pub mod mount_table;
pub mod mounts;
pub mod vitals;
