//! Who had better unpack an archive: the engine or the agent.

use super::Compression;

/// One of the two ends of the engine's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Agent,
    Engine,
}

pub fn who_decompresses(_compression: Compression, _engine_api: (usize, usize)) -> Side {
    Side::Agent
}
