//! Stage 3: is this machine the one the bundle was made for, and is its processor emulated?
//!
//! Who started the guest knows best, so the bundle's word wins over the `--accel` flag, and that over what the machine
//! shows. Detection runs all the same and its finding is kept as evidence, so a contradiction can be seen afterwards.

mod aarch64;
pub mod foreign;
mod x86_64;

use std::fmt;

use serde::Serialize;

use crate::arch::Arch;
use crate::bundle::BuildArch;
use crate::bundle::Bundle;
use crate::event::{Event, Events};
use crate::failure::{Fault, Reason};
use crate::host::Host;
use crate::host::machine::{Identity, Machine};

/// What runs the guest's instructions, in QEMU's words where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum Accel {
    Kvm,
    /// Emulation: correct, several times slower.
    Tcg,
    /// macOS's hypervisor.
    Hvf,
    /// Another hypervisor, or `none` for bare metal.
    Other(String),
    Unknown,
}

impl Accel {
    /// Reads what a host or a user calls it: QEMU's `-accel` argument with or without its options, and
    /// `systemd-detect-virt`'s `qemu`, which stands for TCG. `None` if it leaves the choice open: `auto`, or a list
    /// such as `kvm:tcg`, of which QEMU takes the first that works.
    pub fn declared(text: &str) -> Option<Accel> {
        let name = text
            .split(',')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match name.as_str() {
            "" | "auto" | "unknown" => None,
            list if list.contains(':') => None,
            "kvm" => Some(Accel::Kvm),
            "tcg" | "qemu" => Some(Accel::Tcg),
            "hvf" => Some(Accel::Hvf),
            _ => Some(Accel::Other(name)),
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
            Accel::Hvf => "hvf",
            Accel::Other(name) => name,
            Accel::Unknown => "unknown",
        })
    }
}

impl From<Accel> for String {
    fn from(accel: Accel) -> String {
        accel.to_string()
    }
}

/// Who said what the accelerator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Bundle,
    Flag,
    Detected,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Bundle => "the bundle",
            Source::Flag => "--accel",
            Source::Detected => "detection",
        })
    }
}

/// The accelerator, who said so, and everything that speaks for or against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Emulation {
    pub accel: Accel,
    pub source: Source,
    pub evidence: Vec<String>,
}

impl Emulation {
    /// Whether what needs a fast processor should be left out. Unknown counts as no: a smoke test that runs too slowly
    /// fails and is seen, one that is left out by mistake is not.
    pub fn is_emulated(&self) -> bool {
        self.accel == Accel::Tcg
    }
}

impl fmt::Display for Emulation {
    /// `tcg (says the bundle)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (says {})", self.accel, self.source)
    }
}

/// A guest of the bundle's architecture. Only [`examine`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guest {
    pub arch: Arch,
    pub emulation: Emulation,
    /// To whoever starts the guest: what makes it needlessly slow.
    advice: Option<String>,
}

/// The stage: says what the guest is, and why it is thought so.
///
/// # Errors
/// Those of [`examine`].
pub async fn examined(
    bundle: &Bundle,
    flag: Option<&str>,
    host: &Host,
    events: &Events,
) -> Result<Guest, Fault> {
    let guest = examine(bundle.build(), flag, &*host.machine)?;
    let emulation = &guest.emulation;
    events.line(format!("guest: {}, accelerator {emulation}", guest.arch));
    for evidence in &emulation.evidence {
        events.line(format!("  {evidence}"));
    }
    if let Some(advice) = &guest.advice {
        events.line(advice);
    }
    events.emit(Event::Guest {
        arch: guest.arch.to_string(),
        accel: emulation.accel.to_string(),
        evidence: emulation.evidence.clone(),
    });
    Ok(guest)
}

/// Compares the machine with what the bundle was made for and settles what accelerates it.
///
/// # Errors
/// `wrong_architecture`.
pub fn examine(
    build: &BuildArch,
    flag: Option<&str>,
    machine: &dyn Machine,
) -> Result<Guest, Fault> {
    let identity = machine.identity();
    if Arch::from_machine(&identity.machine) != Some(build.arch) {
        let here = match Arch::from_machine(&identity.machine) {
            Some(arch) => arch.to_string(),
            None => identity.machine.clone(),
        };
        return Err(Fault::new(
            Reason::WrongArchitecture,
            format!("the bundle is for {}, this guest is {here}", build.arch),
        ));
    }
    let emulation = settle(build.accel.as_deref(), flag, detect(&identity, build.arch));
    let advice = match build.arch {
        Arch::Amd64 if emulation.is_emulated() => x86_64::advice(&identity),
        _ => None,
    };
    Ok(Guest {
        arch: build.arch,
        emulation,
        advice,
    })
}

/// What a machine's statements lead to, with each statement that counted.
struct Finding {
    accel: Accel,
    evidence: Vec<String>,
}

impl Finding {
    fn new(accel: Accel, evidence: impl Into<String>) -> Finding {
        Finding {
            accel,
            evidence: vec![evidence.into()],
        }
    }
}

fn detect(identity: &Identity, arch: Arch) -> Finding {
    match arch {
        Arch::Amd64 => x86_64::detect(identity),
        Arch::Arm64 => aarch64::detect(identity),
    }
}

fn settle(bundle: Option<&str>, flag: Option<&str>, found: Finding) -> Emulation {
    let mut evidence = Vec::new();
    let mut settled = None;
    for (source, said) in [(Source::Bundle, bundle), (Source::Flag, flag)] {
        let Some(said) = said else { continue };
        let meaning = Accel::declared(said);
        evidence.push(match meaning {
            Some(_) => format!("{source} says {said}"),
            None => format!("{source} says {said}, which leaves it open"),
        });
        settled = settled.or(meaning.map(|accel| (accel, source)));
    }
    evidence.push(format!("detected: {}", found.accel));
    evidence.extend(found.evidence);
    let (accel, source) = settled.unwrap_or((found.accel, Source::Detected));
    Emulation {
        accel,
        source,
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::build_arch;

    struct Recorded(Identity);

    impl Machine for Recorded {
        fn identity(&self) -> Identity {
            self.0.clone()
        }
    }

    fn build(accel: &str) -> BuildArch {
        let text = format!("STACK_EMULATOR_BUILD_ARCH=amd64\nSTACK_EMULATOR_BUILD_ACCEL={accel}\n");
        build_arch::parse(&text).unwrap()
    }

    fn machine(name: &str) -> Recorded {
        Recorded(Identity {
            machine: name.into(),
            ..Identity::default()
        })
    }

    fn found(accel: Accel) -> Finding {
        Finding::new(accel, "a reason")
    }

    #[test]
    fn another_architecture_is_refused() {
        let fault = examine(&build("kvm"), None, &machine("aarch64")).unwrap_err();
        assert_eq!(fault.reason, Reason::WrongArchitecture);
        assert_eq!(
            fault.error.to_string(),
            "the bundle is for amd64, this guest is arm64"
        );
        let fault = examine(&build("kvm"), None, &machine("riscv64")).unwrap_err();
        assert_eq!(
            fault.error.to_string(),
            "the bundle is for amd64, this guest is riscv64"
        );
    }

    #[test]
    fn the_bundle_wins_over_the_flag_and_that_over_detection() {
        let guest = examine(&build("tcg"), Some("kvm"), &machine("x86_64")).unwrap();
        assert_eq!(guest.emulation.to_string(), "tcg (says the bundle)");
        assert!(guest.emulation.is_emulated());

        let emulation = settle(None, Some("hvf"), found(Accel::Tcg));
        assert_eq!(
            (emulation.accel, emulation.source),
            (Accel::Hvf, Source::Flag)
        );
        let emulation = settle(None, None, found(Accel::Tcg));
        assert_eq!(
            (emulation.accel, emulation.source),
            (Accel::Tcg, Source::Detected)
        );
    }

    #[test]
    fn a_contradiction_is_in_the_evidence() {
        let emulation = settle(Some("kvm"), Some("hvf"), found(Accel::Tcg));
        assert_eq!(emulation.accel, Accel::Kvm);
        assert_eq!(
            emulation.evidence,
            [
                "the bundle says kvm",
                "--accel says hvf",
                "detected: tcg",
                "a reason"
            ]
        );
    }

    #[test]
    fn a_word_that_leaves_it_open_is_passed_over() {
        for open in ["auto", "kvm:tcg", "Unknown"] {
            let emulation = settle(Some(open), None, found(Accel::Tcg));
            assert_eq!(
                (emulation.accel, emulation.source),
                (Accel::Tcg, Source::Detected)
            );
            assert_eq!(
                emulation.evidence[0],
                format!("the bundle says {open}, which leaves it open")
            );
        }
    }

    #[test]
    fn qemus_and_systemds_words_are_understood() {
        assert_eq!(Accel::declared("tcg,thread=multi"), Some(Accel::Tcg));
        assert_eq!(Accel::declared("KVM"), Some(Accel::Kvm));
        assert_eq!(Accel::declared("qemu"), Some(Accel::Tcg));
        assert_eq!(Accel::declared("whpx"), Some(Accel::Other("whpx".into())));
        assert_eq!(Accel::declared(""), None);
    }

    #[test]
    fn what_is_not_known_counts_as_not_emulated() {
        assert!(!settle(None, None, found(Accel::Unknown)).is_emulated());
        assert!(!settle(None, None, found(Accel::Hvf)).is_emulated());
    }
}
