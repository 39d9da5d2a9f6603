//! `seccomp=FILE` of `security_opt`.

/// The file with the profile, if the option names one: Docker's command line and Compose read it, and send what it says.
pub fn seccomp_file(option: &str) -> Option<&str> {
    let value = option.strip_prefix("seccomp")?.strip_prefix(['=', ':'])?;
    let is_file = !["unconfined", "builtin"].contains(&value) && !value.starts_with('{');
    is_file.then_some(value)
}
