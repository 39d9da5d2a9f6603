//! The small languages inside a plan's strings (durations, ports, volumes, image references, …) become values. Each
//! function knows one of them and nothing of the plan around it; its error says what was expected and what was found.

mod address;
mod duration;
mod image;
mod name;
mod port;
mod seccomp;
mod size;
mod volume;
mod words;

pub(super) use address::{extra_host, http_address, socket, unix_socket};
pub(super) use duration::{LONGEST, duration, limit};
pub(super) use image::{image, tagged_image};
pub(super) use name::{
    absolute_path, bundle_path, display_name, docker_name, hostname, resource_key, variable_name,
};
pub(super) use port::{host_ip, port, ports, protocol, published};
pub(super) use seccomp::seccomp_file;
pub(super) use size::size;
pub(super) use volume::{PROPAGATIONS, bind_source, tmpfs, volume};
pub(super) use words::words;

use super::reader::quoted;

/// The usual shape of an error.
fn expected<T>(what: &str, found: &str) -> Result<T, String> {
    Err(format!("expected {what}, found {}", quoted(found)))
}
