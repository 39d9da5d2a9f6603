#[derive(Default)]
pub struct Masker;
impl Masker {
    pub fn mask(&self, s: &str) -> String {
        s.to_owned()
    }
    pub fn add(&self, _: impl IntoIterator<Item = String>) {}
}
pub use crate::plan::is_secret_name;
