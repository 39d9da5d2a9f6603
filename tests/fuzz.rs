//! Inputs nobody would write, for every parser of the bundle's text: none may panic, none may take long.
//!
//! `make fuzz` runs ten million; FUZZ_INPUTS and FUZZ_SEED choose others. The input that fails is printed.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use guestbake::bundle::{build_arch, checksums};
use guestbake::lines::LineSplitter;
use guestbake::mask::Masker;
use guestbake::plan::{self, BundleFiles, Environment, Source, env_file};

/// A parser that needs this long for a few kilobytes will hang on more.
const TOO_LONG: Duration = Duration::from_secs(2);
const SEEDS: &[&[u8]] = &[
    include_bytes!("../config/stack-auth.toml"),
    include_bytes!("../config/miniflux.toml"),
    include_bytes!("../config/miniflux-compose/compose.yaml"),
    include_bytes!("compose/cases/merge/compose.yaml"),
    include_bytes!("compose/cases/forms/compose.yaml"),
    include_bytes!("compose/cases/variables/compose.yaml"),
    include_bytes!("compose/cases/variables/one.env"),
    b"services: {a: {image: x, extends: {service: a, file: b.yaml}}}\ninclude: [c.yaml]\n",
    b"[containers.a]\nimage = \"localhost:5000/a/b:1@sha256:0123456789abcdef\"\nports = [\"127.0.0.1:80-82:90-92/udp\", \"[::1]:1:2\"]\nvolumes = [\"a:/b:ro,rshared\", \"/c:/d\"]\nshm_size = \"1.5gb\"\nulimits = { nofile = { soft = 1, hard = 2 } }\nstop_grace_period = \"1h2m3s\"\n",
    b"# comment\nNAME=value # not a comment\n QUOTED=\"a b\"\nEMPTY=\nBARE\n\xef\xbb\xbfX=1\r\n",
    b"STACK_EMULATOR_BUILD_ARCH=amd64\nSTACK_EMULATOR_BUILD_ACCEL=tcg\n",
    b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\\e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 *b\\nc\n",
    b"postgres://user:pass@host/db API_KEY=abc \x1b[31mred\x1b[0m \"token\": \"x\"\r\nline\n",
];
/// What makes parsers stumble more often than chance does.
const WORDS: &[&[u8]] = &[
    b"\"\"\"",
    b"'''",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b"=",
    b".",
    b",",
    b"\\",
    b"\\u0000",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xf0\x9f\x98\x80",
    b"-1",
    b"99999999999999999999",
    b"1e999",
    b"nan",
    b"18446744073709551616",
    b"0s",
    b"1h",
    b"99999999999999h",
    b"..",
    b"/",
    b"://",
    b"@",
    b":",
    b"*",
    b"(",
    b"(?",
    b"{1000000}",
    b"a.a.a.a.a.a.a.a.a.a.a",
    b"containers",
    b"depends_on",
    b"network_mode",
    b"image",
    b"wait.services",
    b"inf",
    b"services:\n  a:\n    image: x\n",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!reset ",
    b"!override ",
    b"${A:-",
    b"$$",
    b"- ",
    b": ",
    b"? ",
    b"|\n",
    b"include: [a]\n",
    b"extends: a\n",
    b"true",
];

/// Whatever file a Compose file names is the input once more.
struct Only<'a>(&'a [u8]);

impl BundleFiles for Only<'_> {
    fn exists(&self, _: &str) -> bool {
        true
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }
}

struct NoFiles;

impl BundleFiles for NoFiles {
    fn exists(&self, name: &str) -> bool {
        name.len().is_multiple_of(2)
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(b"A=1\nB\n".to_vec())
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A piece of a seed with a few things changed.
    fn input(&mut self) -> Vec<u8> {
        let seed = SEEDS[self.below(SEEDS.len())];
        // Whole plans are slow to parse and mostly right; pieces reach the corners sooner.
        let most = if self.below(20) == 0 { seed.len() } else { 200 };
        let length = 1 + self.below(most);
        let start = self.below(seed.len());
        let mut input = seed[start..seed.len().min(start + length)].to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(4) {
                0 => {
                    let word = WORDS[self.below(WORDS.len())];
                    input.splice(at..at, word.iter().copied());
                }
                1 if at < input.len() => input[at] = self.next() as u8,
                2 => input.truncate(at),
                _ => {
                    let other = SEEDS[self.below(SEEDS.len())];
                    let from = self.below(other.len());
                    let piece = &other[from..other.len().min(from + self.below(40))];
                    input.splice(at..at, piece.iter().copied());
                }
            }
        }
        input
    }
}

/// Inputs that were taken as a plan and as a Compose file: that so many reach what comes behind the parsers.
#[derive(Clone, Copy, Default)]
struct Taken {
    plans: u64,
    compose_files: u64,
}

fn parse_as_everything(input: &[u8], environment: &Environment) -> Taken {
    let mut taken = Taken::default();
    let source = Source {
        name: "fuzz.toml",
        bytes: input,
    };
    if let Ok(plans) = plan::parse(&source, &NoFiles, environment) {
        taken.plans = 1;
        for plan in [&plans.native, &plans.emulated] {
            plan.effective();
            plan.secrets();
        }
        plans.differences(&plans.emulated);
    }
    let source = Source {
        name: "fuzz.toml",
        bytes: b"compose = 'compose.yaml'",
    };
    if let Ok(plans) = plan::parse(&source, &Only(input), environment) {
        taken.compose_files = 1;
        plans.native.effective();
        plans.native.secrets();
    }
    let _ = env_file::parse(input, environment);
    let text = String::from_utf8_lossy(input);
    let _ = build_arch::parse(&text);
    let _ = checksums::parse(input);
    let mut splitter = LineSplitter::default();
    let lines = splitter.push(input);
    let masker = Masker::default();
    masker.add(lines.first().cloned());
    for line in lines {
        masker.mask(&line);
    }
    taken
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: expected a number")),
        Err(_) => default,
    }
}

#[test]
fn no_input_makes_a_parser_panic_or_hang() {
    let inputs = number("FUZZ_INPUTS", 5_000);
    let seed = number("FUZZ_SEED", 1);
    let environment: Environment = BTreeMap::from([("B", "from outside")])
        .into_iter()
        .collect();
    let began = Instant::now();
    let worker = |lane: u64, lanes: u64| {
        let mut random = Random(seed.wrapping_mul(1000) + lane);
        let mut taken = Taken::default();
        for n in 0..inputs / lanes {
            let input = random.input();
            let shown = || String::from_utf8_lossy(&input).into_owned();
            let once = || {
                let since = Instant::now();
                let result = catch_unwind(AssertUnwindSafe(|| {
                    parse_as_everything(&input, &environment)
                }));
                let Ok(taken) = result else {
                    panic!("panics:\n{:?}\n{}", input, shown());
                };
                (since.elapsed() < TOO_LONG).then_some(taken)
            };
            // A busy machine may have been busy with something else: what hangs does so each time.
            let Some(one) = (0..5).find_map(|_| once()) else {
                panic!("takes {TOO_LONG:?} each time:\n{}", shown());
            };
            taken.plans += one.plans;
            taken.compose_files += one.compose_files;
            if lane == 0 && (n + 1) % 500_000 == 0 {
                println!("{} inputs, {:?}", (n + 1) * lanes, began.elapsed());
            }
        }
        taken
    };
    let taken: Vec<_> = std::thread::scope(|scope| {
        let lanes = [0, 1].map(|lane| {
            let worker = &worker;
            scope.spawn(move || worker(lane, 2))
        });
        lanes.map(|lane| lane.join().expect("no panic")).to_vec()
    });
    let plans: u64 = taken.iter().map(|taken| taken.plans).sum();
    let compose_files: u64 = taken.iter().map(|taken| taken.compose_files).sum();
    println!(
        "{inputs} inputs, seed {seed}, no panic, {:?}; {plans} were plans, {compose_files} Compose files",
        began.elapsed()
    );
    assert!(inputs < 1000 || plans > 0 && compose_files > 0);
}
