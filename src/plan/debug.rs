//! `Debug` of what holds secrets: enough to recognise the thing, none of its variables.

use std::fmt;

use super::model::{Container, Hidden, HttpProbe, MigrationTarget, PlacedFile};
use super::secrets::mask_url_passwords;

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("name", &self.name)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PlacedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlacedFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hidden").finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProbe")
            .field("method", &self.method)
            .field("url", &mask_url_passwords(&self.address.url))
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MigrationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrationTarget::Exec { container, .. } => {
                f.debug_tuple("Exec").field(container).finish()
            }
            MigrationTarget::OneShot(container) => {
                f.debug_tuple("OneShot").field(container).finish()
            }
        }
    }
}
