//! What of the bundle containers mount: relative bind mounts, secrets and configs. It is copied into the guest before
//! they are created.

use std::cell::RefCell;
use std::path::Path;

use super::project::Project;
use crate::plan::error::{At, Place, suggestion};
use crate::plan::model::{NamedVolume, Volume, VolumeSource};
use crate::plan::node::{Entry, Node};
use crate::plan::raw::{Defined, Mount, RawContainer, RawContent, RawFile, file_mode};
use crate::plan::reader::{Value, joined, quoted};

/// The bundle as a file of itself.
const WHOLE: &str = ".";

pub struct Mounted<'a> {
    project: &'a Project<'a>,
    /// The tree of the project, for what it defines.
    tree: &'a Node,
    files: RefCell<Vec<RawFile>>,
}

/// What a service says about one of its secrets or configs.
struct Reference {
    source: String,
    place: Place,
    target: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    mode: Option<u32>,
}

impl<'a> Mounted<'a> {
    pub fn new(project: &'a Project<'a>, tree: &'a Node) -> Self {
        Mounted {
            project,
            tree,
            files: RefCell::default(),
        }
    }

    pub fn files(self) -> Vec<RawFile> {
        self.files.into_inner()
    }

    /// Adds the service's secrets and configs to its mounts, and what its bind mounts name to the files.
    pub fn mounts(
        &self,
        key: &str,
        secrets: Option<Entry>,
        configs: Option<Entry>,
        container: &mut RawContainer,
    ) {
        for mount in &container.volumes {
            self.bind(mount);
        }
        for (kind, entry) in [("secrets", secrets), ("configs", configs)] {
            let Some(entry) = entry else { continue };
            let value = self.project.value(&joined(key, kind), &entry.value);
            for item in value.list().unwrap_or_default() {
                let mount = item.table(reference).flatten();
                let mount = mount.and_then(|reference| self.reference(kind, &reference));
                container.volumes.extend(mount);
            }
        }
    }

    fn bind(&self, mount: &At<Mount>) {
        let Mount::Volume(Volume {
            source: VolumeSource::Bind(path),
            read_only,
            ..
        }) = &mount.value
        else {
            return;
        };
        self.source(path, *read_only, &mount.place);
    }

    /// A volume that is a folder of the bundle.
    pub fn volume(&self, volume: &Defined<NamedVolume>) {
        let options = &volume.value.driver_opts;
        let mut flags = options.get("o").into_iter().flat_map(|o| o.split(','));
        if let (Some(device), true) = (options.get("device"), flags.clone().any(|o| o == "bind")) {
            let read_only = flags.any(|option| option == "ro");
            self.source(Path::new(device), read_only, &volume.key.place);
        }
    }

    fn source(&self, path: &Path, read_only: bool, place: &Place) {
        let Ok(inside) = path.strip_prefix(self.project.directory) else {
            return;
        };
        let name = match inside.to_string_lossy().into_owned() {
            whole if whole.is_empty() => WHOLE.to_owned(),
            name => name,
        };
        if self.project.files.exists(&name) {
            return self.add(path, RawContent::Bundle(name), place);
        }
        if read_only {
            let message =
                format!("nothing called `{name}` in the bundle, and it is mounted read-only");
            return self.project.findings.at(place, message);
        }
        let note = format!("`{name}` is not in the bundle; the container gets an empty folder");
        self.project.findings.note(place.at, note);
        self.add(path, RawContent::Folder, place);
    }

    fn add(&self, path: &Path, content: RawContent, place: &Place) {
        let path = path.to_string_lossy().into_owned();
        let mut files = self.files.borrow_mut();
        if files.iter().all(|file| file.path.as_ref() != Some(&path)) {
            files.push(RawFile::at(path, content, place.clone()));
        }
    }

    fn reference(&self, kind: &str, reference: &Reference) -> Option<At<Mount>> {
        let fail = |message: String| self.project.findings.at(&reference.place, message);
        let source = &reference.source;
        let defined = self.tree.get(kind).and_then(|all| all.get(source));
        let Some(defined) = defined else {
            let known = self.tree.get(kind).map(|all| all.item.entries());
            let known = known.unwrap_or_default().iter();
            let known: Vec<&str> = known.map(|entry| entry.name.as_str()).collect();
            let nearest = match known.is_empty() {
                true => String::new(),
                false => format!("; {}", suggestion(source, &known)),
            };
            fail(format!("no {} in `{kind}`{nearest}", quoted(source)));
            return None;
        };
        let path = self.place(kind, defined, reference)?;
        let folder = if kind == "secrets" {
            "/run/secrets/"
        } else {
            "/"
        };
        let target = reference.target.as_ref().unwrap_or(source);
        let target = match target.starts_with('/') {
            true => target.clone(),
            false => format!("{folder}{target}"),
        };
        let value = Mount::Volume(Volume {
            source: VolumeSource::Bind(path.into()),
            target,
            read_only: true,
            propagation: None,
            nocopy: false,
            subpath: None,
            selinux: None,
        });
        Some(At {
            value,
            place: reference.place.clone(),
        })
    }

    /// Where in the guest it stands, for this service.
    fn place(&self, kind: &str, defined: &Node, reference: &Reference) -> Option<String> {
        let is_secret = kind == "secrets";
        let directory = self.project.directory;
        let name = &reference.source;
        let key = joined(kind, name);
        let value = self.project.value(&key, defined);
        value.table(|t| {
            let file = t.read_key("file", Value::string);
            let variable = t.read_key("environment", Value::string);
            let content = match is_secret {
                true => None,
                false => t.read_key("content", Value::string),
            };
            // A Swarm's.
            for key in ["labels", "name"] {
                t.get(key);
            }
            for key in ["external", "driver", "driver_opts", "template_driver"] {
                if let Some(value) = t.get(key) {
                    value.fail("not supported: only a Swarm has such; use `file` or `environment`");
                    return None;
                }
            }
            if let Some(file) = file {
                if !self.project.files.exists(&file.value) {
                    let message = format!("no file `{}` in the bundle", file.value);
                    self.project.findings.at(&file.place, message);
                    return None;
                }
                let path = format!("{directory}/{}", file.value);
                self.text(&path, RawContent::Bundle(file.value), is_secret, reference);
                return Some(path);
            }
            let text = match (content, variable) {
                (Some(content), _) => content.value,
                (None, Some(variable)) => match self.project.variables.get(&variable.value) {
                    Some(value) => value.to_owned(),
                    None => {
                        let message =
                            format!("the variable {} is not set", quoted(&variable.value));
                        self.project.findings.at(&variable.place, message);
                        return None;
                    }
                },
                (None, None) => {
                    t.fail("expected `file`, `environment` or, of a config, `content`");
                    return None;
                }
            };
            // Owner and mode are the service's to choose, so each choice has a file.
            let owner = [reference.uid, reference.gid, reference.mode];
            let owner = owner.map(|id| id.map_or(String::new(), |id| id.to_string()));
            let owner = owner.join("-");
            let path = format!(
                "{directory}/.{kind}/{name}{}",
                match owner.as_str() {
                    "--" => String::new(),
                    owner => format!("-{owner}"),
                }
            );
            if is_secret {
                self.folder_of_secrets();
            }
            self.text(&path, RawContent::Text(text), is_secret, reference);
            Some(path)
        })?
    }

    fn folder_of_secrets(&self) {
        let path = format!("{}/.secrets", self.project.directory);
        let mut files = self.files.borrow_mut();
        if files.iter().all(|file| file.path.as_ref() != Some(&path)) {
            files.push(RawFile {
                mode: Some(0o700),
                ..RawFile::at(path, RawContent::Folder, Place::default())
            });
        }
    }

    fn text(&self, path: &str, content: RawContent, secret: bool, reference: &Reference) {
        let is_text = matches!(content, RawContent::Text(_));
        let mut files = self.files.borrow_mut();
        if let Some(known) = files
            .iter_mut()
            .find(|file| file.path.as_deref() == Some(path))
        {
            known.secret |= secret;
            return;
        }
        let file = RawFile::at(path.to_owned(), content, reference.place.clone());
        files.push(match is_text {
            true => RawFile {
                mode: Some(reference.mode.unwrap_or(0o444)),
                uid: reference.uid,
                gid: reference.gid,
                secret,
                ..file
            },
            // As Compose has it: a file keeps its own.
            false => RawFile { secret, ..file },
        });
    }
}

fn reference(t: &crate::plan::table::Table<'_>) -> Option<Reference> {
    let id = |key| {
        t.value(key, |v| {
            v.integer("a number of a user or group", 0..=i64::from(u32::MAX))
        })
    };
    let (target, uid, gid) = (t.value("target", Value::string), id("uid"), id("gid"));
    let mode = t.value("mode", file_mode);
    let source = t.require("source", Value::string)?;
    Some(Reference {
        source: source.value,
        place: source.place,
        target,
        uid,
        gid,
        mode,
    })
}
