//! Finishing: a stopped stack becomes an image that is as small, and as much nobody's, as the plan wants it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::containers::Stopped;
use crate::event::{Chore, Event, Events, Smoke};
use crate::failure::{Because, Fault, Reason};
use crate::host::Host;
use crate::host::disks::size;
use crate::host::engine::{Engine, Leftover};
use crate::plan::Plan;
use crate::wait::seconds;

/// An image as the plan wants it.
pub struct Finished {
    pub smoke: Smoke,
}

/// In this order: what is deleted is zeroed, what is zeroed is trimmed, and only an image that is all that is nobody's.
///
/// # Errors
/// `finish_failed`.
pub async fn finish(
    stopped: Stopped,
    plan: &Plan,
    own_files: &[PathBuf],
    host: &Host,
    events: &Events,
) -> Result<Finished, Fault> {
    let chores = &plan.finish;
    let work = Work {
        end: Instant::now() + chores.timeout,
        limit: chores.timeout,
        events,
    };
    if chores.prune {
        prune(&*stopped.engine, plan, &work).await?;
    }
    if chores.logs {
        let clearing = host.instance.clear_logs(own_files.to_vec());
        let bytes = work.within("clearing the logs", clearing).await?;
        work.done(Chore::Logs, "/var/log", bytes);
    }
    if chores.zero {
        blocks(Chore::Zero, host, &work).await?;
    }
    if chores.trim {
        blocks(Chore::Trim, host, &work).await?;
    }
    if chores.golden {
        let forgetting = host.instance.forget();
        work.within("forgetting the instance", forgetting).await?;
        events.line(
            "golden: the next boot is the first one of a new instance; what cloud-init and systemd still write is \
             removed at the shutdown",
        );
        work.note(Chore::Golden, "instance", None);
    }
    Ok(Finished {
        smoke: stopped.smoke,
    })
}

/// The one limit of all chores, and what each came to.
struct Work<'a> {
    end: Instant,
    limit: Duration,
    events: &'a Events,
}

impl Work<'_> {
    async fn within<T, E: Into<anyhow::Error>>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Fault> {
        match timeout_at(self.end, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error: anyhow::Error = error.into();
                Err(error.context(what.to_owned())).because(Reason::FinishFailed)
            }
            Err(_) => Err(self.too_long(what)),
        }
    }

    fn too_long(&self, what: &str) -> Fault {
        let limit = seconds(self.limit);
        let message =
            format!("{what} was not through when the {limit} of [finish] timeout were over");
        Fault::new(Reason::FinishFailed, message)
    }

    fn done(&self, chore: Chore, of: &str, bytes: u64) {
        self.events
            .line(format!("{} {of}: {}", chore.verb(), size(bytes)));
        self.note(chore, of, Some(bytes));
    }

    fn note(&self, chore: Chore, of: &str, bytes: Option<u64>) {
        self.events.emit(Event::Finished {
            chore,
            of: of.to_owned(),
            bytes,
        });
    }
}

/// Containers that were for the run alone, and what nothing refers to then.
async fn prune(engine: &dyn Engine, plan: &Plan, work: &Work<'_>) -> Result<(), Fault> {
    let kept = |name: &str| plan.containers.iter().any(|kept| kept.name == name);
    for container in plan.all_containers().filter(|c| !kept(&c.name)) {
        let name = &container.name;
        let what = format!("removing container {name}");
        work.within(&what, engine.remove(name)).await?;
    }
    for (leftover, name) in [
        (Leftover::UntaggedImages, "untagged images"),
        (Leftover::AnonymousVolumes, "anonymous volumes"),
        (Leftover::BuildCache, "build cache"),
    ] {
        if leftover == Leftover::UntaggedImages
            && let Some(image) = work
                .within("looking at images", untagged(engine, plan))
                .await?
        {
            let events = work.events;
            events.line(format!(
                "pruned no images: {image} of the plan has no tag, and would go too"
            ));
            continue;
        }
        let what = format!("pruning {name}");
        if let Some(bytes) = work.within(&what, engine.prune(leftover)).await? {
            work.done(Chore::Prune, name, bytes);
        }
    }
    Ok(())
}

/// An image of the plan that the engine would take for a leftover.
async fn untagged(
    engine: &dyn Engine,
    plan: &Plan,
) -> Result<Option<String>, crate::host::engine::EngineError> {
    let of_containers = plan.all_containers().map(|container| &container.image);
    for image in plan.images.require.iter().chain(of_containers) {
        let found = engine.image(image).await?;
        if found.is_some_and(|found| found.tags.is_empty()) {
            return Ok(Some(image.clone()));
        }
    }
    Ok(None)
}

async fn blocks(chore: Chore, host: &Host, work: &Work<'_>) -> Result<(), Fault> {
    let free = &*host.free_blocks;
    for point in free.file_systems().because(Reason::FinishFailed)? {
        let of = point.display().to_string();
        let what = format!("{} {of}", chore.noun());
        let left = work.end.saturating_duration_since(Instant::now());
        match do_to(chore, &point, left, host).await {
            Ok(bytes) => work.done(chore, &of, bytes),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(work.too_long(&what));
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let why = chore.unsupported();
                work.events.line(format!("{of} was left out: {why}"));
            }
            Err(error) => {
                return Err(anyhow::Error::from(error).context(what)).because(Reason::FinishFailed);
            }
        }
    }
    Ok(())
}

async fn do_to(chore: Chore, point: &Path, limit: Duration, host: &Host) -> io::Result<u64> {
    match chore {
        Chore::Zero => host.free_blocks.zero(point, limit).await,
        _ => host.free_blocks.trim(point, limit).await,
    }
}

impl Chore {
    fn verb(self) -> &'static str {
        match self {
            Chore::Prune => "pruned",
            Chore::Logs => "emptied",
            Chore::Zero => "zeroed",
            Chore::Trim => "trimmed",
            Chore::Golden => "forgot",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Chore::Zero => "zeroing the free space of",
            _ => "trimming",
        }
    }

    fn unsupported(self) -> &'static str {
        match self {
            Chore::Zero => "it takes no unnamed file here",
            _ => "its device takes no discards",
        }
    }
}
