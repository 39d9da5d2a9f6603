//! Who had better unpack an archive: the engine or the agent.
//!
//! Measured with `benches/image_load.rs` (400 MB of Debian's files, data root in memory, two busy cores; time relative
//! to a plain tar sent by the agent):
//!
//! | packing | by | engine 20.10 | engine 26.1 |
//! |---|---|---|---|
//! | gzip | agent | 1.08 | 1.24 |
//! | gzip | engine | 1.34 | 1.35 |
//! | zstd | agent | 0.87 | 1.11 |
//! | zstd | engine | refused | 1.11 |
//!
//! So the agent is never slower. It also sees what it sends, and need not ask what the engine understands.

use super::Compression;

/// One of the two ends of the engine's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Agent,
    Engine,
}

/// The side to unpack an archive for an engine of this API version (major, minor): the agent, unless `wanted` says
/// otherwise and the engine is able to.
pub fn who_decompresses(
    compression: Compression,
    engine_api: (usize, usize),
    wanted: Option<Side>,
) -> Side {
    match wanted {
        Some(Side::Engine) if engine_unpacks(compression, engine_api) => Side::Engine,
        _ => Side::Agent,
    }
}

/// Whether `POST /images/load` takes an archive packed so, whichever image store the engine uses.
///
/// With containerd's image store only since 25.0, API 1.44 (<https://github.com/moby/moby/pull/46605>). Docker's own
/// store has always known gzip, and zstd since 23.0, API 1.42 (<https://github.com/moby/moby/pull/41759>); between
/// these the API does not tell which of the two it is, and only 23.0 and 24.0 offer the other as an experiment.
fn engine_unpacks(compression: Compression, engine_api: (usize, usize)) -> bool {
    match compression {
        Compression::Plain => true,
        Compression::Gzip => !matches!(engine_api, (1, 42 | 43)),
        Compression::Zstd => engine_api >= (1, 44),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_unpacks_unless_told_otherwise() {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            assert_eq!(who_decompresses(compression, (1, 50), None), Side::Agent);
            assert_eq!(
                who_decompresses(compression, (1, 50), Some(Side::Engine)),
                Side::Engine
            );
        }
    }

    #[test]
    fn an_engine_gets_only_what_it_understands() {
        let engine = Some(Side::Engine);
        assert_eq!(
            who_decompresses(Compression::Zstd, (1, 41), engine),
            Side::Agent
        );
        assert_eq!(
            who_decompresses(Compression::Zstd, (1, 43), engine),
            Side::Agent
        );
        assert_eq!(
            who_decompresses(Compression::Gzip, (1, 41), engine),
            Side::Engine
        );
        assert_eq!(
            who_decompresses(Compression::Gzip, (1, 43), engine),
            Side::Agent
        );
    }
}
