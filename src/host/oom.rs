//! The kernel's out-of-memory killer, and how far up on its list this process stands.

/// proc(5): -1000 is never killed, 0 is like everybody else.
pub const NEVER: i32 = -1000;
pub const USUAL: i32 = 0;

/// Without the right to change it, it stays as it is.
#[expect(
    clippy::disallowed_methods,
    reason = "a write to /proc is whole or not done"
)]
pub fn set_score(adjustment: i32) {
    let _ = std::fs::write("/proc/self/oom_score_adj", adjustment.to_string());
}
