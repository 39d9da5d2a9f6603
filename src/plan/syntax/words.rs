//! A command given as one string becomes its words, with a shell's rules for quotes and no others.

/// The words of a command. No shell runs it, so what only a shell would understand is an error.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(other) => word.push(other),
                        None => return Err("a `'` is never closed".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => match characters.next() {
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                            Some('\n') => {}
                            Some(other) => word.extend(['\\', other]),
                            None => return Err("a `\"` is never closed".to_owned()),
                        },
                        Some(other) => word.push(other),
                        None => return Err("a `\"` is never closed".to_owned()),
                    }
                }
            }
            '\\' => match characters.next() {
                Some('\n') => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err("a `\\` with nothing after it".to_owned()),
            },
            // Compose drops such a character with all that follows it, silently.
            '|' | '&' | ';' | '<' | '>' => {
                return Err(format!(
                    "`{character}` needs a shell, and none runs this: quote it, or write [\"sh\", \"-c\", \"…\"]"
                ));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words("node  a.mjs\tmigrate").unwrap(),
            ["node", "a.mjs", "migrate"]
        );
        assert_eq!(
            words(r#"sh -c 'a; "b"' "c \"d\" \n" e\ f ''"#).unwrap(),
            ["sh", "-c", "a; \"b\"", "c \"d\" \\n", "e f", ""]
        );
        // A `#` starts no comment: Compose has none either.
        assert_eq!(words("echo #1").unwrap(), ["echo", "#1"]);
        assert!(words("  ").unwrap().is_empty());
    }

    #[test]
    fn what_needs_a_shell_says_so() {
        assert_eq!(
            words("a && b").unwrap_err(),
            "`&` needs a shell, and none runs this: quote it, or write [\"sh\", \"-c\", \"…\"]"
        );
        assert_eq!(words("a 'b").unwrap_err(), "a `'` is never closed");
        assert_eq!(words("a \"b\\").unwrap_err(), "a `\"` is never closed");
        assert_eq!(words("a\\").unwrap_err(), "a `\\` with nothing after it");
    }
}
