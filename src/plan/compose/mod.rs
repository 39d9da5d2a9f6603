//! `compose = …`: Compose files of the bundle become containers, networks, volumes and files of the plan, so that
//! nothing after this knows where they came from.
//!
//! text → `yaml` → `interpolate` → `canonical` → `merge` (`load` brings the files together, `extends` and `include` theirs) → `service`, `project`.
//! Where the specification leaves a choice, compose-go's is taken.

mod canonical;
mod dotenv;
mod extends;
mod include;
mod interpolate;
mod keys;
mod load;
mod merge;
mod mounted;
mod paths;
mod project;
mod service;
mod sources;
mod variables;
mod yaml;

#[cfg(test)]
mod tests;

pub(super) use dotenv::parse as parse_env_file;
pub(super) use project::DEFAULT_PROJECT;
pub(super) use project::joined;
pub use project::normalized as project_name;
pub(super) use variables::Variables;
