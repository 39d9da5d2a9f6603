//! A folder with a Compose file becomes the folder of a bundle: the plan, every file that it reads, the images that it
//! names from the engine at hand, the program. On the host; nothing is pulled and nothing built.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use rustix::fs::{Mode, OFlags, open};

use crate::arch::Arch;
use crate::bundle::Files;
use crate::containers::{copy_file, copy_tree};
use crate::failure::{Because, Fault, Reason};
use crate::host::docker::{DockerEngine, DockerHost};
use crate::host::engine::Images;
use crate::plan::{self, BundleFiles, Environment, Origin, Plan, Source};

/// Where the images go.
const ARCHIVE: &str = "images.tar.zst";
/// Half the size of no compression at all, and quicker to unpack than what is packed harder.
const LEVEL: i32 = 9;
/// As Compose looks for them.
const USUAL: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// Compose files, and the folder that they and the bundle's files lie in.
pub struct Stack {
    folder: PathBuf,
    files: Vec<String>,
    profiles: Vec<String>,
}

/// The plan's text and what it means.
pub struct Planned {
    pub text: String,
    pub plan: Plan,
    /// What it reads, relative to the folder.
    names: BTreeSet<String>,
}

impl Stack {
    /// A folder in which Compose would find its files, or the files themselves.
    pub fn find(paths: &[PathBuf], profiles: Vec<String>) -> Result<Stack, Fault> {
        let wrong = |message: String| Fault::new(Reason::PlanInvalid, message);
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        if first.is_dir() {
            let there = |name: &&str| first.join(name).is_file();
            let main = USUAL
                .iter()
                .find(|name| there(name))
                .ok_or_else(|| wrong(format!("{}: no {}", first.display(), USUAL.join(", no "))))?;
            let (stem, end) = main.rsplit_once('.').unwrap_or((main, ""));
            let over = format!("{stem}.override.{end}");
            let over = Some(over).filter(|over| there(&over.as_str()));
            return Ok(Stack {
                folder: first.to_owned(),
                files: std::iter::once((*main).to_owned()).chain(over).collect(),
                profiles,
            });
        }
        let folder = match first.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name = |path: &PathBuf| {
            let inside = path.strip_prefix(folder).unwrap_or(path);
            let name = inside.to_str().map(str::to_owned);
            name.filter(|name| !name.starts_with('/')).ok_or_else(|| {
                wrong(format!(
                    "{} is not below {}",
                    path.display(),
                    folder.display()
                ))
            })
        };
        Ok(Stack {
            files: paths.iter().map(name).collect::<Result<_, _>>()?,
            folder: folder.to_owned(),
            profiles,
        })
    }

    /// A plan to start from.
    pub fn starting_plan(&self) -> Result<Planned, Fault> {
        let archive = self.folder.join(ARCHIVE).is_file().then_some(ARCHIVE);
        self.planned(archive)
    }

    fn planned(&self, archive: Option<&str>) -> Result<Planned, Fault> {
        let asked = self.asked(&[])?;
        let absolute = fs::canonicalize(&self.folder).because(Reason::PlanInvalid)?;
        let folder = absolute.file_name().unwrap_or_default();
        let folder = plan::project_name(&folder.to_string_lossy());
        let mut origin = Origin {
            files: &self.files,
            profiles: &self.profiles,
            project: None,
            archive,
        };
        let mut plan = parsed("compose", &origin.toml(), &asked)?;
        // In the guest the folder has another name.
        if plan.takes_default_project() && !folder.is_empty() {
            origin.project = Some(&folder);
            plan = parsed("compose", &origin.toml(), &asked)?;
        }
        Ok(Planned {
            text: plan.starting(&origin),
            plan,
            names: asked.names.into_inner(),
        })
    }

    /// The plan in the folder, or one made of its Compose files.
    fn plan_with_images(&self) -> Result<Planned, Fault> {
        let own = self.folder.join(plan::FILE);
        if !own.is_file() {
            return self.planned(Some(ARCHIVE));
        }
        let asked = self.asked(&[ARCHIVE])?;
        let text = fs::read_to_string(&own)
            .context(own.display().to_string())
            .because(Reason::PlanInvalid)?;
        let plan = parsed(&own.to_string_lossy(), &text, &asked)?;
        if !plan
            .images
            .archives
            .iter()
            .any(|name| name.as_os_str() == ARCHIVE)
        {
            let message = format!(
                "{}: `[images] archives` must name \"{ARCHIVE}\", which the images are saved to",
                own.display()
            );
            return Err(Fault::new(Reason::PlanInvalid, message));
        }
        Ok(Planned {
            text,
            plan,
            names: asked.names.into_inner(),
        })
    }

    fn asked(&self, made: &'static [&'static str]) -> Result<Asked, Fault> {
        Ok(Asked {
            files: opened(&self.folder)?,
            made,
            names: RefCell::default(),
        })
    }
}

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

/// Files that remember which of them were asked for.
struct Asked {
    files: Files,
    /// Will be there.
    made: &'static [&'static str],
    names: RefCell<BTreeSet<String>>,
}

impl BundleFiles for Asked {
    fn exists(&self, name: &str) -> bool {
        if self.made.contains(&name) {
            return true;
        }
        let exists = self.files.exists(name);
        if exists {
            self.names.borrow_mut().insert(name.to_owned());
        }
        exists
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let content = self.files.read(name)?;
        self.names.borrow_mut().insert(name.to_owned());
        Ok(content)
    }
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
            "the engine has no {}; `docker compose pull` or `docker compose build` first, nothing is pulled here",
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
        for name in &planned.names {
            copy_tree(&files, Path::new(name), &self.into.join(name))?;
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
