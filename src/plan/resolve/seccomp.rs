//! `security_opt`: a seccomp profile of the bundle as what it says, as the engine takes it.

use super::Resolver;
use crate::plan::document;
use crate::plan::error::At;
use crate::plan::raw::RawContainer;
use crate::plan::syntax;

impl Resolver<'_> {
    pub(super) fn security_opt(&self, raw: &RawContainer) -> Vec<String> {
        let option = |option: &At<String>| match syntax::seccomp_file(&option.value) {
            None => option.value.clone(),
            Some(file) => {
                let profile = self.profile(file).unwrap_or_else(|message| {
                    self.findings.at(&option.place, message);
                    String::new()
                });
                format!("seccomp={profile}")
            }
        };
        raw.security_opt.iter().map(option).collect()
    }

    fn profile(&self, file: &str) -> Result<String, String> {
        let file = syntax::bundle_path(file)?;
        let bytes = document::bytes_of(self.files, &file)?;
        let profile = serde_json::from_slice::<serde_json::Map<_, _>>(&bytes);
        let profile =
            profile.map_err(|error| format!("`{file}` is no seccomp profile in JSON: {error}"))?;
        Ok(serde_json::Value::Object(profile).to_string())
    }
}
