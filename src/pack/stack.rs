//! Which Compose files of a folder make a stack, as Compose finds them, and the plan for them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{ARCHIVE, opened, parsed};
use crate::bundle::Files;
use crate::failure::{Because, Fault, Reason};
use crate::plan::{self, BundleFiles, Origin, Plan};

/// As Compose looks for them.
const USUAL: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const USUAL_OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
const ENV_FILE: &str = ".env";

/// Compose files, and the folder that they and the bundle's files lie in.
pub struct Stack {
    pub folder: PathBuf,
    files: Vec<String>,
    /// Instead of `.env` beside the first file.
    env_files: Vec<String>,
    profiles: Vec<String>,
}

/// The plan's text and what it means.
pub struct Planned {
    pub text: String,
    pub plan: Plan,
    /// What it reads, relative to the folder.
    pub names: BTreeSet<String>,
}

impl Stack {
    /// A folder in which Compose would find its files, or the files themselves.
    pub fn find(paths: &[PathBuf], profiles: Vec<String>) -> Result<Stack, Fault> {
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            let message = format!("{}: no such file or folder", missing.display());
            return Err(wrong(message));
        }
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        if first.is_dir() {
            return Stack::in_folder(first, profiles);
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
            env_files: Vec::new(),
            profiles,
        })
    }

    /// What `COMPOSE_FILE` in the folder's `.env` names, else files with the usual names.
    fn in_folder(folder: &Path, profiles: Vec<String>) -> Result<Stack, Fault> {
        let mut stack = Stack {
            folder: folder.to_owned(),
            files: named_by_env_file(folder)?,
            env_files: Vec::new(),
            profiles,
        };
        if let Some(first) = stack.files.first() {
            // Of its folder and of this one both are read, and this one's is the last word.
            if let Some((inner, _)) = first.rsplit_once('/') {
                let inner = format!("{inner}/{ENV_FILE}");
                let inner = Some(inner).filter(|inner| folder.join(inner).is_file());
                stack.env_files.extend(inner);
                stack.env_files.push(ENV_FILE.to_owned());
            }
            return Ok(stack);
        }
        let there = |name: &&&str| folder.join(name).is_file();
        let main = USUAL.iter().find(there);
        let main =
            main.ok_or_else(|| wrong(format!("{}: no {}", folder.display(), USUAL.join(", no "))))?;
        let over = USUAL_OVERRIDES.iter().find(there);
        stack.files = [main]
            .into_iter()
            .chain(over)
            .map(|name| (*name).to_owned())
            .collect();
        Ok(stack)
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
            env_files: &self.env_files,
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
    pub fn plan_with_images(&self) -> Result<Planned, Fault> {
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

fn wrong(message: String) -> Fault {
    Fault::new(Reason::PlanInvalid, message)
}

/// `COMPOSE_FILE` of the folder's `.env`, relative to it; empty if it is not there.
fn named_by_env_file(folder: &Path) -> Result<Vec<String>, Fault> {
    let path = folder.join(ENV_FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let bytes = fs::read(&path)
        .with_context(|| path.display().to_string())
        .because(Reason::PlanInvalid)?;
    // What is wrong with it is found, with its line, when the files are read with it.
    let variables = plan::variables_of_env_file(&bytes);
    let value = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let Some(files) = value("COMPOSE_FILE") else {
        return Ok(Vec::new());
    };
    let separator = value("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
    let files = files
        .split(separator)
        .map(|file| file.trim_start_matches("./"));
    let is_inside = |file: &str| plan::is_bundle_path(file) && folder.join(file).is_file();
    if let Some(missing) = files.clone().find(|file| !is_inside(file)) {
        let text = String::from_utf8_lossy(&bytes);
        let is_named = |line: &str| line.contains("COMPOSE_FILE");
        let line = text.lines().position(is_named).map_or(1, |line| line + 1);
        let message = format!(
            "{}:{line}: COMPOSE_FILE: expected files below {}, found {missing:?}",
            path.display(),
            folder.display()
        );
        return Err(wrong(message));
    }
    Ok(files.map(str::to_owned).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "services: {aa: {image: 'x:${TAG:-none}'}}\n";
    const OTHER: &str = "services: {bb: {image: y}, cc: {image: z, profiles: [extra]}}\n";

    fn planned(files: &[(&str, &str)]) -> Planned {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let stack = Stack::find(&[folder.path().to_owned()], Vec::new());
        let planned = stack.and_then(|stack| stack.starting_plan());
        planned.unwrap_or_else(|fault| panic!("{:#}", fault.error))
    }

    fn images(planned: &Planned) -> Vec<&str> {
        let containers = planned.plan.containers.iter();
        containers
            .map(|container| container.image.as_str())
            .collect()
    }

    #[test]
    fn an_override_is_found_whatever_the_main_files_name() {
        let override_ = "services: {aa: {command: b}}";
        let planned = planned(&[
            ("docker-compose.yml", ONE),
            ("docker-compose.override.yaml", override_),
        ]);
        assert_eq!(
            planned.plan.containers[0].command,
            Some(vec!["b".to_owned()])
        );
    }

    #[test]
    fn the_env_file_names_files_profiles_and_project_as_for_compose() {
        let env = "COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=./one.yaml,other.yaml\n\
                   COMPOSE_PROFILES=extra\nCOMPOSE_PROJECT_NAME=shop\n";
        let files = [
            ("compose.yaml", "services: {never: {image: never}}"),
            ("one.yaml", ONE),
            ("other.yaml", OTHER),
            (".env", env),
        ];
        let planned = planned(&files);
        assert_eq!(images(&planned), ["x:none", "y", "z"]);
        assert_eq!(planned.plan.networks[0].name, "shop_default");
        assert!(planned.names.contains(".env"), "{:?}", planned.names);
    }

    #[test]
    fn a_file_that_is_missing_is_named_where_it_was_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let folder = folder.path();
        let fault = |path: PathBuf| match Stack::find(&[path], Vec::new()) {
            Err(fault) => format!("{:#}", fault.error),
            Ok(_) => panic!("it was found"),
        };
        let nope = folder.join("nope");
        let message = format!("{}: no such file or folder", nope.display());
        assert_eq!(fault(nope), message);
        for missing in ["b.yaml", "../b.yaml", "/b.yaml"] {
            let env = format!("A=1\nCOMPOSE_FILE=a.yaml:{missing}\n");
            fs::write(folder.join("a.yaml"), ONE).expect("a file");
            fs::write(folder.join(".env"), env).expect("a file");
            let folder = folder.display();
            let message = format!(
                "{folder}/.env:2: COMPOSE_FILE: expected files below {folder}, found {missing:?}"
            );
            assert_eq!(fault(folder.to_string().into()), message);
        }
    }

    #[test]
    fn of_two_env_files_the_one_beside_has_the_last_word() {
        let files = [
            (".env", "COMPOSE_FILE=deploy/compose.yaml\nTAG=1\n"),
            ("deploy/.env", "TAG=2\nTAG2=3\n"),
            (
                "deploy/compose.yaml",
                "services: {aa: {image: 'x:${TAG}-${TAG2}'}}",
            ),
        ];
        let planned = planned(&files);
        assert_eq!(images(&planned), ["x:1-3"]);
        let line = "env_file = [\"deploy/.env\", \".env\"]\n";
        assert!(planned.text.contains(line), "{}", planned.text);
    }
}
