#!/bin/bash
# Boots the guest on a fresh overlay (--again: on that of the boot before) and BECOMES QEMU: who starts it in the
# background ends it by that process id.
#   boot.sh --seed ISO --serial FILE [--arch amd64|arm64] [--bundle ISO] [--pidfile FILE] [--accel kvm|tcg] [--name NAME]
#           [--memory MB] [--cpus N] [--again] [--channel FILE] [--engine podman] [-- QEMU-OPTION…]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/qemu.sh"
out=$(cd "$here/../../target/vm" && pwd)

seed='' bundle='' serial='' pidfile='' accel='' channel='' name=guest memory=3072 cpus=2 again='' arch=amd64 engine=docker
while [ $# -gt 0 ]; do
    case $1 in
        --)
            shift
            break
            ;;
        --again)
            again=yes
            shift
            continue
            ;;
        --arch) arch=$2 ;;
        --seed) seed=$2 ;;
        --bundle) bundle=$2 ;;
        --serial) serial=$2 ;;
        --pidfile) pidfile=$2 ;;
        --accel) accel=$2 ;;
        --name) name=$2 ;;
        --channel) channel=$2 ;;
        --engine) engine=$2 ;;
        --memory) memory=$2 ;;
        --cpus) cpus=$2 ;;
        *)
            echo "boot.sh: unknown option $1" >&2
            exit 64
            ;;
    esac
    shift 2
done
if [ -z "$seed" ] || [ -z "$serial" ]; then
    echo "usage: boot.sh --seed ISO --serial FILE [--arch amd64|arm64] [--bundle ISO] [--accel kvm|tcg] …" >&2
    exit 64
fi
qemu_for "$arch"
[ -n "$accel" ] || accel=$("$here/accel.sh" "$arch")
processor_for "$accel"
echo "machine: $machine, $processor ($why)" >&2

mkdir -p "$out/run"
disk=$out/run/$name.qcow2
overlay() {
    if [ -z "$again" ]; then
        rm -f "$disk"
        qemu-img create -q -f qcow2 -F "$1" -b "$2" "$disk"
    fi
}
if [ -n "${GUESTBAKE_BASE_IMAGE:-}" ]; then
    # A cloud image: its own loader, kernel and command line.
    overlay qcow2 "$(realpath "$GUESTBAKE_BASE_IMAGE")"
    kernel=(${firmware:+-bios "$firmware"})
else
    guest=$out/guest-$arch
    if [ "$engine" = podman ]; then
        guest=$out/guest-podman-$arch
    fi
    overlay raw "$guest.ext4"
    # mitigations=off: nobody attacks this guest, and each costs an emulated one.
    kernel=(-kernel "$guest.vmlinuz" -initrd "$guest.initrd"
        -append "root=/dev/vda rw console=$console quiet loglevel=4 mitigations=off panic=-1")
fi
case $accel in
    tcg) acceleration=tcg,thread=multi,tb-size=512 ;;
    *) acceleration=$accel ;;
esac
# What the guest trims or zeroes takes no room here.
drives=(-drive "if=virtio,file=$disk,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap"
    -drive "if=virtio,file=$seed,format=raw,readonly=on")
if [ -n "$bundle" ]; then
    drives+=(-drive "if=virtio,file=$bundle,format=raw,readonly=on")
fi
: >"$serial"
port=()
if [ -n "$channel" ]; then
    : >"$channel"
    port=(-device virtio-serial-pci -chardev "file,id=channel,path=$channel"
        -device "virtserialport,chardev=channel,name=org.guestbake.0")
fi
exec "$qemu" -nodefaults -name "$name" -machine "$machine" -accel "$acceleration" -cpu "$processor" \
    -smp "$cpus" -m "$memory" -no-reboot -display none -monitor none \
    -serial "file:$serial" -device virtio-rng-pci "${drives[@]}" "${port[@]}" "${kernel[@]}" \
    ${pidfile:+-pidfile "$pidfile"} "$@"
