//! What the machine says about itself: the raw evidence from which [`crate::guest`] concludes what runs it.

use std::fs;
use std::path::Path;

use super::kernel_log;

/// The machine's statements. What it does not say, or does not let be read, is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `uname -m`.
    pub machine: String,
    /// x86-64 alone.
    pub cpuid: Option<Cpuid>,
    /// aarch64 alone: the processor's main identification.
    pub midr: Option<Midr>,
    /// aarch64 alone: the frequency of the system counter in Hz (CNTFRQ_EL0).
    pub counter_hz: Option<u64>,
    /// `model name` of /proc/cpuinfo (x86-64).
    pub cpu_model: Option<String>,
    pub dmi_vendor: Option<String>,
    pub dmi_product: Option<String>,
    /// `compatible` of the device tree's root, and of its `hypervisor` node.
    pub device_tree: Vec<String>,
    /// The names of the PTP clocks.
    pub ptp_clocks: Vec<String>,
    /// Lines of the kernel's log that speak of the hypervisor's interfaces. They may have been overwritten already.
    pub kernel_log: Vec<String>,
}

/// What the CPUID instruction says about a hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpuid {
    /// Leaf 1, ECX bit 31: "a hypervisor is present".
    pub hypervisor: bool,
    /// Leaf 0x40000000, EAX: the highest leaf of the hypervisor.
    pub highest_leaf: u32,
    /// Leaf 0x40000000: twelve characters, zeros at the end taken off.
    pub signature: String,
    /// The same of leaf 0x40000100, where KVM moves when it shows Hyper-V's interface first; only asked then.
    pub second_signature: String,
    /// Leaf 7: which of the fast string instructions it has, in QEMU's words.
    pub fast_strings: Vec<&'static str>,
}

/// Implementer and part number of MIDR_EL1 (Arm ARM, D24.2.122).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Midr {
    pub implementer: u8,
    pub part: u16,
}

/// A machine that can be asked.
pub trait Machine: Send + Sync {
    fn identity(&self) -> Identity;
}

/// The machine this runs on.
pub struct ThisMachine;

impl Machine for ThisMachine {
    /// Reads /proc, /sys and the kernel's log, none of which can hang.
    fn identity(&self) -> Identity {
        let dmi = |name: &str| text(&Path::new("/sys/class/dmi/id").join(name));
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Identity {
            machine: rustix::system::uname()
                .machine()
                .to_string_lossy()
                .into_owned(),
            cpuid: cpuid(),
            midr: midr(&cpuinfo),
            counter_hz: counter_hz(),
            cpu_model: field(&cpuinfo, "model name").map(str::to_string),
            dmi_vendor: dmi("sys_vendor"),
            dmi_product: dmi("product_name"),
            device_tree: ["compatible", "hypervisor/compatible"]
                .iter()
                .flat_map(|name| fs::read(Path::new("/proc/device-tree").join(name)))
                .flat_map(|content| zero_separated(&content))
                .collect(),
            ptp_clocks: ptp_clocks(Path::new("/sys/class/ptp")),
            kernel_log: kernel_log::read()
                .unwrap_or_default()
                .into_iter()
                .map(|record| record.text)
                .filter(|text| speaks_of_the_hypervisor(text))
                .collect(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn cpuid() -> Option<Cpuid> {
    use std::arch::x86_64::{__cpuid_count, CpuidResult};

    // SAFETY: every x86-64 processor has CPUID, and an unknown leaf yields rubbish, not harm. Newer compilers know.
    #[allow(unused_unsafe)]
    let leaf_of = |number, sub| unsafe { __cpuid_count(number, sub) };
    let leaf = |number| leaf_of(number, 0);
    let signature = |answer: CpuidResult| {
        let bytes = [answer.ebx, answer.ecx, answer.edx]
            .map(u32::to_le_bytes)
            .concat();
        String::from_utf8_lossy(&bytes)
            .trim_end_matches('\0')
            .to_string()
    };
    let mut cpuid = Cpuid {
        hypervisor: leaf(1).ecx & (1 << 31) != 0,
        ..Cpuid::default()
    };
    if leaf(0).eax >= 7 {
        let (first, second) = (leaf_of(7, 0), leaf_of(7, 1));
        let flags = [
            ("erms", first.ebx, 9),
            ("fsrm", first.edx, 4),
            ("fsrs", second.eax, 11),
        ];
        let has = |(name, register, bit): (_, u32, u32)| (register & 1 << bit != 0).then_some(name);
        cpuid.fast_strings = flags.into_iter().filter_map(has).collect();
    }
    // Without a hypervisor the leaves from here on repeat the processor's highest ordinary one.
    if cpuid.hypervisor {
        let first = leaf(0x4000_0000);
        cpuid.highest_leaf = first.eax;
        cpuid.signature = signature(first);
    }
    if cpuid.signature == "Microsoft Hv" {
        cpuid.second_signature = signature(leaf(0x4000_0100));
    }
    Some(cpuid)
}

#[cfg(not(target_arch = "x86_64"))]
fn cpuid() -> Option<Cpuid> {
    None
}

#[cfg(target_arch = "aarch64")]
fn counter_hz() -> Option<u64> {
    let hz: u64;
    // SAFETY: Linux lets every program read this register, as the C library's clocks need it.
    unsafe {
        std::arch::asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack, preserves_flags));
    }
    Some(hz)
}

#[cfg(not(target_arch = "aarch64"))]
fn counter_hz() -> Option<u64> {
    None
}

fn midr(cpuinfo: &str) -> Option<Midr> {
    let register = text(Path::new(
        "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1",
    ));
    register
        .and_then(|value| midr_from_register(&value))
        .or_else(|| midr_from_cpuinfo(cpuinfo))
}

fn midr_from_register(value: &str) -> Option<Midr> {
    let value = hexadecimal(value)?;
    Some(Midr {
        implementer: (value >> 24) as u8,
        part: (value >> 4) as u16 & 0xfff,
    })
}

fn midr_from_cpuinfo(cpuinfo: &str) -> Option<Midr> {
    Some(Midr {
        implementer: hexadecimal(field(cpuinfo, "CPU implementer")?)? as u8,
        part: hexadecimal(field(cpuinfo, "CPU part")?)? as u16,
    })
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn speaks_of_the_hypervisor(line: &str) -> bool {
    line.contains("KVM: hypervisor services detected") || line.contains("SMC Calling Convention")
}

fn ptp_clocks(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| text(&entry.path().join("clock_name")))
        .collect()
}

fn zero_separated(content: &[u8]) -> Vec<String> {
    let parts = content
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn text(path: &Path) -> Option<String> {
    let content = fs::read_to_string(path).ok()?;
    let content = content.trim();
    (!content.is_empty()).then(|| content.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_an_architecture() {
        let identity = ThisMachine.identity();
        assert_eq!(identity.machine, std::env::consts::ARCH);
        assert_eq!(identity.cpuid.is_some(), cfg!(target_arch = "x86_64"));
        assert_eq!(identity.counter_hz.is_some(), cfg!(target_arch = "aarch64"));
    }

    #[test]
    fn midr_is_read_from_the_register_and_from_cpuinfo() {
        // Neoverse N1, as /sys and /proc/cpuinfo show it.
        let expected = Some(Midr {
            implementer: 0x41,
            part: 0xd0c,
        });
        assert_eq!(midr_from_register("0x00000000413fd0c1\n"), expected);
        let cpuinfo =
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\nCPU revision\t: 1\n";
        assert_eq!(midr_from_cpuinfo(cpuinfo), expected);
        assert_eq!(midr_from_cpuinfo("model name\t: Intel\n"), None);
    }

    #[test]
    fn the_device_tree_separates_with_zeros() {
        assert_eq!(
            zero_separated(b"linux,dummy-virt\0x,y\0"),
            ["linux,dummy-virt", "x,y"]
        );
    }
}
