//! `build-arch.env`: what the host knows about the guest it starts.

use std::collections::BTreeMap;

use crate::arch::Arch;

pub const FILE: &str = "build-arch.env";
const ARCH: &str = "STACK_EMULATOR_BUILD_ARCH";
const ACCEL: &str = "STACK_EMULATOR_BUILD_ACCEL";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildArch {
    /// The architecture the bundle was made for.
    pub arch: Arch,
    /// QEMU's accelerator, in the host's words.
    pub accel: Option<String>,
    /// All variables of the file, these two among them, such as `STACK_DEPS_TIMEOUT`.
    pub variables: BTreeMap<String, String>,
}

/// Reads the file's text: `NAME=value` on each line, empty lines and `#` comments between them. As scripts source such
/// files too, `export` before the name and one pair of quotes around the value are taken off.
///
/// # Errors
/// A sentence with file, line and what was expected there.
pub fn parse(text: &str) -> Result<BuildArch, String> {
    let mut variables = BTreeMap::new();
    let mut arch_line = 0;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = assignment.split_once('=').filter(|(name, _)| is_name(name))
        else {
            return Err(format!("{FILE}:{number}: expected NAME=value"));
        };
        if name == ARCH {
            arch_line = number;
        }
        variables.insert(name.to_string(), unquoted(value).to_string());
    }
    let arch = match variables.get(ARCH) {
        None => {
            return Err(format!(
                "{FILE}: {ARCH} is missing; expected {ARCH}=amd64 or {ARCH}=arm64"
            ));
        }
        Some(value) => Arch::from_docker(value).ok_or_else(|| {
            format!("{FILE}:{arch_line}: {ARCH} is {value:?}; expected amd64 or arm64")
        })?,
    };
    Ok(BuildArch {
        arch,
        accel: variables
            .get(ACCEL)
            .filter(|value| !value.is_empty())
            .cloned(),
        variables,
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architecture_accelerator_and_the_other_variables_are_read() {
        let build = parse(
            "# written by the host\r\nSTACK_EMULATOR_BUILD_ARCH=arm64\r\n\r\n\
             export STACK_EMULATOR_BUILD_ACCEL=\"tcg\"\nSTACK_DEPS_TIMEOUT=900\nX=a=b\n",
        )
        .unwrap();
        assert_eq!(build.arch, Arch::Arm64);
        assert_eq!(build.accel.as_deref(), Some("tcg"));
        assert_eq!(build.variables["STACK_DEPS_TIMEOUT"], "900");
        assert_eq!(build.variables["X"], "a=b");
    }

    #[test]
    fn the_accelerator_may_be_missing_or_empty() {
        let only = "STACK_EMULATOR_BUILD_ARCH=amd64";
        assert_eq!(parse(only).unwrap().accel, None);
        let empty = format!("{only}\nSTACK_EMULATOR_BUILD_ACCEL=");
        assert_eq!(parse(&empty).unwrap().accel, None);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (text, expected) in [
            (
                "",
                "build-arch.env: STACK_EMULATOR_BUILD_ARCH is missing; expected STACK_EMULATOR_BUILD_ARCH=amd64 or STACK_EMULATOR_BUILD_ARCH=arm64",
            ),
            (
                "\nSTACK_EMULATOR_BUILD_ARCH=x86_64",
                "build-arch.env:2: STACK_EMULATOR_BUILD_ARCH is \"x86_64\"; expected amd64 or arm64",
            ),
            (
                "STACK_EMULATOR_BUILD_ARCH=amd64\nnonsense",
                "build-arch.env:2: expected NAME=value",
            ),
            ("A B=1", "build-arch.env:1: expected NAME=value"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }
}
