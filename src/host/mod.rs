//! Everything the agent does to or reads from the machine it runs on, each effect behind a narrow trait.

pub mod binfmt;
pub mod block_devices;
pub mod bounded;
pub mod console;
pub mod disks;
pub mod docker;
pub mod durable;
pub mod engine;
pub mod free_blocks;
pub mod instance;
pub mod iso9660;
pub mod journal;
pub mod kernel_log;
mod loop_device;
pub mod machine;
pub mod mount_table;
pub mod mounts;
pub mod notify;
pub mod oom;
pub mod port;
pub mod power;
mod private_ca;
pub mod probes;
pub mod share;
pub mod systemd;
pub mod vitals;

use std::sync::Arc;

/// What the stages may do to the outside, chosen once, at the entry.
pub struct Host {
    pub mounts: Arc<dyn mounts::Mounts>,
    pub machine: Arc<dyn machine::Machine>,
    pub handlers: Arc<dyn binfmt::Handlers>,
    pub units: Arc<dyn systemd::Units>,
    pub engine: Arc<dyn engine::Connect>,
    pub disks: Arc<dyn disks::Disks>,
    pub free_blocks: Arc<dyn free_blocks::FreeBlocks>,
    pub instance: Arc<dyn instance::Instance>,
    pub network: Arc<dyn probes::Network>,
    pub vitals: Arc<dyn vitals::Vitals>,
}

impl Host {
    pub fn of_this_guest(docker_host: Option<&str>) -> Self {
        Host {
            mounts: Arc::new(mounts::Kernel::default()),
            machine: Arc::new(machine::ThisMachine),
            handlers: Arc::new(binfmt::KernelHandlers),
            units: Arc::new(systemd::Systemd),
            engine: Arc::new(docker::DockerHost::choose(docker_host)),
            disks: Arc::new(disks::LocalDisks),
            free_blocks: Arc::new(free_blocks::LocalFileSystems),
            instance: Arc::new(instance::ThisInstance),
            network: Arc::new(probes::GuestNetwork),
            vitals: Arc::new(vitals::LocalVitals),
        }
    }
}
