//! Relative paths of a Compose file: in the bundle, and in the guest where what they name is copied to.

/// The folder that a Compose file's paths are relative to.
#[derive(Clone, Debug)]
pub struct Folder {
    /// In the bundle, without slashes at its ends; empty is the bundle itself.
    pub relative: String,
    /// Where the bundle's files are in the guest, once they are copied.
    pub guest: String,
}

impl Folder {
    /// The folder that a file of the bundle lies in.
    pub fn of(file: &str, guest: &str) -> Folder {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Folder {
            relative: folder.to_owned(),
            guest: guest.to_owned(),
        }
    }

    /// A path that a file of this folder names, relative to the bundle.
    pub fn in_bundle(&self, path: &str) -> Result<String, String> {
        let (base, path) = match self.below_guest(path) {
            Some(inside) => ("", inside),
            None => (self.relative.as_str(), path),
        };
        if path.starts_with(['/', '~']) {
            return Err(format!(
                "{} is outside of the bundle; expected a relative path",
                crate::plan::reader::quoted(path)
            ));
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in base.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_none() => {
                    return Err(format!(
                        "{} leads out of the bundle",
                        crate::plan::reader::quoted(path)
                    ));
                }
                ".." => {}
                part => parts.push(part),
            }
        }
        Ok(parts.join("/"))
    }

    /// `${PWD}/conf`: the path of a file of the bundle in the guest.
    fn below_guest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let guest = Some(self.guest.as_str()).filter(|guest| !guest.is_empty());
        let inside = path.strip_prefix(guest?)?;
        match inside {
            "" => Some(inside),
            _ => inside.strip_prefix('/'),
        }
    }

    /// The source of a mount: a path of the guest as it is, one of the bundle where it is copied to.
    pub fn in_guest(&self, path: &str) -> Result<String, String> {
        if path.starts_with('/') && self.below_guest(path).is_none() {
            return Ok(path.to_owned());
        }
        if path.starts_with('~') {
            return Err(nobodys_home("~"));
        }
        Ok(match self.in_bundle(path)? {
            whole if whole.is_empty() => self.guest.clone(),
            path => format!("{}/{path}", self.guest),
        })
    }
}

pub fn nobodys_home(name: &str) -> String {
    format!(
        "`{name}` is the home of whoever runs Compose, and nobody does in a guest; \
         expected an absolute or a relative path"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_files_folder_and_stay_in_the_bundle() {
        let folder = Folder::of("a/b/compose.yaml", "/var/lib/x");
        assert_eq!(folder.in_bundle("./c/../d").unwrap(), "a/b/d");
        assert_eq!(folder.in_bundle("../../d").unwrap(), "d");
        assert_eq!(folder.in_guest("../d").unwrap(), "/var/lib/x/a/d");
        assert_eq!(folder.in_guest("/d").unwrap(), "/d");
        assert_eq!(folder.in_bundle("/var/lib/x/e/./f").unwrap(), "e/f");
        assert_eq!(
            folder.in_guest("/var/lib/x/e/../f").unwrap(),
            "/var/lib/x/f"
        );
        assert_eq!(folder.in_guest("/var/lib/x").unwrap(), "/var/lib/x");
        assert_eq!(folder.in_guest("/var/lib/xy/.").unwrap(), "/var/lib/xy/.");
        assert!(folder.in_guest("/var/lib/x/../d").is_err());
        assert!(folder.in_bundle("../../../d").is_err());
        assert!(folder.in_bundle("/d").is_err());
        assert!(folder.in_guest("~/d").is_err());
    }
}
