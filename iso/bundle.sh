#!/bin/sh
# Makes the bundle ISO from a folder: bundle.sh DIR OUT.iso
# The checksums of all its files go in as SHA256SUMS; the folder itself stays as it is. Needs xorriso or genisoimage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

refuse() {
    echo "bundle.sh: $1" >&2
    exit 1
}

if [ $# -ne 2 ]; then
    echo "usage: bundle.sh DIR OUT.iso" >&2
    exit 64
fi
dir=$1 out=$2
[ -d "$dir" ] || refuse "$dir: no such folder"
case $out in
    /*) ;;
    *) out=$PWD/$out ;;
esac
[ -d "${out%/*}" ] || refuse "$out: its folder does not exist"
case $out in
    "$(cd "$dir" && pwd)"/*) refuse "$out lies in the bundle itself" ;;
esac
cd "$dir"

[ -f build-arch.env ] || refuse "$dir has no build-arch.env (one line: STACK_EMULATOR_BUILD_ARCH=amd64 or arm64)"
arch=$(sed -n 's/^STACK_EMULATOR_BUILD_ARCH=//p' build-arch.env | tr -d '\r' | tail -n 1)
case $arch in
    amd64) machine=3e00 ;;
    arm64) machine=b700 ;;
    *) refuse "build-arch.env: STACK_EMULATOR_BUILD_ARCH is '$arch', not amd64 or arm64" ;;
esac
[ -f guestbake.toml ] || refuse "$dir has no guestbake.toml (the plan; see config/)"
if [ -f guestbake ]; then
    header=$(od -An -tx1 -N20 guestbake | tr -d ' \n')
    case $header in
        7f454c46????????????????????????????"$machine") ;;
        7f454c46*) refuse "guestbake is not a program for $arch, as build-arch.env has it" ;;
        *) refuse "guestbake is not an ELF program" ;;
    esac
else
    echo "bundle.sh: note: no program 'guestbake' in $dir; the guest must bring it" >&2
fi

# Links are followed: an archive may be linked to instead of copied.
odd=$(find -L . ! -type f ! -type d | head -n 1)
[ -z "$odd" ] || refuse "$odd is neither a file nor a folder (a broken link?)"

sums=$(mktemp)
trap 'rm -f "$sums"' EXIT
find -L . -type f ! -path ./SHA256SUMS | LC_ALL=C sort | sed 's|^\./||' | tr '\n' '\0' |
    xargs -0 -r sha256sum -- >"$sums"
chmod 644 "$sums"

. "$here/mkisofs.sh"
# The folder's own SHA256SUMS, if any, is replaced: it may be older than its files.
make_iso STACKBUNDLE "$out" -m ./SHA256SUMS "SHA256SUMS=$sums" /=.
