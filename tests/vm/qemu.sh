# shellcheck shell=bash disable=SC2034
# Sourced: which QEMU a guest needs.

# qemu_for ARCH: $qemu, its $machine, the $console of that, its UEFI $firmware if it has none of its own, and whether this
# machine is of that architecture: $native, yes or no.
qemu_for() {
    case $1 in
        amd64) qemu=qemu-system-x86_64 machine=q35 console=ttyS0 firmware='' kernel_name=x86_64 ;;
        arm64)
            qemu=qemu-system-aarch64 machine=virt console=ttyAMA0 kernel_name=aarch64
            firmware=/usr/share/qemu-efi-aarch64/QEMU_EFI.fd
            ;;
        *)
            echo "no guest for architecture '$1' (amd64, arm64)" >&2
            return 64
            ;;
    esac
    native=no
    if [ "$(uname -m)" = "$kernel_name" ]; then
        native=yes
    fi
}

# processor_for ACCEL: $processor, after qemu_for, and $why. GUESTBAKE_CPU is another one.
processor_for() {
    if [ -n "${GUESTBAKE_CPU:-}" ]; then
        processor=$GUESTBAKE_CPU why="as GUESTBAKE_CPU says"
    elif [ "$1" = tcg ] && [ "$machine" = virt ] && [ "$native" = no ]; then
        # Compilers at run time (V8's) trap on what TCG makes of "max"; with cortex-a72 programs die that use the
        # atomics of Armv8.1 without asking (ClickHouse).
        processor=cortex-a76 why="arm64 emulated on another architecture"
    elif [ "$1" = tcg ] && [ "$machine" = q35 ]; then
        processor=max
        why="all that tcg has here, but for fast strings: with them kernels copy by instructions that it does byte by byte"
        for flag in erms fsrm fsrs; do
            if "$qemu" -cpu help | grep -qw "$flag"; then
                processor+=,-$flag
            fi
        done
    else
        processor=max why="all that $1 has here"
    fi
}
