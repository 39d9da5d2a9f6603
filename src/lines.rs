#[derive(Default)]
pub struct LineSplitter(Vec<u8>);
impl LineSplitter {
    pub fn push(&mut self, b: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(b);
        let mut out = vec![];
        while let Some(i) = self.0.iter().position(|b| *b == b'\n') {
            let l: Vec<u8> = self.0.drain(..=i).collect();
            out.push(String::from_utf8_lossy(&l[..i]).into_owned());
        }
        out
    }
    pub fn finish(&mut self) -> Option<String> {
        (!self.0.is_empty())
            .then(|| String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned())
    }
}
pub struct Tail(std::collections::VecDeque<String>, usize);
impl Tail {
    pub fn new(n: usize, _bytes: usize) -> Self {
        Tail(Default::default(), n)
    }
    pub fn push(&mut self, l: String) {
        if self.0.len() == self.1 {
            self.0.pop_front();
        }
        self.0.push_back(l)
    }
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
