#!/bin/bash
# Builds the guest: a Debian 13 with cloud-init and Docker's engine, booted by QEMU with its own kernel.
#   guest.sh [amd64|arm64]           ->  target/vm/guest-ARCH.ext4, .vmlinuz, .initrd
#   guest.sh [amd64|arm64] podman    ->  target/vm/guest-podman-ARCH…: with Podman instead, for root and for a user
#                                        "baker", and with the kernel for any machine, which knows 9p
# Kept, and built again only when what it is made by has changed. GUESTBAKE_BASE_IMAGE=IMAGE.qcow2 replaces it: nothing
# is built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/debian-root.sh"
arch=${1:-amd64} engine=${2:-docker}
mkdir -p "$here/../../target/vm"
out=$(cd "$here/../../target/vm" && pwd)
case $engine in
    docker)
        guest=$out/guest-$arch
        packages=("linux-image-cloud-$arch" docker.io)
        ;;
    podman)
        guest=$out/guest-podman-$arch
        packages=("linux-image-$arch" podman crun netavark aardvark-dns passt uidmap dbus-user-session libpam-systemd)
        ;;
    *)
        echo "guest.sh: unknown engine '$engine' (docker, podman)" >&2
        exit 64
        ;;
esac

if [ -n "${GUESTBAKE_BASE_IMAGE:-}" ]; then
    if [ ! -r "$GUESTBAKE_BASE_IMAGE" ]; then
        echo "guest.sh: GUESTBAKE_BASE_IMAGE=$GUESTBAKE_BASE_IMAGE: no such image" >&2
        exit 1
    fi
    echo "guest: $GUESTBAKE_BASE_IMAGE"
    exit 0
fi
stamp=$(cat "$here/guest.sh" "$here/apt.sh" "$here/debian-root.sh" | sha256sum | cut -d' ' -f1)
if [ -s "$guest.ext4" ] && [ "$(cat "$guest.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "kept: ${guest##*/}.ext4 ($(du -h "$guest.ext4" | cut -f1))"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "guest.sh: run as root: it makes a Debian root with chroot" >&2
    exit 1
fi
work=$(mktemp -d "$out/guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

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
if [ -e "$root/usr/bin/podman" ]; then
    chroot "$root" useradd --create-home --shell /bin/sh baker
fi
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
INNER

packages+=(systemd systemd-sysv dbus udev kmod busybox-static cloud-init iproute2)
echo "building the guest: Debian $DEBIAN_SUITE for $arch with ${packages[*]}"
# Its initrd is made below, for any architecture.
debian_root "$arch" "$root" "$work/log" --dpkgopt='path-exclude=/etc/kernel/postinst.d/initramfs-tools' \
    --customize-hook="sh $work/after.sh \"\$1\"" -- "${packages[@]}"

kernel=$(basename "$root"/lib/modules/*)
cp "$root/boot/vmlinuz-$kernel" "$work/made.vmlinuz"
depmod -b "$root" "$kernel"

# What the kernel has not built in of what a disk on virtio takes.
mkdir -p "$work/initrd/dev" "$work/initrd/root" "$work/initrd/modules"
cp "$root/usr/bin/busybox" "$work/initrd/"
number=10
for module in virtio_pci virtio_blk ext4; do
    /sbin/modprobe --dirname "$root" --set-version "$kernel" --show-depends "$module"
done | sed -n 's/^insmod //p' | awk '!seen[$1]++ { print $1 }' | while read -r file; do
    name=${file##*/}
    xz -dc "$file" >"$work/initrd/modules/$number-${name%.xz}"
    number=$((number + 1))
done
cat >"$work/initrd/init" <<'INNER'
#!/busybox sh
/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do
    /busybox insmod "$module"
done
/busybox mount -t ext4 -o noatime /dev/vda /root
/busybox mount --move /dev /root/dev
exec /busybox switch_root /root /sbin/init
INNER
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio --quiet -o -H newc) | zstd -q -o "$work/made.initrd"

truncate -s 6G "$work/made.ext4"
/sbin/mke2fs -q -t ext4 -L root -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$work/made.ext4"
echo "$stamp" >"$work/made.stamp"
rm -f "$guest.stamp"
for part in vmlinuz initrd ext4 stamp; do
    mv -f "$work/made.$part" "$guest.$part"
done
echo "built: ${guest##*/}.ext4 ($(du -h "$guest.ext4" | cut -f1)), initrd $(du -h "$guest.initrd" | cut -f1)"
