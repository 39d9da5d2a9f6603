//! What of a plan must never reach a console, a log or the report.

use std::collections::BTreeSet;
use std::ops::Range;

use super::model::{Container, MigrationTarget, Plan, Probe};
use crate::mask::Masker;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Whether a variable of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "key", "credential"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// HTTP has names of its own for what proves who asks.
pub(super) fn is_secret_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_secret_name(name) || lower.contains("authorization") || lower.contains("cookie")
}

/// The text with the password of every `scheme://user:password@host` in it masked.
pub fn mask_url_passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for password in url_passwords(text) {
        masked.push_str(&text[end..password.start]);
        masked.push_str(MASK);
        end = password.end;
    }
    masked + &text[end..]
}

/// Where the passwords inside URLs stand.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(separator) = text[from..].find("://") {
        let start = from + separator + 3;
        from = start;
        let rest = &text[start..];
        let url = &rest[..rest
            .find(|c: char| c.is_whitespace() || c == '"')
            .unwrap_or(rest.len())];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let Some(colon) = authority.find(':') else {
            continue;
        };
        // The last `@` ends the password: many are written unescaped. So are slashes, but then what looks like the end
        // of the host is not a port.
        let is_port = authority[colon + 1..]
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        let end = match authority.rfind('@') {
            Some(end) => end,
            None if !is_port => match url.rfind('@') {
                Some(end) => end,
                None => continue,
            },
            None => continue,
        };
        if colon + 1 < end {
            found.push(start + colon + 1..start + end);
            from = start + end;
        }
    }
    found
}

/// `NAME=value` with a name that says it is a secret, as it stands in the arguments of `env` or of an option.
pub(super) fn secret_assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    (is_name && is_secret_name(name)).then_some((name, value))
}

/// Any string of a plan, fit to be shown.
pub(super) fn masked(text: &str) -> String {
    match secret_assignment(text) {
        Some((name, _)) => format!("{name}={MASK}"),
        None => mask_url_passwords(text),
    }
}

#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, value: &str) {
        if !value.is_empty() && value != MASK {
            self.0.insert(value.to_owned());
        }
    }

    /// A text that may hold some.
    fn look_in(&mut self, text: &str) {
        if let Some((_, value)) = secret_assignment(text) {
            self.add(value);
        }
        for password in url_passwords(text) {
            let password = &text[password];
            self.add(password);
            self.add(&percent_encoding::percent_decode_str(password).decode_utf8_lossy());
        }
    }

    fn variables<'v>(&mut self, variables: impl IntoIterator<Item = (&'v String, &'v String)>) {
        for (name, value) in variables {
            if is_secret_name(name) {
                self.add(value);
            }
            self.look_in(value);
        }
    }

    fn container(&mut self, container: &Container) {
        self.variables(&container.environment);
        self.variables(&container.labels);
        let test = container
            .healthcheck
            .iter()
            .flat_map(|healthcheck| &healthcheck.test);
        let command = container
            .command
            .iter()
            .chain(&container.entrypoint)
            .flatten();
        for text in command.chain(test) {
            self.look_in(text);
        }
    }

    fn probe(&mut self, probe: &Probe) {
        match probe {
            Probe::Exec { command, .. } => command.iter().for_each(|word| self.look_in(word)),
            Probe::Http(http) => {
                self.look_in(&http.address.url);
                for (name, value) in &http.headers {
                    self.look_in(value);
                    if is_secret_header(name) {
                        self.add(value);
                        // `Authorization: Bearer TOKEN`: the token alone is one too.
                        self.add(value.split_once(' ').map_or("", |(_, token)| token.trim()));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The secret values among variables written `NAME=value`: those that an image brings are in no plan.
pub fn secrets_among(variables: &[String]) -> Vec<String> {
    let pairs: Vec<(String, String)> = variables
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut secrets = Secrets::default();
    secrets.variables(pairs.iter().map(|(name, value)| (name, value)));
    secrets.0.into_iter().collect()
}

impl Plan {
    /// Knows all that is to be shown of it nowhere.
    pub(super) fn masker(&self) -> Masker {
        let masker = Masker::default();
        masker.publish(self.names());
        masker.add(self.secrets());
        masker
    }

    /// Every secret value in the plan, none empty, the longest first so that one inside another is masked whole.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = Secrets::default();
        for container in &self.containers {
            secrets.container(container);
        }
        for content in self.files.iter().filter_map(|file| file.secret.as_ref()) {
            // As it stands, and as a program reads it.
            secrets.add(content);
            content.lines().for_each(|line| secrets.add(line.trim()));
        }
        for service in &self.wait.services {
            secrets.probe(&service.probe);
        }
        for migration in &self.migrations {
            match &migration.target {
                MigrationTarget::OneShot(container) => secrets.container(container),
                MigrationTarget::Exec {
                    command,
                    environment,
                    ..
                } => {
                    secrets.variables(environment);
                    command.iter().for_each(|word| secrets.look_in(word));
                }
            }
        }
        if let Some(smoke) = &self.smoke {
            smoke
                .container
                .iter()
                .for_each(|container| secrets.container(container));
            smoke
                .checks
                .iter()
                .for_each(|check| secrets.probe(&check.probe));
        }
        self.hidden.0.iter().for_each(|value| secrets.add(value));
        let mut secrets: Vec<String> = secrets.0.into_iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_secret() {
        for name in [
            "CRON_SECRET",
            "pgpassword",
            "MYSQL_PASSWD",
            "apiKey",
            "GH_TOKEN",
            "AWS_CREDENTIALS",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["STACK_DEPS_ONLY", "DATABASE_URL", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn passwords_in_urls() {
        for (text, masked) in [
            ("postgres://u:pw@db:5432/x", "postgres://u:***@db:5432/x"),
            ("redis://:pw@db", "redis://:***@db"),
            (
                "a http://u:p@h/ http://v:q@i/",
                "a http://u:***@h/ http://v:***@i/",
            ),
            (
                "http://u:p@h,http://v:q@i/",
                "http://u:***@h,http://v:***@i/",
            ),
            ("http://u:p@ss@h/", "http://u:***@h/"),
            ("pg://u:p/w@h/x", "pg://u:***@h/x"),
            ("http://h:8080/x?to=a@b", "http://h:8080/x?to=a@b"),
            ("http://h/u:p@x", "http://h/u:p@x"),
            ("http://u:@h/", "http://u:@h/"),
            ("://", "://"),
            ("http://ü:ä@ö", "http://ü:***@ö"),
        ] {
            assert_eq!(mask_url_passwords(text), masked);
        }
    }

    #[test]
    fn assignments_in_arguments() {
        assert_eq!(masked("PGPASSWORD=x"), "PGPASSWORD=***");
        assert_eq!(masked("--password=x"), "--password=***");
        assert_eq!(masked("a b token=x"), "a b token=x");
    }
}
