//! What accelerates an aarch64 machine. No register says it; several places together mostly do.

use super::{Accel, Finding};
use crate::host::machine::{Identity, Midr};

/// Apple's processors; under HVF the guest sees this one whatever the Mac.
const APPLE: u8 = 0x61;
/// QEMU's `-cpu max` under TCG (target/arm/cpu64.c): implementer 0, part `Q`.
const TCG_MAX: Midr = Midr {
    implementer: 0,
    part: 0x51,
};
/// The system counter of a Mac, also of a guest with another processor's name under HVF.
const APPLE_TIMER: &str = "24.00MHz";
/// The system counter that QEMU makes up for processors before Armv8.6 (target/arm/cpu.c).
const TCG_TIMER: &str = "62.50MHz";

pub(super) fn detect(identity: &Identity) -> Finding {
    let product = identity.dmi_product.as_deref().unwrap_or_default();
    let vendor = identity.dmi_vendor.as_deref().unwrap_or_default();
    let on_device_tree = |name: &str| identity.device_tree.iter().any(|entry| entry == name);
    let is_virt = on_device_tree("linux,dummy-virt");

    let kvm_spoke = |line: &&String| line.contains("KVM: hypervisor services detected");
    if let Some(line) = identity.kernel_log.iter().find(kvm_spoke) {
        return Finding::new(Accel::Kvm, format!("the kernel's log: {line}"));
    }
    if let Some(clock) = identity.ptp_clocks.iter().find(|name| name.contains("KVM")) {
        return Finding::new(Accel::Kvm, format!("a clock is named {clock:?}"));
    }
    if product == "KVM Virtual Machine" {
        return Finding::new(Accel::Kvm, format!("DMI product {product:?}"));
    }
    if on_device_tree("xen,xen") {
        return Finding::new(Accel::Other("xen".into()), "the device tree names Xen");
    }
    if identity.midr == Some(TCG_MAX) {
        return Finding::new(
            Accel::Tcg,
            "MIDR is that of QEMU's max processor (0x00, 0x51)",
        );
    }
    let is_qemu = vendor == "QEMU" || product == "QEMU Virtual Machine";
    if is_qemu || is_virt {
        let board = if is_qemu {
            format!("DMI product {product:?}")
        } else {
            "the device tree is QEMU's virt".into()
        };
        return on_qemus_board(identity, is_qemu, &board);
    }
    if vendor == "Apple Inc." {
        return Finding::new(
            Accel::Other("apple".into()),
            format!("DMI product {product:?}"),
        );
    }
    if vendor.is_empty() && product.is_empty() && identity.device_tree.is_empty() {
        return Finding::new(Accel::Unknown, "neither DMI nor a device tree");
    }
    let board = if product.is_empty() {
        identity.device_tree.join(" ")
    } else {
        format!("{vendor} {product}")
    };
    Finding::new(
        Accel::Unknown,
        format!("a board that says nothing of a hypervisor: {board}"),
    )
}

/// KVM has not been seen, which with DMI excludes it and without proves nothing (the log may have been overwritten).
fn on_qemus_board(identity: &Identity, has_dmi: bool, board: &str) -> Finding {
    let timer = |frequency: &str| {
        identity
            .kernel_log
            .iter()
            .any(|line| line.contains(frequency))
    };
    let midr = match identity.midr {
        Some(midr) => format!(
            "MIDR implementer {:#04x}, part {:#05x}",
            midr.implementer, midr.part
        ),
        None => "no MIDR".into(),
    };
    let is_apple = identity.midr.is_some_and(|midr| midr.implementer == APPLE);
    if is_apple || timer(APPLE_TIMER) {
        return Finding::new(
            Accel::Hvf,
            format!("{board}, {midr}: Apple's processor or timer"),
        );
    }
    if timer(TCG_TIMER) {
        return Finding::new(
            Accel::Tcg,
            format!("{board}, {midr}, and QEMU's own timer of {TCG_TIMER}"),
        );
    }
    if has_dmi {
        return Finding::new(
            Accel::Tcg,
            format!("{board}, where KVM would say so, and {midr}, not Apple's"),
        );
    }
    Finding::new(
        Accel::Unknown,
        format!("{board}, {midr}: KVM, or TCG with a named processor"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORTEX_A76: Midr = Midr {
        implementer: 0x41,
        part: 0xd0b,
    };
    const M1: Midr = Midr {
        implementer: APPLE,
        part: 0,
    };

    /// A guest with UEFI, so with DMI.
    fn with_dmi(vendor: &str, product: &str, midr: Midr) -> Identity {
        Identity {
            machine: "aarch64".into(),
            dmi_vendor: Some(vendor.into()),
            dmi_product: Some(product.into()),
            midr: Some(midr),
            ..Identity::default()
        }
    }

    /// A guest whose kernel QEMU booted directly.
    fn direct(midr: Midr, log: &[&str]) -> Identity {
        Identity {
            machine: "aarch64".into(),
            device_tree: vec!["linux,dummy-virt".into()],
            midr: Some(midr),
            kernel_log: log.iter().map(|line| line.to_string()).collect(),
            ..Identity::default()
        }
    }

    #[test]
    fn kvm_is_known_by_the_log_a_clock_or_dmi() {
        let log = "smccc: KVM: hypervisor services detected (0x00000000 0x00000000 0x00000000 0x00000003)";
        assert_eq!(detect(&direct(CORTEX_A76, &[log])).accel, Accel::Kvm);
        let mut clock = direct(CORTEX_A76, &[]);
        clock.ptp_clocks = vec!["KVM virtual PTP".into()];
        assert_eq!(detect(&clock).accel, Accel::Kvm);
        assert_eq!(
            detect(&with_dmi("QEMU", "KVM Virtual Machine", CORTEX_A76)).accel,
            Accel::Kvm
        );
        // Linux with KVM on a Mac.
        assert_eq!(
            detect(&with_dmi("QEMU", "KVM Virtual Machine", M1)).accel,
            Accel::Kvm
        );
    }

    #[test]
    fn tcg_is_known_by_its_max_processor_its_timer_or_by_dmi_without_kvm() {
        assert_eq!(detect(&direct(TCG_MAX, &[])).accel, Accel::Tcg);
        let timer = "arch_timer: cp15 timer(s) running at 62.50MHz (virt).";
        assert_eq!(detect(&direct(CORTEX_A76, &[timer])).accel, Accel::Tcg);
        let finding = detect(&with_dmi("QEMU", "QEMU Virtual Machine", CORTEX_A76));
        assert_eq!(finding.accel, Accel::Tcg);
        assert!(
            finding.evidence[0].contains("0x41, part 0xd0b"),
            "{:?}",
            finding.evidence
        );
    }

    #[test]
    fn hvf_is_known_by_apples_processor_or_timer() {
        assert_eq!(
            detect(&with_dmi("QEMU", "QEMU Virtual Machine", M1)).accel,
            Accel::Hvf
        );
        assert_eq!(detect(&direct(M1, &[])).accel, Accel::Hvf);
        let mut named = with_dmi("QEMU", "QEMU Virtual Machine", CORTEX_A76);
        named.kernel_log = vec!["arch_timer: cp15 timer(s) running at 24.00MHz (virt).".into()];
        assert_eq!(detect(&named).accel, Accel::Hvf);
    }

    #[test]
    fn a_named_processor_without_dmi_or_log_is_unknown() {
        assert_eq!(detect(&direct(CORTEX_A76, &[])).accel, Accel::Unknown);
    }

    #[test]
    fn others_are_named_where_they_say_it() {
        let apple = with_dmi("Apple Inc.", "Apple Virtualization Generic Platform", M1);
        assert_eq!(detect(&apple).accel, Accel::Other("apple".into()));
        let mut xen = direct(CORTEX_A76, &[]);
        xen.device_tree.push("xen,xen".into());
        assert_eq!(detect(&xen).accel, Accel::Other("xen".into()));
    }

    #[test]
    fn boards_and_clouds_stay_unknown() {
        let board = with_dmi("Ampere(R)", "Mt. Jade Platform", CORTEX_A76);
        assert_eq!(detect(&board).accel, Accel::Unknown);
        assert_eq!(detect(&Identity::default()).accel, Accel::Unknown);
    }
}
