//! What accelerates an x86-64 machine: the processor itself says it, unless it was told not to.

use super::{Accel, Finding};
use crate::host::machine::{Cpuid, Identity};

/// QEMU's `-cpu max` under TCG (target/i386/cpu.c), also where CPUID hides the hypervisor.
const TCG_MODEL: &str = "QEMU TCG CPU";
/// QEMU under HVF answers leaves up to this one with an empty signature (target/i386/hvf/hvf.c).
const HVF_HIGHEST_LEAF: u32 = 0x4000_0010;

pub(super) fn detect(identity: &Identity) -> Finding {
    let mut finding = match &identity.cpuid {
        Some(cpuid) if cpuid.hypervisor => by_signature(cpuid, identity),
        Some(_) => hidden(identity, "CPUID reports no hypervisor"),
        None => Finding::new(Accel::Unknown, "CPUID was not asked"),
    };
    if let Some(model) = identity
        .cpu_model
        .as_ref()
        .filter(|model| model.contains("QEMU"))
    {
        finding
            .evidence
            .push(format!("the processor calls itself {model}"));
    }
    finding
}

/// What whoever starts an emulated guest could do better: where a processor has fast string instructions, Linux copies and
/// clears memory by them (arch/x86/lib/copy_user_64.S), and TCG does them byte by byte.
pub(super) fn advice(identity: &Identity) -> Option<String> {
    let found = &identity.cpuid.as_ref()?.fast_strings;
    (!found.is_empty()).then(|| {
        format!(
            "note: TCG copies memory byte by byte where the processor has {}; QEMU's `-cpu max,-{}` loads images in 70 % \
             of the time",
            found.join(", "),
            found.join(",-")
        )
    })
}

fn by_signature(cpuid: &Cpuid, identity: &Identity) -> Finding {
    let signature = cpuid.signature.as_str();
    let says = format!("CPUID 0x40000000 says {signature:?}");
    let other = |name: &str| Finding::new(Accel::Other(name.into()), says.clone());
    match signature {
        "TCGTCGTCGTCG" => Finding::new(Accel::Tcg, says),
        "KVMKVMKVM" => Finding::new(Accel::Kvm, says),
        "Microsoft Hv" if cpuid.second_signature == "KVMKVMKVM" => {
            Finding::new(Accel::Kvm, format!("{says}, 0x40000100 \"KVMKVMKVM\""))
        }
        "Microsoft Hv" => other("hyperv"),
        "VMwareVMware" => other("vmware"),
        "XenVMMXenVMM" => other("xen"),
        "VBoxVBoxVBox" => other("virtualbox"),
        "bhyve bhyve " => other("bhyve"),
        "" if cpuid.highest_leaf == HVF_HIGHEST_LEAF && is_qemu(identity) => Finding::new(
            Accel::Hvf,
            "CPUID 0x40000000 has no signature but QEMU's leaf 0x40000010 for HVF",
        ),
        "" => hidden(identity, "CPUID reports a hypervisor without a signature"),
        unknown => other(unknown),
    }
}

/// The hypervisor does not say its name; other traces may.
fn hidden(identity: &Identity, says: &str) -> Finding {
    if identity
        .cpu_model
        .as_ref()
        .is_some_and(|model| model.contains(TCG_MODEL))
    {
        return Finding::new(Accel::Tcg, says);
    }
    if is_qemu(identity) {
        return Finding::new(
            Accel::Unknown,
            format!("{says}, DMI says QEMU: HVF, or one that hides"),
        );
    }
    if identity
        .cpuid
        .as_ref()
        .is_some_and(|cpuid| cpuid.hypervisor)
    {
        return Finding::new(Accel::Unknown, says);
    }
    Finding::new(
        Accel::Other("none".into()),
        format!("{says}, nothing speaks of QEMU"),
    )
}

fn is_qemu(identity: &Identity) -> bool {
    identity.dmi_vendor.as_deref() == Some("QEMU")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(signature: &str, vendor: &str, model: &str) -> Identity {
        Identity {
            machine: "x86_64".into(),
            cpuid: Some(Cpuid {
                hypervisor: true,
                highest_leaf: 0x4000_0001,
                signature: signature.into(),
                second_signature: String::new(),
                fast_strings: vec![],
            }),
            dmi_vendor: Some(vendor.into()),
            cpu_model: Some(model.into()),
            ..Identity::default()
        }
    }

    fn without_hypervisor_bit(mut identity: Identity) -> Identity {
        identity.cpuid = Some(Cpuid::default());
        identity
    }

    const XEON: &str = "Intel(R) Xeon(R) Processor @ 2.90GHz";
    const TCG: &str = "QEMU TCG CPU version 2.5+";

    #[test]
    fn signatures_are_believed() {
        for (signature, expected) in [
            ("TCGTCGTCGTCG", Accel::Tcg),
            ("KVMKVMKVM", Accel::Kvm),
            ("Microsoft Hv", Accel::Other("hyperv".into())),
            ("VMwareVMware", Accel::Other("vmware".into())),
            ("ACRNACRNACRN", Accel::Other("ACRNACRNACRN".into())),
        ] {
            let finding = detect(&machine(signature, "QEMU", XEON));
            assert_eq!(finding.accel, expected);
            assert_eq!(
                finding.evidence,
                [format!("CPUID 0x40000000 says {signature:?}")]
            );
        }
    }

    #[test]
    fn kvm_behind_hyper_vs_interface_is_found() {
        let mut identity = machine("Microsoft Hv", "QEMU", XEON);
        identity.cpuid.as_mut().unwrap().second_signature = "KVMKVMKVM".into();
        assert_eq!(detect(&identity).accel, Accel::Kvm);
    }

    #[test]
    fn hvf_shows_its_last_leaf_and_no_name() {
        let mut identity = machine("", "QEMU", "Intel(R) Core(TM) i7-8850H CPU @ 2.60GHz");
        identity.cpuid.as_mut().unwrap().highest_leaf = HVF_HIGHEST_LEAF;
        assert_eq!(detect(&identity).accel, Accel::Hvf);
    }

    #[test]
    fn tcg_that_hides_is_given_away_by_its_processors_name() {
        for identity in [
            machine("", "QEMU", TCG),
            without_hypervisor_bit(machine("", "QEMU", TCG)),
        ] {
            let finding = detect(&identity);
            assert_eq!(finding.accel, Accel::Tcg);
            assert!(finding.evidence.iter().any(|line| line.contains(TCG)));
        }
    }

    #[test]
    fn qemu_that_hides_otherwise_stays_unknown() {
        let hidden = detect(&machine("", "QEMU", "QEMU Virtual CPU version 2.5+"));
        assert_eq!(hidden.accel, Accel::Unknown);
        let more = detect(&without_hypervisor_bit(machine("", "QEMU", XEON)));
        assert_eq!(more.accel, Accel::Unknown);
    }

    #[test]
    fn what_makes_copying_slow_is_told() {
        let mut identity = machine("TCGTCGTCGTCG", "QEMU", TCG);
        assert_eq!(advice(&identity), None);
        identity.cpuid.as_mut().unwrap().fast_strings = vec!["erms", "fsrm"];
        let told = advice(&identity).expect("advice");
        assert!(told.contains("has erms, fsrm;") && told.contains("`-cpu max,-erms,-fsrm`"));
    }

    #[test]
    fn bare_metal_is_none() {
        let finding = detect(&without_hypervisor_bit(machine("", "Dell Inc.", XEON)));
        assert_eq!(finding.accel, Accel::Other("none".into()));
    }

    #[test]
    fn nothing_known_is_unknown() {
        assert_eq!(detect(&Identity::default()).accel, Accel::Unknown);
        assert_eq!(detect(&machine("", "Somebody", XEON)).accel, Accel::Unknown);
    }
}
