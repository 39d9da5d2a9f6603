//! The bytes of an env file become variables, by the rules of `docker run --env-file`.
//!
//! The rules are those of docker/cli (`pkg/kvfile`, earlier `opts/file.go`): white space before a line is dropped,
//! lines that then start with `#` are comments, everything after the first `=` is the value with its quotes, `#` and
//! trailing blanks, a name alone takes its value from the caller's environment or is left out, a byte order mark before
//! the first line is dropped, and of `\r\n` both characters end the line. Not shared with Compose, which interpolates.

use super::Environment;

/// Docker reads lines into a buffer of this size, line end included.
const LONGEST_LINE: usize = 64 * 1024;

/// What is wrong with one line; never a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFileError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// The variables in the order of the file; a name that comes twice is there twice, and the last counts.
pub fn parse(
    bytes: &[u8],
    environment: &Environment,
) -> Result<Vec<(String, String)>, Vec<EnvFileError>> {
    let mut variables = Vec::new();
    let mut errors = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        match parse_line(line, index == 0, environment) {
            Ok(variable) => variables.extend(variable),
            Err(message) => errors.push(EnvFileError {
                line: index + 1,
                message,
            }),
        }
    }
    if errors.is_empty() {
        Ok(variables)
    } else {
        Err(errors)
    }
}

fn parse_line(
    line: &[u8],
    is_first: bool,
    environment: &Environment,
) -> Result<Option<(String, String)>, String> {
    if line.len() >= LONGEST_LINE {
        return Err(format!(
            "a line of {} bytes; at most {}",
            line.len(),
            LONGEST_LINE - 1
        ));
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8: byte {} of the line", error.valid_up_to() + 1))?;
    let line = if is_first {
        line.strip_prefix('\u{feff}').unwrap_or(line)
    } else {
        line
    };
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    };
    if name.is_empty() {
        return Err("no variable name before the `=`".to_owned());
    }
    if name.contains([' ', '\t']) {
        // Without an `=` it may be a line of some multi-line secret.
        return Err(match value {
            Some(_) => format!("the variable name {name:?} contains white space"),
            None => "a variable name contains white space".to_owned(),
        });
    }
    if line.contains('\0') {
        return Err("a NUL character".to_owned());
    }
    let value = value.or_else(|| environment.get(name));
    Ok(value.map(|value| (name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(bytes: &[u8]) -> Vec<(String, String)> {
        parse(bytes, &Environment::from_iter([("HOME", "/root")])).unwrap()
    }

    fn only(bytes: &[u8]) -> (String, String) {
        let mut variables = variables(bytes);
        assert_eq!(variables.len(), 1);
        variables.remove(0)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_value_is_literal() {
        assert_eq!(
            only(b"A=\"b\" # c $D 'e' = "),
            pair("A", "\"b\" # c $D 'e' = ")
        );
        assert_eq!(only(b"A="), pair("A", ""));
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(variables(b"# A=1\n\n  \t# B=2\n \n"), []);
        assert_eq!(only(b"\t A=1"), pair("A", "1"));
    }

    #[test]
    fn a_name_alone_is_taken_from_the_environment_or_left_out() {
        assert_eq!(variables(b"HOME\nNOT_SET\n"), [pair("HOME", "/root")]);
    }

    #[test]
    fn windows_line_ends_and_byte_order_mark() {
        assert_eq!(
            variables(b"\xef\xbb\xbfA=1\r\nB=2\r\r\n"),
            [pair("A", "1"), pair("B", "2\r")]
        );
        assert_eq!(only(b"A=1\n\n").1, "1");
        // Only before the first line.
        assert_eq!(only(b"\n\xef\xbb\xbfA=1").0, "\u{feff}A");
    }

    #[test]
    fn every_bad_line_is_reported_and_no_value_is_printed() {
        let long = "A=".to_owned() + &"x".repeat(LONGEST_LINE - 2);
        let bytes = [
            b"GOOD=1\n=x\nMY KEY=hunter2\nhunter2 hunter3\nA=\xff\nB=a\0b\n",
            long.as_bytes(),
        ]
        .concat();
        let errors = parse(&bytes, &Environment::default()).unwrap_err();
        let lines: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.line, error.message))
            .collect();
        assert_eq!(
            lines,
            [
                "2: no variable name before the `=`",
                "3: the variable name \"MY KEY\" contains white space",
                "4: a variable name contains white space",
                "5: not UTF-8: byte 3 of the line",
                "6: a NUL character",
                "7: a line of 65536 bytes; at most 65535",
            ]
        );
    }

    #[test]
    fn the_longest_line_that_docker_takes() {
        let line = "A=".to_owned() + &"x".repeat(LONGEST_LINE - 3);
        assert_eq!(only(line.as_bytes()).1.len(), LONGEST_LINE - 3);
    }
}
