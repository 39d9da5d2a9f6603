//! Programs of another architecture than the guest's: who runs them, if anybody does.

use crate::arch::Arch;
use crate::host::binfmt::Handler;

/// An architecture in Docker's word for it, and what the head of its programs says: bits, byte order, `e_machine`.
const ARCHITECTURES: [(&str, u8, u8, u16); 10] = [
    ("amd64", 2, 1, 62),
    ("arm64", 2, 1, 183),
    ("arm", 1, 1, 40),
    ("386", 1, 1, 3),
    ("riscv64", 2, 1, 243),
    ("ppc64le", 2, 1, 21),
    ("s390x", 2, 2, 22),
    ("loong64", 2, 1, 258),
    ("mips64le", 2, 1, 8),
    ("mipsle", 1, 1, 8),
];

/// Whether this kernel starts them by itself: those of the same processor with narrower words too.
fn is_native(architecture: &str, guest: Arch) -> bool {
    match guest {
        Arch::Amd64 => ["amd64", "386"].contains(&architecture),
        Arch::Arm64 => ["arm64", "arm"].contains(&architecture),
    }
}

/// The handler that the kernel would hand its programs to.
fn handler_for<'h>(architecture: &str, handlers: &'h [Handler]) -> Option<&'h Handler> {
    let head = head_of_program(architecture)?;
    handlers.iter().find(|handler| takes(handler, &head))
}

/// The first 20 bytes of an ELF program (elf(5)).
fn head_of_program(architecture: &str) -> Option<[u8; 20]> {
    let mut known = ARCHITECTURES.into_iter();
    let (_, bits, order, machine) = known.find(|(name, ..)| *name == architecture)?;
    const EXECUTABLE: u16 = 2;
    let number = |number: u16| match order {
        2 => number.to_be_bytes(),
        _ => number.to_le_bytes(),
    };
    let mut head = [0; 20];
    head[..4].copy_from_slice(b"\x7fELF");
    head[4..7].copy_from_slice(&[bits, order, 1]);
    head[16..18].copy_from_slice(&number(EXECUTABLE));
    head[18..].copy_from_slice(&number(machine));
    Some(head)
}

fn takes(handler: &Handler, head: &[u8]) -> bool {
    let Some(part) = head.get(handler.offset..) else {
        return false;
    };
    let mask = handler.mask.iter().copied().chain(std::iter::repeat(0xff));
    let mut bits = handler.magic.iter().zip(part).zip(mask);
    part.len() >= handler.magic.len()
        && bits.all(|((magic, byte), mask)| (magic ^ byte) & mask == 0)
}

/// What this guest runs, by itself or by its handlers.
#[derive(Clone, Debug)]
pub struct Runs {
    pub guest: Arch,
    /// None: `binfmt_misc` is not mounted.
    pub handlers: Option<Vec<Handler>>,
}

impl Runs {
    /// None: the kernel does it by itself.
    ///
    /// # Errors
    /// Nobody does; why, and what would help.
    pub fn by(&self, architecture: &str) -> Result<Option<&Handler>, String> {
        if is_native(architecture, self.guest) {
            return Ok(None);
        }
        let why = match &self.handlers {
            Some(handlers) => match handler_for(architecture, handlers) {
                Some(handler) => return Ok(Some(handler)),
                None => "has no handler in binfmt_misc that would emulate it",
            },
            None => "has no binfmt_misc mounted, where a handler could emulate it",
        };
        Err(format!(
            "this guest is {}, and {why}: bring an image for {0}, or install qemu-user-static (from Debian 13 on: \
             qemu-user-binfmt) in the guest",
            self.guest
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(name: &str, magic: &[u8], mask: &[u8]) -> Handler {
        Handler {
            name: name.into(),
            magic: magic.into(),
            mask: mask.into(),
            ..Handler::default()
        }
    }

    /// What Debian registers: the mask lets any ABI and shared objects pass.
    fn debian() -> [Handler; 3] {
        let magic = |machine: u8| {
            let mut magic = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
            magic.extend([machine, 0]);
            magic
        };
        let mut mask = vec![0xff; 20];
        mask[7] = 0;
        mask[16] = 0xfe;
        [
            handler("java", b"\xca\xfe\xba\xbe", &[]),
            handler("qemu-aarch64", &magic(0xb7), &mask),
            handler("qemu-riscv64", &magic(0xf3), &mask),
        ]
    }

    fn name_for(architecture: &str) -> Option<String> {
        let handlers = debian();
        handler_for(architecture, &handlers).map(|handler| handler.name.clone())
    }

    #[test]
    fn a_handler_is_found_by_the_programs_it_takes_whatever_it_is_called() {
        assert_eq!(name_for("arm64").as_deref(), Some("qemu-aarch64"));
        assert_eq!(name_for("riscv64").as_deref(), Some("qemu-riscv64"));
        for none in ["amd64", "s390x", "arm", "unheard-of"] {
            assert_eq!(name_for(none), None, "{none}");
        }
        let beyond = Handler {
            offset: 100,
            ..handler("far", b"x", &[])
        };
        assert!(handler_for("arm64", &[beyond]).is_none());
    }

    #[test]
    fn what_nobody_runs_says_what_would_help() {
        let mut runs = Runs {
            guest: Arch::Amd64,
            handlers: Some(debian().into()),
        };
        assert_eq!(runs.by("amd64"), Ok(None));
        assert_eq!(runs.by("arm64").unwrap().unwrap().name, "qemu-aarch64");
        let error = runs.by("s390x").unwrap_err();
        assert!(
            error.starts_with("this guest is amd64, and has no handler"),
            "{error}"
        );
        assert!(error.contains("install qemu-user-static"), "{error}");
        runs.handlers = None;
        assert!(
            runs.by("arm64")
                .unwrap_err()
                .contains("has no binfmt_misc mounted")
        );
    }

    #[test]
    fn a_kernel_runs_the_narrower_words_of_its_own_processor() {
        assert!(is_native("386", Arch::Amd64) && is_native("arm", Arch::Arm64));
        assert!(!is_native("arm64", Arch::Amd64) && !is_native("386", Arch::Arm64));
    }
}
