//! After a failed run that is held: how to look inside, in commands that work as they stand.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::event::Outcome;
use crate::failure::{Reason, Stage};
use crate::pipeline::Request;

/// How this program was called, for calling it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    program: String,
    /// Bundle, plan, engine and accelerator, as they were given.
    options: String,
    /// The engine's own command with its options, where it is installed.
    docker: Option<String>,
}

impl Hold {
    pub fn of(request: &Request) -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| "guestbake".into());
        let path = std::env::var("PATH").unwrap_or_default();
        let docker = std::env::split_paths(&path).any(|folder| folder.join("docker").is_file());
        let host = option("-H", request.docker_host.as_deref());
        Hold {
            program: quoted(&program.to_string_lossy()),
            options: [
                option("--bundle", absolute(request.bundle.as_deref()).as_deref()),
                option("--plan", absolute(request.plan.as_deref()).as_deref()),
                option("--docker-host", request.docker_host.as_deref()),
                option("--accel", request.accel.as_deref()),
            ]
            .concat(),
            docker: docker.then(|| format!("docker{host}")),
        }
    }

    pub fn how_to_look_inside(&self, outcome: &Outcome) -> Vec<String> {
        let stage = outcome.stage.unwrap_or(Stage::Bundle);
        let call = |verb: &str| format!("{} {verb}{}", self.program, self.options);
        let alone = match stage {
            Stage::Containers | Stage::Wait => Some(("are the services up?", "wait")),
            Stage::Migrations => Some(("the migrations again", "migrate")),
            Stage::Smoke => Some(("the smoke test again", "smoke")),
            _ => None,
        };
        // A container that is dead is started with all the others only.
        let from = match (stage, outcome.reason) {
            (Stage::Wait, Some(Reason::DependencyExited)) => Stage::Containers,
            (stage, _) => stage,
        };
        let go_on = match from >= Stage::Images {
            true => call(&format!("run --hold --from {from}")),
            false => call("run --hold"),
        };
        let mut lines = vec![("machine, logs, probes", call("diagnose"))];
        lines.extend(alone.map(|(what, verb)| (what, call(verb))));
        if let Some(docker) = &self.docker {
            lines.push(("all containers", format!("{docker} ps -a")));
            lines.push(("a shell in one", format!("{docker} exec -it NAME sh")));
        }
        lines.push(("go on when mended", go_on));
        let head = "held: everything stays as it is, for a look inside".to_owned();
        let lines = lines
            .into_iter()
            .map(|(what, command)| format!("  {what:<21}  {command}"));
        std::iter::once(head).chain(lines).collect()
    }
}

fn option(name: &str, value: Option<&str>) -> String {
    value.map_or(String::new(), |value| format!(" {name} {}", quoted(value)))
}

/// The next shell may be in another folder.
fn absolute(path: Option<&Path>) -> Option<String> {
    let path = path?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Some(path.to_string_lossy().into_owned())
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(docker: bool) -> Hold {
        Hold {
            program: "/usr/local/bin/guestbake".into(),
            options: option("--bundle", Some("/srv/my bundle")),
            docker: docker.then(|| "docker -H unix:///x".into()),
        }
    }

    fn failed(stage: Option<Stage>, reason: Reason) -> Outcome {
        Outcome::failed(stage, reason, String::new())
    }

    #[test]
    fn a_wait_that_timed_out_goes_on_waiting() {
        let outcome = failed(Some(Stage::Wait), Reason::WaitTimeout);
        assert_eq!(
            hold(true).how_to_look_inside(&outcome),
            [
                "held: everything stays as it is, for a look inside",
                "  machine, logs, probes  /usr/local/bin/guestbake diagnose --bundle '/srv/my bundle'",
                "  are the services up?   /usr/local/bin/guestbake wait --bundle '/srv/my bundle'",
                "  all containers         docker -H unix:///x ps -a",
                "  a shell in one         docker -H unix:///x exec -it NAME sh",
                "  go on when mended      /usr/local/bin/guestbake run --hold --from wait --bundle '/srv/my bundle'",
            ]
        );
    }

    #[test]
    fn where_it_goes_on_depends_on_what_failed() {
        let last = |stage, reason| {
            let lines = hold(false).how_to_look_inside(&failed(stage, reason));
            lines.last().unwrap().clone()
        };
        let dead = last(Some(Stage::Wait), Reason::DependencyExited);
        assert!(dead.contains("run --hold --from containers --bundle"));
        let early = last(Some(Stage::Plan), Reason::PlanInvalid);
        assert!(early.contains("run --hold --bundle"));
        assert!(last(None, Reason::Killed).contains("run --hold --bundle"));
        assert!(last(Some(Stage::Smoke), Reason::SmokeFailed).contains("--from smoke"));
    }

    #[test]
    fn a_word_is_quoted_when_a_shell_would_take_it_apart() {
        assert_eq!(quoted("/dev/vdc"), "/dev/vdc");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
