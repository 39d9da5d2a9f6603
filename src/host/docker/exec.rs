use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{CHANGE_LIMIT, DockerEngine, QUERY_LIMIT, bounded, refine};
use crate::host::engine::{Command, EngineError, EngineResult, Exec, OutputSink};

/// The output ends a moment before the engine has noted the exit code.
const EXIT_CODE_POLL: Duration = Duration::from_millis(20);
const EXIT_CODE_LIMIT: Duration = Duration::from_secs(30);
/// For finding and killing an overdue command; an engine that hangs must not stretch the limit much.
const KILL_LIMIT: Duration = Duration::from_secs(2);

#[async_trait]
impl Exec for DockerEngine {
    async fn exec(
        &self,
        container: &str,
        command: &Command,
        limit: Duration,
        output: &mut OutputSink<'_>,
    ) -> EngineResult<Option<i64>> {
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.argv.clone()),
            env: Some(command.environment.clone()),
            user: command.user.clone(),
            working_dir: command.working_dir.clone(),
            ..Default::default()
        };
        let created = self.docker.create_exec(container, options);
        let id = bounded(limit.min(CHANGE_LIMIT), created).await?.id;
        match tokio::time::timeout(limit, self.exec_to_end(&id, output)).await {
            Ok(exit_code) => exit_code.map(Some),
            Err(_) => {
                let _ = tokio::time::timeout(KILL_LIMIT, self.kill_exec(&id, command)).await;
                Ok(None)
            }
        }
    }
}

impl DockerEngine {
    async fn exec_to_end(&self, id: &str, output: &mut OutputSink<'_>) -> EngineResult<i64> {
        match self.docker.start_exec(id, None).await.map_err(refine)? {
            StartExecResults::Attached {
                output: mut frames,
                input: _input,
            } => {
                while let Some(frame) = frames.next().await {
                    output(frame.map_err(refine)?.as_ref());
                }
            }
            StartExecResults::Detached => {
                return Err(EngineError::Unreachable(anyhow!(
                    "the engine detached from an exec"
                )));
            }
        }
        self.exit_code(id).await
    }

    async fn exit_code(&self, id: &str) -> EngineResult<i64> {
        let ended = async {
            loop {
                let state = self.inspect(id).await?;
                match state.exit_code {
                    Some(code) if state.running != Some(true) => return Ok(code),
                    _ => tokio::time::sleep(EXIT_CODE_POLL).await,
                }
            }
        };
        match tokio::time::timeout(EXIT_CODE_LIMIT, ended).await {
            Ok(code) => code,
            Err(_) => Err(EngineError::Silent(EXIT_CODE_LIMIT)),
        }
    }

    async fn inspect(&self, id: &str) -> EngineResult<ExecInspectResponse> {
        bounded(QUERY_LIMIT, self.docker.inspect_exec(id)).await
    }

    /// The API has no way to end an exec, so its process is killed, if it can be told for sure which that is.
    async fn kill_exec(&self, id: &str, command: &Command) {
        if !self.local {
            return;
        }
        let Ok(state) = self.inspect(id).await else {
            return;
        };
        let Some(pid) = state
            .pid
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        else {
            return;
        };
        let about = |what| std::fs::read(format!("/proc/{}/{what}", pid.as_raw_nonzero()));
        let cmdline = about("cmdline").unwrap_or_default();
        let cgroup = about("cgroup").unwrap_or_default();
        let container = state.container_id.unwrap_or_default();
        let is_it = is_command(&cmdline, &command.argv) || is_of(&container, &cgroup);
        if is_it && state.running == Some(true) {
            // The engine starts it as a group of its own: what a script has started goes with it.
            let _ =
                kill_process_group(pid, Signal::KILL).or_else(|_| kill_process(pid, Signal::KILL));
        }
    }
}

/// Engines name a container's cgroup by its id; what runs there may be another program by now (`sh -c 'exec …'`).
fn is_of(container: &str, cgroup: &[u8]) -> bool {
    !container.is_empty() && String::from_utf8_lossy(cgroup).contains(container)
}

/// Interpreters stand before what they run: that of a script, that of a foreign program; and what was looked up in `PATH`
/// has its folder there.
fn is_command(cmdline: &[u8], argv: &[String]) -> bool {
    let running: Vec<_> = cmdline.split(|byte| *byte == 0).collect();
    let Some((program, arguments)) = argv.split_first() else {
        return false;
    };
    let file_name = |path| Path::new(OsStr::from_bytes(path)).file_name();
    running.windows(argv.len()).any(|run| {
        file_name(run[0]) == file_name(program.as_bytes())
            && run[1..]
                .iter()
                .copied()
                .eq(arguments.iter().map(String::as_bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_behind_its_interpreters() {
        let is = |cmdline: &str, argv: &str| {
            let argv: Vec<_> = argv.split(' ').map(str::to_owned).collect();
            is_command(cmdline.replace(' ', "\0").as_bytes(), &argv)
        };
        for (cmdline, argv) in [
            ("sleep 4711 ", "sleep 4711"),
            ("/bin/sh /check.sh ", "/check.sh"),
            ("/bin/sh -e /usr/bin/check --all ", "check --all"),
            ("/usr/bin/qemu-aarch64 /bin/test test -f x ", "test -f x"),
            (
                "/usr/bin/qemu-aarch64 /bin/sh /bin/sh /check.sh ",
                "/check.sh",
            ),
        ] {
            assert!(is(cmdline, argv), "{cmdline}");
        }
        for (cmdline, argv) in [
            ("", "true"),
            ("sleep 4711 ", "sleep 47"),
            ("sleep 4711 ", "/check.sh"),
            ("/bin/sh -c other ", "/bin/sh -c check"),
            ("other --all ", "check --all"),
        ] {
            assert!(!is(cmdline, argv), "{cmdline}");
        }
    }
}
