//! Names and paths that the engine or the kernel would refuse are refused here, before anything was started.

/// The name of a container, volume or network: Docker's `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn docker_name(text: &str) -> Result<String, String> {
    let mut characters = text.chars();
    let starts_well = characters.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let goes_on_well = characters.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if starts_well && goes_on_well && text.len() >= 2 {
        Ok(text.to_owned())
    } else {
        super::expected(
            "a name of at least two letters, digits, `_`, `.` or `-`, starting with a letter or digit",
            text,
        )
    }
}

/// What a volume or network is called in the plan; the engine's name for it may be longer.
pub fn resource_key(text: &str) -> Result<String, String> {
    if docker_name(&format!("{text}_")).is_ok() {
        return Ok(text.to_owned());
    }
    super::expected(
        "a name of letters, digits, `_`, `.` or `-`, starting with a letter or digit",
        text,
    )
}

/// A name that is shown in the lines on the console.
pub fn display_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) || text.chars().count() > 100 {
        return super::expected("a name of one line, at most 100 characters", text);
    }
    Ok(text.to_owned())
}

pub fn hostname(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    // The kernel's limit.
    if text.len() <= 64 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        super::expected("a host name", text)
    }
}

/// The name of an environment variable or a label, as freely as the engine takes it.
pub fn variable_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['=', '\0']) || text.chars().any(char::is_whitespace) {
        return super::expected("a name without `=` or white space", text);
    }
    Ok(text.to_owned())
}

pub fn absolute_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        super::expected("an absolute path", text)
    }
}

/// The name of a file in the bundle.
pub fn bundle_path(text: &str) -> Result<String, String> {
    let leaves = text.starts_with('/') || text.split('/').any(|part| part == "..");
    if text.is_empty() || text.ends_with('/') || leaves {
        return super::expected(
            "the name of a file in the bundle, without a leading `/` and without `..`",
            text,
        );
    }
    Ok(text.strip_prefix("./").unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names() {
        for good in ["deps", "a1", "stack-postgres-data", "A_b.c"] {
            assert!(docker_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", ".ab", "a b", "a/b", "äb"] {
            assert!(docker_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bundle_paths_stay_inside_the_bundle() {
        assert_eq!(bundle_path("./img.tgz").unwrap(), "img.tgz");
        assert_eq!(bundle_path("a/b..c").unwrap(), "a/b..c");
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/"] {
            assert!(bundle_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_cannot_break_a_console_line() {
        assert!(display_name("init services").is_ok());
        assert!(display_name("a\nSTACK_CLOUD_INIT_DONE").is_err());
        assert!(display_name(" ").is_err());
    }

    #[test]
    fn host_and_variable_names() {
        assert!(hostname("db.local").is_ok());
        assert!(hostname("db..local").is_err());
        assert!(hostname(&"a".repeat(65)).is_err());
        assert!(variable_name("npm.config-x").is_ok());
        assert!(variable_name("A B").is_err());
        assert!(variable_name("A=B").is_err());
    }
}
