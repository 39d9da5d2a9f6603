#!/bin/bash
# Builds the guest: a Debian 13 with cloud-init and Docker's engine, booted by QEMU with its own kernel.
#   guest.sh    ->  target/vm/guest-amd64.ext4, .vmlinuz, .initrd
# Kept, and built again only when this script has changed. GUESTBAKE_BASE_IMAGE=IMAGE.qcow2 replaces it: nothing is built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
mkdir -p "$here/../../target/vm"
out=$(cd "$here/../../target/vm" && pwd)
guest=$out/guest-amd64

if [ -n "${GUESTBAKE_BASE_IMAGE:-}" ]; then
    if [ ! -r "$GUESTBAKE_BASE_IMAGE" ]; then
        echo "guest.sh: GUESTBAKE_BASE_IMAGE=$GUESTBAKE_BASE_IMAGE: no such image" >&2
        exit 1
    fi
    echo "guest: $GUESTBAKE_BASE_IMAGE"
    exit 0
fi
stamp=$(cat "$here/guest.sh" "$here/apt.sh" | sha256sum | cut -d' ' -f1)
if [ -s "$guest.ext4" ] && [ "$(cat "$guest.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "kept: guest-amd64.ext4 ($(du -h "$guest.ext4" | cut -f1))"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "guest.sh: run as root: it makes a Debian root with chroot" >&2
    exit 1
fi
rm -f "$guest.stamp"
work=$(mktemp -d "$out/guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# The kernel has ext4 and PCI built in; a disk on virtio is all the initrd must bring.
cat >"$work/before.sh" <<'INNER'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\nBUSYBOX=n\n' >"$1/etc/initramfs-tools/conf.d/guestbake"
echo virtio_blk >"$1/etc/initramfs-tools/modules"
INNER

cat >"$work/after.sh" <<'INNER'
set -eu
root=$1
echo guest >"$root/etc/hostname"
printf '127.0.0.1 localhost guest\n::1 localhost\n' >"$root/etc/hosts"
echo '/dev/vda / ext4 defaults,noatime 0 0' >"$root/etc/fstab"
: >"$root/etc/machine-id"
# A disk beside the machine is the only place its cloud-init looks at, as in a local image build.
echo 'datasource_list: [ NoCloud ]' >"$root/etc/cloud/cloud.cfg.d/90_guestbake.cfg"
# What wakes up by itself takes time from an emulated machine.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer man-db.timer e2scrub_all.timer \
    e2scrub_reap.service systemd-networkd-wait-online.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
INNER

packages=(
    systemd systemd-sysv dbus udev kmod linux-image-cloud-amd64 initramfs-tools zstd
    cloud-init docker.io iproute2
)
echo "building the guest: Debian $DEBIAN_SUITE with ${packages[*]}"
if ! mmdebstrap --quiet --variant=minbase --architectures=amd64 --keyring="$DEBIAN_KEYRING" \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook="sh $work/before.sh \"\$1\"" --customize-hook="sh $work/after.sh \"\$1\"" \
    "$DEBIAN_SUITE" "$root" "$(debian_mirror)" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    exit 1
fi
cp "$root"/boot/vmlinuz-* "$guest.vmlinuz"
cp "$root"/boot/initrd.img-* "$guest.initrd"

rm -f "$guest.ext4"
truncate -s 6G "$guest.ext4"
/sbin/mke2fs -q -t ext4 -L root -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$guest.ext4"
echo "$stamp" >"$guest.stamp"
echo "built: guest-amd64.ext4 ($(du -h "$guest.ext4" | cut -f1)), initrd $(du -h "$guest.initrd" | cut -f1)"
