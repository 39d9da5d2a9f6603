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
const APPLE_COUNTER: u64 = 24_000_000;
/// The system counter that QEMU makes up for processors before Armv8.6 (target/arm/cpu.c). Under KVM it is the host's.
const TCG_COUNTER: u64 = 62_500_000;
/// QEMU answers the firmware's calls itself unless KVM does, and knows no later convention (target/arm/tcg/psci.c). KVM
/// has had 1.1 since Linux 4.16.
const WITHOUT_KVM: &str = "SMC Calling Convention v1.0";

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
    let has_dmi = vendor == "QEMU" || product == "QEMU Virtual Machine";
    if has_dmi || is_virt {
        return on_qemus_board(identity, has_dmi);
    }
    if vendor == "Apple Inc." {
        return Finding::new(
            Accel::Other("apple".into()),
            format!("DMI product {product:?}"),
        );
    }
    if vendor == "Microsoft Corporation" && product == "Virtual Machine" {
        return Finding::new(
            Accel::Other("hyperv".into()),
            format!("DMI product {vendor:?} {product:?}"),
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

/// KVM has not shown itself. Of what is left, HVF has a Mac's processor or counter; TCG is concluded from what would be
/// otherwise under KVM. A named processor's MIDR says nothing: TCG carries it as the real one does.
fn on_qemus_board(identity: &Identity, has_dmi: bool) -> Finding {
    let mut evidence = Vec::new();
    let mut without_kvm = false;
    match &identity.dmi_product {
        Some(product) if has_dmi => {
            without_kvm = true;
            evidence.push(format!("DMI product {product:?}, where KVM would say so"));
        }
        _ => evidence.push("the device tree is QEMU's virt".into()),
    }
    if let Some(midr) = identity.midr {
        evidence.push(format!(
            "MIDR implementer {:#04x}, part {:#05x}",
            midr.implementer, midr.part
        ));
    }
    if let Some(hz) = identity.counter_hz {
        let whose = match hz {
            APPLE_COUNTER => ", a Mac's",
            TCG_COUNTER => ", QEMU's own",
            _ => "",
        };
        evidence.push(format!("system counter {:.2} MHz{whose}", hz as f64 / 1e6));
        without_kvm |= hz == TCG_COUNTER;
    }
    if let Some(line) = identity.kernel_log.iter().find(|l| l.contains(WITHOUT_KVM)) {
        without_kvm = true;
        evidence.push(format!("the kernel's log: {line}, where KVM has v1.1"));
    }
    let is_apple = identity.midr.is_some_and(|midr| midr.implementer == APPLE)
        || identity.counter_hz == Some(APPLE_COUNTER);
    let accel = match (is_apple, without_kvm) {
        (true, _) => Accel::Hvf,
        (false, true) => Accel::Tcg,
        (false, false) => Accel::Unknown,
    };
    Finding { accel, evidence }
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

    /// A guest whose kernel QEMU booted directly. The counter is that of an Ampere Altra.
    fn direct(midr: Midr, log: &[&str]) -> Identity {
        Identity {
            machine: "aarch64".into(),
            device_tree: vec!["linux,dummy-virt".into()],
            midr: Some(midr),
            counter_hz: Some(25_000_000),
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
    fn tcg_is_known_by_its_max_processor_its_counter_its_firmware_calls_or_by_dmi_without_kvm() {
        assert_eq!(detect(&direct(TCG_MAX, &[])).accel, Accel::Tcg);
        let mut counter = direct(CORTEX_A76, &[]);
        counter.counter_hz = Some(62_500_000);
        assert_eq!(detect(&counter).accel, Accel::Tcg);
        let calls = "psci: SMC Calling Convention v1.0";
        assert_eq!(detect(&direct(CORTEX_A76, &[calls])).accel, Accel::Tcg);
        let dmi = with_dmi("QEMU", "QEMU Virtual Machine", CORTEX_A76);
        assert_eq!(detect(&dmi).accel, Accel::Tcg);
    }

    /// Recorded in a guest of QEMU 10.0.2 on x86-64: `virt`, `cortex-a76`, Debian 13's kernel 6.12 booted directly.
    #[test]
    fn a_real_tcg_guest_gives_every_reason() {
        let mut recorded = direct(CORTEX_A76, &["psci: SMC Calling Convention v1.0"]);
        recorded.counter_hz = Some(62_500_000);
        let finding = detect(&recorded);
        assert_eq!(finding.accel, Accel::Tcg);
        assert_eq!(
            finding.evidence,
            [
                "the device tree is QEMU's virt",
                "MIDR implementer 0x41, part 0xd0b",
                "system counter 62.50 MHz, QEMU's own",
                "the kernel's log: psci: SMC Calling Convention v1.0, where KVM has v1.1",
            ]
        );
    }

    #[test]
    fn hvf_is_known_by_apples_processor_or_counter() {
        let mac = with_dmi("QEMU", "QEMU Virtual Machine", M1);
        assert_eq!(detect(&mac).accel, Accel::Hvf);
        // Its firmware calls are QEMU's as well.
        let calls = "psci: SMC Calling Convention v1.0";
        assert_eq!(detect(&direct(M1, &[calls])).accel, Accel::Hvf);
        let mut named = with_dmi("QEMU", "QEMU Virtual Machine", CORTEX_A76);
        named.counter_hz = Some(24_000_000);
        assert_eq!(detect(&named).accel, Accel::Hvf);
    }

    /// KVM that has not shown itself: the log is overwritten, and there is no DMI.
    #[test]
    fn a_named_processor_and_nothing_else_is_unknown() {
        let finding = detect(&direct(CORTEX_A76, &["psci: SMC Calling Convention v1.1"]));
        assert_eq!(finding.accel, Accel::Unknown);
        assert_eq!(finding.evidence.len(), 3, "{:?}", finding.evidence);
    }

    #[test]
    fn others_are_named_where_they_say_it() {
        let apple = with_dmi("Apple Inc.", "Apple Virtualization Generic Platform", M1);
        assert_eq!(detect(&apple).accel, Accel::Other("apple".into()));
        let azure = with_dmi("Microsoft Corporation", "Virtual Machine", CORTEX_A76);
        assert_eq!(detect(&azure).accel, Accel::Other("hyperv".into()));
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
