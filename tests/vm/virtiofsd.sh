#!/bin/bash
# BECOMES the daemon that shares a folder of this machine's with a VM: virtiofsd.sh SOCKET FOLDER.
# It is Debian's own, run from target/vm/virtiofsd with the libraries it was built for; kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/debian-root.sh"
mkdir -p "$here/../../target/vm"
root=$(cd "$here/../../target/vm" && pwd)/virtiofsd
program=usr/libexec/virtiofsd

if [ ! -e "$root/$program" ]; then
    echo "unpacking Debian $DEBIAN_SUITE's virtiofsd" >&2
    work=$(mktemp -d "$root.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    debian_bootstrap "$(dpkg --print-architecture)" "$work/root" "$work/log" extract --include=virtiofsd
    rm -rf "$root"
    mv "$work/root" "$root"
    rm -rf "$work"
fi
libraries=$(dirname "$(find "$root/usr/lib" -name libc.so.6)")
loader=$(find "$libraries" -name 'ld-linux*.so.*')
exec "$loader" --library-path "$libraries" "$root/$program" \
    --socket-path "$1" --shared-dir "$2" --sandbox none --log-level error
