//! An image reference is checked against Docker's grammar (distribution/reference, `regexp.go`).

use std::sync::LazyLock;

use regex::Regex;

/// Of the whole name, registry included; Docker's limit.
const LONGEST_NAME: usize = 255;

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let registry = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let tag = r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}";
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let name = format!("(?:{registry}/)?{component}(?:/{component})*");
    Regex::new(&format!(
        "^(?<name>{name})(?<tag>:{tag})?(?<digest>@{digest})?$"
    ))
    .expect("the pattern is constant")
});

/// A reference as it was written.
pub fn image(text: &str) -> Result<String, String> {
    tagged_image(text).map(|_| text.to_owned())
}

/// A reference as the engine lists it: with `:latest` where neither tag nor digest was given.
pub fn tagged_image(text: &str) -> Result<String, String> {
    const EXPECTED: &str =
        "an image reference such as \"redis:7\" or \"registry:5000/team/app@sha256:…\"";
    let Some(parts) = REFERENCE
        .captures(text)
        .filter(|parts| parts["name"].len() <= LONGEST_NAME)
    else {
        let name = text.split(['@', ':']).next().unwrap_or_default();
        if name.chars().any(|c| c.is_ascii_uppercase()) {
            return super::expected(&format!("{EXPECTED} (its name in lower case)"), text);
        }
        return super::expected(EXPECTED, text);
    };
    if parts.name("tag").is_some() || parts.name("digest").is_some() {
        Ok(text.to_owned())
    } else {
        Ok(format!("{text}:latest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_takes_is_taken() {
        let digest = format!("app@sha256:{}", "0f".repeat(32));
        for text in [
            "redis",
            "localhost/app",
            "registry:5000/team/app:v1",
            "Registry.Example.com/app",
            "[::1]:5000/app",
            "a__b/c-d.e",
            &digest,
        ] {
            assert_eq!(image(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            "Redis",
            "redis:",
            ":7",
            "a b",
            "a//b",
            "redis:-x",
            "app@sha256:12",
            "-a",
            "a\n",
        ] {
            assert!(image(text).is_err(), "{text:?}");
        }
        assert!(image(&"a".repeat(256)).is_err());
        assert_eq!(
            image("Redis:7").unwrap_err(),
            "expected an image reference such as \"redis:7\" or \"registry:5000/team/app@sha256:…\" \
             (its name in lower case), found \"Redis:7\""
        );
    }

    #[test]
    fn latest_is_added_only_where_nothing_says_which() {
        // The colon of a registry's port is no tag.
        assert_eq!(
            tagged_image("registry:5000/app").unwrap(),
            "registry:5000/app:latest"
        );
        assert_eq!(tagged_image("redis:7").unwrap(), "redis:7");
        let digest = format!("app@sha256:{}", "0".repeat(64));
        assert_eq!(tagged_image(&digest).unwrap(), digest);
    }
}
