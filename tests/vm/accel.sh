#!/bin/bash
# Prints the accelerator that really works here, kvm or tcg, and why on stderr.
# A /dev/kvm that opens proves nothing: guests may die in it before their first line, so one is booted.
# The answer is kept until this machine boots again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$here/../../target/vm"
out=$(cd "$here/../../target/vm" && pwd)
kept=$out/accel
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
    if [ -r "$out/guest-amd64.vmlinuz" ]; then
        what=(-kernel "$out/guest-amd64.vmlinuz" -append "console=ttyS0 panic=-1" -serial "file:$trial/said")
        sign='Linux version'
    else
        # shellcheck disable=SC2054 # commas are QEMU's
        what=(-chardev "file,id=firmware,path=$trial/said" -device isa-debugcon,iobase=0x402,chardev=firmware -serial none)
        sign='Booting from'
    fi
    timeout -k 2 15 qemu-system-x86_64 -nodefaults -accel kvm -machine q35 -cpu max -m 256 -no-reboot \
        -display none "${what[@]}" 2>"$trial/errors" &
    pid=$!
    answer=1
    why="a trial guest under KVM printed nothing within 15 s"
    while kill -0 "$pid" 2>/dev/null; do
        if grep -qs "$sign" "$trial/said"; then
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
    if [ "$answer" -ne 0 ] && grep -qs "$sign" "$trial/said"; then
        answer=0
    fi
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -rf "$trial"
    if [ "$answer" -eq 0 ]; then
        why="a trial guest booted"
    fi
    return "$answer"
}

if [ "$(uname -m)" != x86_64 ]; then
    accel=tcg why="the guest is amd64, this machine is $(uname -m)"
elif try_kvm; then
    accel=kvm
else
    accel=tcg
fi
echo "$accel $boot $why" >"$kept"
echo "accelerator: $accel ($why)" >&2
echo "$accel"
