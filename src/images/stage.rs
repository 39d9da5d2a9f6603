//! The stage: archives of the bundle become images of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::archive::{Archive, ArchivedImage, Contents, Layers, Progress, Transfer};
use super::foreign::emulated;
use crate::bundle::Bundle;
use crate::engine::RunningEngine;
use crate::event::{Event, Events};
use crate::failure::{Because, Fault, Reason};
use crate::guest::foreign::Runs;
use crate::host::Host;
use crate::host::bounded::bounded;
use crate::host::disks::{Disks, size};
use crate::host::engine::{Engine, EngineError, ImageFacts};
use crate::plan::{MigrationTarget, Plan};
use crate::wait::seconds;

/// Opening an archive and reading its first block.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// The first API whose engines unpack layers packed with zstd.
const ZSTD_API: (usize, usize) = (1, 42);
/// The engine keeps a temporary copy beside the unpacked layers while it loads.
const SPACE_FACTOR: u64 = 2;
/// Between two events that say how far the loading is.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// Proof that the images the plan needs are there, and that the guest runs them.
pub struct LoadedImages {
    pub engine: Arc<dyn Engine>,
    /// Those of the plan that a handler emulates.
    pub emulated: BTreeSet<String>,
}

pub async fn load(
    engine: RunningEngine,
    bundle: &Bundle,
    plan: &Plan,
    host: &Host,
    events: &Events,
) -> Result<LoadedImages, Fault> {
    let runs = runs(&engine, host);
    let loading = Loading {
        runs: &runs,
        wanted: wanted(plan),
        engine: &engine,
        bundle,
        plan,
        disks: &*host.disks,
        events,
    };
    let end = Instant::now() + plan.images.timeout;
    let architectures = match timeout_at(end, loading.all()).await {
        Ok(result) => result?,
        Err(_) => {
            return Err(Fault::new(
                Reason::ImageLoadFailed,
                format!(
                    "the images were not loaded within {}",
                    seconds(plan.images.timeout)
                ),
            ));
        }
    };
    Ok(LoadedImages {
        emulated: emulated(&architectures, &runs, &*host.handlers, events).await,
        engine: engine.engine,
    })
}

/// The images as they are, for a run that loads none.
pub async fn as_found(
    engine: RunningEngine,
    plan: &Plan,
    host: &Host,
    events: &Events,
) -> Result<LoadedImages, Fault> {
    let runs = runs(&engine, host);
    let mut architectures = BTreeMap::new();
    for reference in wanted(plan) {
        let missing = || format!("image {reference} is not there");
        let architecture = verify(&engine, &reference, &runs, missing).await?;
        architectures.insert(reference, architecture);
    }
    Ok(LoadedImages {
        emulated: emulated(&architectures, &runs, &*host.handlers, events).await,
        engine: engine.engine,
    })
}

/// Those of the plan's images that a handler emulates, for who needs no proof that all are there.
pub async fn emulated_ones(
    engine: &RunningEngine,
    plan: &Plan,
    host: &Host,
    events: &Events,
) -> BTreeSet<String> {
    let mut architectures = BTreeMap::new();
    for reference in wanted(plan) {
        if let Ok(Some(facts)) = engine.engine.image(&reference).await {
            architectures.insert(reference, facts.architecture);
        }
    }
    emulated(&architectures, &runs(engine, host), &*host.handlers, events).await
}

fn runs(engine: &RunningEngine, host: &Host) -> Runs {
    Runs {
        guest: engine.guest.arch,
        handlers: host.handlers.registered(),
    }
}

/// Every image that the plan names, required or run.
fn wanted(plan: &Plan) -> BTreeSet<String> {
    let of_migrations = plan
        .migrations
        .iter()
        .filter_map(|migration| match &migration.target {
            MigrationTarget::OneShot(container) => Some(&container.image),
            MigrationTarget::Exec { .. } => None,
        });
    let of_smoke = plan
        .smoke
        .iter()
        .filter_map(|smoke| smoke.container.as_ref());
    let run = plan
        .containers
        .iter()
        .chain(of_smoke)
        .map(|container| &container.image);
    plan.images
        .require
        .iter()
        .chain(run)
        .chain(of_migrations)
        .cloned()
        .collect()
}

struct Loading<'a> {
    runs: &'a Runs,
    wanted: BTreeSet<String>,
    engine: &'a RunningEngine,
    bundle: &'a Bundle,
    plan: &'a Plan,
    disks: &'a dyn Disks,
    events: &'a Events,
}

impl Loading<'_> {
    /// The images that were wanted, with their architectures.
    async fn all(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut architectures = BTreeMap::new();
        for name in &self.plan.images.archives {
            self.one(name).await?;
        }
        for reference in &self.wanted {
            let missing = || {
                format!(
                    "image {reference} is not there after loading {} archives; nothing is pulled, so an archive \
                     of the bundle must hold it under this name",
                    self.plan.images.archives.len(),
                )
            };
            let architecture = verify(self.engine, reference, self.runs, missing).await?;
            architectures.insert(reference.clone(), architecture);
        }
        Ok(architectures)
    }

    async fn one(&self, name: &Path) -> Result<(), Fault> {
        let shown = name.display().to_string();
        let since = Instant::now();
        let archive = self.open(name).await?;
        let bytes = archive.size();
        self.say_progress(&shown, 0, bytes, since);
        let event = |loaded: bool| Event::Image {
            archive: shown.clone(),
            bytes,
            seconds: since.elapsed().as_secs_f64(),
            loaded,
        };
        let archive = match self.any_present().await? {
            true => match self.unless_present(archive).await? {
                Some(archive) => archive,
                None => {
                    self.events.line(format!(
                        "{shown}: its images are here already, verified by their layers"
                    ));
                    self.events.emit(event(false));
                    return Ok(());
                }
            },
            false => archive,
        };
        self.check_space(&archive).await?;
        self.transfer(archive, since).await?;
        let took = since.elapsed().as_secs_f64();
        self.events.line(format!(
            "{shown} loaded ({} in {took:.1}s, {}/s)",
            size(bytes),
            size((bytes as f64 / took.max(0.001)) as u64),
        ));
        self.events.emit(event(true));
        Ok(())
    }

    fn say_progress(&self, archive: &str, done: u64, total: u64, since: Instant) {
        self.events.emit(Event::ImageLoading {
            archive: archive.to_owned(),
            done,
            total,
            seconds: since.elapsed().as_secs_f64(),
        });
    }

    async fn open(&self, name: &Path) -> Result<Archive, Fault> {
        let (files, name) = (self.bundle.files().clone(), name.to_owned());
        let what = format!("opening {}", name.display());
        bounded(OPEN_LIMIT, &what, move || {
            let file = files.open(&name)?;
            Ok(Archive::open(name.display().to_string(), file))
        })
        .await
        .because(Reason::BundleCorrupt)?
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, Fault> {
        let answer = self.engine.engine.image(reference).await;
        answer.because(Reason::EngineUnavailable)
    }

    /// On a first run nothing is, and no archive need be looked into.
    async fn any_present(&self) -> Result<bool, Fault> {
        for reference in &self.wanted {
            if self.image(reference).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The archive again, unless the engine has every image in it, layer by layer.
    async fn unless_present(&self, archive: Archive) -> Result<Option<Archive>, Fault> {
        let what = format!("looking into {}", archive.name());
        let (archive, contents) = bounded(self.plan.images.timeout, &what, move || {
            let contents = archive.contents();
            Ok((archive, contents))
        })
        .await
        .because(Reason::ImageLoadFailed)?;
        for image in contents?.images {
            for tag in &image.tags {
                let present = self.image(tag).await?;
                if !present.is_some_and(|facts| is_same(&facts, &image)) {
                    return Ok(Some(archive));
                }
            }
        }
        Ok(None)
    }

    /// Says what is missing before the engine runs into it.
    async fn check_space(&self, archive: &Archive) -> Result<(), Fault> {
        let need = archive.unpacked_estimate().saturating_mul(SPACE_FACTOR);
        // An engine elsewhere has its disk elsewhere.
        let Ok(free) = self.disks.free_space(&self.engine.version.data_root).await else {
            return Ok(());
        };
        if free.bytes < need || free.inodes == Some(0) {
            return Err(Fault::new(
                Reason::NoSpace,
                format!(
                    "{} needs about {} in the engine's data root {}; {free}",
                    archive.name(),
                    size(need),
                    self.engine.version.data_root.display(),
                ),
            ));
        }
        Ok(())
    }

    async fn transfer(&self, archive: Archive, since: Instant) -> Result<(), Fault> {
        let name = archive.name().to_owned();
        let arch = self.engine.guest.arch.as_str();
        let layers = match self.engine.version.api < ZSTD_API {
            true => Layers::WithoutZstd,
            false => Layers::AsTheyAre,
        };
        let runs = self.runs.clone();
        let (stream, transfer) = archive.stream_unpacked(layers, move |contents| {
            check_architecture(contents, &runs)?;
            Ok(contents.docker_manifest(arch))
        });
        let heard = |line: &str| self.events.detail(format!("engine: {line}"));
        let loading = self.engine.engine.load(stream.boxed(), &heard);
        tokio::pin!(loading);
        let began = Instant::now();
        let every = self.plan.wait.heartbeat;
        let mut heartbeat = interval_at(began + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = interval_at(began + PROGRESS_PAUSE, PROGRESS_PAUSE);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut told = 0;
        let result = loop {
            tokio::select! {
                result = &mut loading => break result,
                _ = look.tick() => {
                    let (done, total) = (transfer.progress().consumed(), transfer.progress().total());
                    if done > told {
                        told = done;
                        self.say_progress(&name, done, total, since);
                    }
                }
                _ = heartbeat.tick() => {
                    let progress = in_words(transfer.progress(), began.elapsed());
                    self.events.line(format!("loading {name}: {progress}"));
                }
            }
        };
        self.judge(&name, &transfer, result).await
    }

    /// The reader's error is the cause of the engine's.
    async fn judge(
        &self,
        name: &str,
        transfer: &Transfer,
        result: Result<(), EngineError>,
    ) -> Result<(), Fault> {
        if let Some(Err(fault)) = transfer.take_outcome() {
            return Err(fault);
        }
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.is_no_space() => {
                let root = &self.engine.version.data_root;
                let free = self.disks.free_space(root).await;
                let free = free.map_or_else(|error| error.to_string(), |free| free.to_string());
                Err(Fault::new(
                    Reason::NoSpace,
                    format!(
                        "loading {name}: {error}; the engine's data root {}: {free}",
                        root.display()
                    ),
                ))
            }
            Err(error) => Err(Fault::new(
                Reason::ImageLoadFailed,
                format!("loading {name}: {error}"),
            )),
        }
    }
}

/// The image's architecture. `missing` says what it means if the image is not there.
async fn verify(
    engine: &RunningEngine,
    reference: &str,
    runs: &Runs,
    missing: impl Fn() -> String,
) -> Result<String, Fault> {
    let image = engine.engine.image(reference).await;
    let Some(facts) = image.because(Reason::EngineUnavailable)? else {
        return Err(Fault::new(Reason::ImageLoadFailed, missing()));
    };
    match runs.by(&facts.architecture) {
        Ok(_) => Ok(facts.architecture),
        Err(why) => Err(wrong_architecture(reference, &facts.architecture, &why)),
    }
}

/// The engine's image is the archive's, whatever kind of store it keeps it in.
fn is_same(facts: &ImageFacts, image: &ArchivedImage) -> bool {
    let by_layers = facts.layers == image.diff_ids && facts.architecture == image.architecture;
    image.has_id(&facts.id) || by_layers
}

/// Whether the guest runs any image of it: an archive may hold one for each platform.
fn check_architecture(contents: &Contents, runs: &Runs) -> Result<(), Fault> {
    let mut refused = None;
    for image in &contents.images {
        let Err(why) = runs.by(&image.architecture) else {
            return Ok(());
        };
        let name = image.tags.first().unwrap_or(&image.config_digest);
        refused.get_or_insert_with(|| wrong_architecture(name, &image.architecture, &why));
    }
    refused.map_or(Ok(()), Err)
}

fn wrong_architecture(image: &str, its: &str, why: &str) -> Fault {
    Fault::new(
        Reason::WrongArchitecture,
        format!("image {image} is for {its}; {why}"),
    )
}

/// `45 of 162 MB, 1.2 MB/s, about 97s left`; `all 162 MB sent, the engine unpacks them, 150s`.
fn in_words(progress: &Progress, elapsed: Duration) -> String {
    let (done, total) = (progress.consumed(), progress.total());
    if done >= total {
        return format!(
            "all {} sent, the engine unpacks them, {}",
            size(total),
            seconds(elapsed)
        );
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = match rate {
        rate if rate > 0.0 => format!("about {:.0}s left", (total - done) as f64 / rate),
        _ => "nothing taken yet".to_owned(),
    };
    format!(
        "{} of {}, {}/s, {left}",
        size(done),
        size(total),
        size(rate as u64)
    )
}
