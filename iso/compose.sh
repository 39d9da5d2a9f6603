#!/bin/sh
# From a working `docker compose` folder to a bundle ISO: compose.sh FOLDER OUT.iso [option of `guestbake bundle`…]
# Images come from the local engine; nothing is pulled or built. A guestbake.toml in the folder is the plan, else one is
# made (see `guestbake plan from-compose`). GUESTBAKE names the static program, default target/guestbake-ARCH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 2 ]; then
    echo "usage: compose.sh FOLDER OUT.iso [--arch ARCH] [--profile NAME] [--docker-host URL]" >&2
    exit 64
fi
folder=$1 out=$2
shift 2
arch=$(uname -m) next=
for word in "$@"; do
    [ "$next" != --arch ] || arch=$word
    case $word in --arch=*) arch=${word#--arch=} ;; esac
    next=$word
done
case $arch in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
esac
program=${GUESTBAKE:-$here/../target/guestbake-$arch}
if [ ! -x "$program" ]; then
    echo "compose.sh: no program $program; make static, or name it in GUESTBAKE" >&2
    exit 1
fi
# The one for a guest of another architecture does not run here.
runs=$program
if ! "$runs" --version >/dev/null 2>&1; then
    case $(uname -m) in
        x86_64) runs=$here/../target/guestbake-amd64 ;;
        *) runs=$here/../target/guestbake-arm64 ;;
    esac
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/guestbake-bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$runs" bundle "$folder" --into "$work/bundle" --program "$program" "$@"
"$here/bundle.sh" "$work/bundle" "$out"
echo "$out"
