#!/bin/sh
# Makes the bundle ISO from a folder: bundle.sh [--as-is] DIR OUT.iso
# Image archives go in packed the way an engine loads them fastest, under their names; --as-is leaves them alone.
# The checksums of all files go in as SHA256SUMS; the folder itself stays as it is. Needs xorriso or genisoimage, and
# python3 and zstd for packing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

refuse() {
    echo "bundle.sh: $1" >&2
    exit 1
}

pack=yes
if [ "${1:-}" = --as-is ]; then
    pack=no
    shift
fi
if [ $# -ne 2 ]; then
    echo "usage: bundle.sh [--as-is] DIR OUT.iso" >&2
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

# Told by its first bytes, as everywhere: a tar file, or packed with gzip or zstd.
is_archive() {
    case $(od -An -tx1 -N4 "$1" | tr -d ' \n') in
        1f8b* | 28b52ffd) return 0 ;;
    esac
    [ "$(od -An -tx1 -j257 -N5 "$1" 2>/dev/null | tr -d ' \n')" = 7573746172 ]
}

# What goes in: links to the files, and archives that were packed.
dir=$PWD
stage=$(mktemp -d "$out.XXXXXX")
chmod 755 "$stage"
trap 'rm -rf "$stage"' EXIT
if [ "$pack" = yes ] && ! { command -v python3 && command -v zstd; } >/dev/null; then
    echo "bundle.sh: note: image archives go in as they are: packing them needs python3 and zstd" >&2
    pack=no
fi
# The folder's own SHA256SUMS, if any, is left out: it may be older than its files.
find -L . -type f ! -path ./SHA256SUMS | sed 's|^\./||' | while IFS= read -r file; do
    case $file in
        */*) mkdir -p "$stage/${file%/*}" ;;
    esac
    if [ "$pack" = yes ] && is_archive "$file"; then
        if said=$(python3 "$here/pack.py" "$file" "$stage/$file" 2>&1); then
            echo "$file: $said"
            continue
        fi
        echo "bundle.sh: note: $file goes in as it is: $(printf %s "$said" | tail -n 1)" >&2
        rm -f "$stage/$file"
    fi
    ln -s "$dir/$file" "$stage/$file"
done
cd "$stage"
sums=$(find -L . -type f | LC_ALL=C sort | sed 's|^\./||' | tr '\n' '\0' | xargs -0 -r sha256sum --)
printf '%s\n' "$sums" >SHA256SUMS

. "$here/mkisofs.sh"
make_iso STACKBUNDLE "$out" "$stage"
