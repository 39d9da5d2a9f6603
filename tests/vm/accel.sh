#!/bin/bash
# Prints the accelerator that really works here for a guest of the architecture, kvm or tcg, and why on stderr.
#   accel.sh [amd64|arm64]
# A /dev/kvm that opens proves nothing: guests may die in it before their first line, so one is booted.
# The answer is kept until this machine boots again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/qemu.sh"
arch=${1:-amd64}
qemu_for "$arch"
mkdir -p "$here/../../target/vm"
out=$(cd "$here/../../target/vm" && pwd)
kept=$out/accel-$arch
boot=$(cat /proc/sys/kernel/random/boot_id)

if [ -r "$kept" ] && read -r accel kept_boot why <"$kept" && [ "$kept_boot" = "$boot" ]; then
    echo "accelerator: $accel ($why)" >&2
    echo "$accel"
    exit 0
fi

# A guest that only boots a kernel without a disk, and ends itself in the panic that makes.
try_kvm() {
    if [ ! -e /dev/kvm ]; then
        why="no /dev/kvm"
        return 1
    fi
    if [ ! -w /dev/kvm ]; then
        why="no permission to use /dev/kvm"
        return 1
    fi
    trial=$(mktemp -d)
    if [ -r "$out/guest-$arch.vmlinuz" ]; then
        what=(-kernel "$out/guest-$arch.vmlinuz" -append "console=$console panic=-1" -serial "file:$trial/said")
        sign='Linux version'
    elif [ "$arch" = amd64 ]; then
        # shellcheck disable=SC2054 # commas are QEMU's
        what=(-chardev "file,id=firmware,path=$trial/said" -device isa-debugcon,iobase=0x402,chardev=firmware -serial none)
        sign='Booting from'
    else
        what=(-bios "$firmware" -serial "file:$trial/said")
        sign='UEFI'
    fi
    timeout -k 2 15 "$qemu" -nodefaults -accel kvm -machine "$machine" -cpu max -m 256 -no-reboot \
        -display none "${what[@]}" 2>"$trial/errors" &
    pid=$!
    answer=1
    why="a trial guest under KVM printed nothing within 15 s"
    while kill -0 "$pid" 2>/dev/null; do
        if grep -aqs "$sign" "$trial/said"; then
            answer=0
            break
        fi
        if grep -qs 'KVM internal error' "$trial/errors"; then
            why="a trial guest under KVM died: $(grep -m1 'KVM internal error' "$trial/errors")"
            grep -qs '^emulation failure' "$trial/errors" && why="$why, emulation failure"
            break
        fi
        sleep 0.1
    done
    if [ "$answer" -ne 0 ] && grep -aqs "$sign" "$trial/said"; then
        answer=0
    fi
    kill "$pid" 2>/dev/null || true
    ended=0
    wait "$pid" 2>/dev/null || ended=$?
    case $why:$ended in
        # 124: `timeout` ended it; 143: this script did.
        *printed*:124 | *died*:* | *:143) ;;
        *) why="a trial guest under KVM ended with $ended before it printed anything: $(tail -n 1 "$trial/errors")" ;;
    esac
    rm -rf "$trial"
    if [ "$answer" -eq 0 ]; then
        why="a trial guest booted"
    fi
    return "$answer"
}

if [ "$native" = no ]; then
    accel=tcg why="the guest is $arch, this machine is $(uname -m)"
elif try_kvm; then
    accel=kvm
else
    accel=tcg
fi
echo "$accel $boot $why" >"$kept"
echo "accelerator: $accel ($why)" >&2
echo "$accel"
