//! A folder with a Compose file becomes the folder of a bundle: the plan, every file that it reads, the images that it
//! names from the engine at hand, the program. On the host; nothing is pulled and nothing built.

mod stack;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use rustix::fs::{Mode, OFlags, open};

pub use stack::{Planned, Stack};

use crate::arch::Arch;
use crate::bundle::{self, Files};
use crate::containers::{copy_file, copy_tree};
use crate::failure::{Because, Fault, Reason};
use crate::host::docker::{DockerEngine, DockerHost};
use crate::host::engine::Images;
use crate::plan::{self, BundleFiles, Environment, Plan, Source};

/// Where the images go.
const ARCHIVE: &str = "images.tar.zst";
/// Half the size of no compression at all, and quicker to unpack than what is packed harder.
const LEVEL: i32 = 9;

fn opened(folder: &Path) -> Result<Files, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(folder, flags, Mode::empty())
        .with_context(|| folder.display().to_string())
        .because(Reason::BundleMissing)?;
    Ok(Files::new(root))
}

/// As in the guest: of this machine's environment nothing is known there.
fn parsed(name: &str, text: &str, files: &dyn BundleFiles) -> Result<Plan, Fault> {
    let source = Source {
        name,
        bytes: text.as_bytes(),
    };
    let plans = plan::parse(&source, files, &Environment::default());
    plans
        .map(|plans| plans.native)
        .map_err(|errors| plan::fault(&errors))
}

/// What a bundle is made with.
pub struct Packing {
    pub into: PathBuf,
    pub arch: Arch,
    pub program: PathBuf,
    pub docker_host: Option<String>,
}

impl Packing {
    /// Fills the folder. What is said on the way goes to `say`.
    pub async fn pack(&self, stack: &Stack, say: &dyn Fn(String)) -> Result<(), Fault> {
        let planned = stack.plan_with_images()?;
        planned
            .plan
            .notes
            .iter()
            .for_each(|note| say(format!("note: {note}")));
        let images: BTreeSet<&str> = planned
            .plan
            .all_containers()
            .map(|c| c.image.as_str())
            .collect();
        let images: Vec<&str> = images.into_iter().collect();
        let host = DockerHost::choose(self.docker_host.as_deref());
        let engine = DockerEngine::connect(crate::host::engine::Connect::address(&host))
            .await
            .because(Reason::EngineUnavailable)?;
        self.check(&engine, &images).await?;

        fs::create_dir_all(&self.into).because(Reason::BundleMissing)?;
        if fs::read_dir(&self.into)
            .because(Reason::BundleMissing)?
            .next()
            .is_some()
        {
            let message = format!("{} is not empty", self.into.display());
            return Err(Fault::new(Reason::BundleMissing, message));
        }
        self.files(stack, &planned).because(Reason::BundleCorrupt)?;
        say(format!(
            "files: {}",
            planned.names.iter().cloned().collect::<Vec<_>>().join(", ")
        ));
        say(format!("saving {}", images.join(", ")));
        let bytes = self
            .save(&engine, &images)
            .await
            .because(Reason::ImageLoadFailed)?;
        say(format!(
            "{ARCHIVE}: {:.1} MiB",
            bytes as f64 / f64::from(1 << 20)
        ));
        // What the guest will read is what it gets.
        parsed(plan::FILE, &planned.text, &opened(&self.into)?).map(|_| ())
    }

    async fn check(&self, engine: &DockerEngine, images: &[&str]) -> Result<(), Fault> {
        let mut missing = Vec::new();
        for image in images {
            match engine
                .image(image)
                .await
                .because(Reason::EngineUnavailable)?
            {
                None => missing.push(*image),
                Some(facts) if facts.architecture != self.arch.as_str() => {
                    let message = format!(
                        "image {image} is for {}, the bundle for {}",
                        facts.architecture, self.arch
                    );
                    return Err(Fault::new(Reason::WrongArchitecture, message));
                }
                Some(_) => {}
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the engine has no {}; `docker compose pull` or `docker compose build` first, nothing is pulled here \
             (one that was pulled by its digest needs its tag: `docker tag`)",
            missing.join(", ")
        );
        Err(Fault::new(Reason::ImageLoadFailed, message))
    }

    fn files(&self, stack: &Stack, planned: &Planned) -> io::Result<()> {
        let files = Files::new(open(
            &stack.folder,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        let left_out = self.left_out(stack)?;
        for name in &planned.names {
            copy_tree(&files, Path::new(name), &self.into.join(name), &left_out)?;
        }
        let arch = format!("STACK_EMULATOR_BUILD_ARCH={}\n", self.arch);
        copy_file(
            &self.into.join("build-arch.env"),
            &mut arch.as_bytes(),
            0o644,
        )?;
        copy_file(
            &self.into.join(plan::FILE),
            &mut planned.text.as_bytes(),
            0o644,
        )?;
        let mut program = File::open(&self.program)?;
        copy_file(&self.into.join("guestbake"), &mut program, 0o755)
    }

    /// What is made anew, and the folder itself, where the whole stack's folder is copied.
    fn left_out(&self, stack: &Stack) -> io::Result<Vec<PathBuf>> {
        let mut left_out: Vec<PathBuf> = bundle::OWN_FILES.map(PathBuf::from).into();
        left_out.push(ARCHIVE.into());
        let (folder, into) = (stack.folder.canonicalize()?, self.into.canonicalize()?);
        left_out.extend(into.strip_prefix(folder).ok().map(Path::to_owned));
        Ok(left_out)
    }

    /// `docker save`, compressed on the way.
    async fn save(&self, engine: &DockerEngine, images: &[&str]) -> anyhow::Result<u64> {
        let path = self.into.join(ARCHIVE);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut encoder = zstd::stream::write::Encoder::new(file, LEVEL)?;
        let mut archive = engine.save(images);
        while let Some(piece) = archive.next().await {
            encoder.write_all(&piece.map_err(|error| anyhow!("{error}"))?)?;
        }
        let file = encoder.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}
