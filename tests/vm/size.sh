#!/bin/bash
# The static programs must start in any guest and be small enough to be copied into one without a thought.
#   size.sh [amd64] [arm64]
set -eu
if [ $# -eq 0 ]; then
    set -- amd64 arm64
fi
cd "$(dirname "$0")/../../target"
for arch in "$@"; do
    program=guestbake-$arch
    case $arch in
        arm64) most=6000000 ;;
        # The same code takes a quarter more there.
        *) most=7340032 ;;
    esac
    if readelf -lW "$program" | grep -q INTERP || readelf -dW "$program" | grep -q NEEDED; then
        echo "$program needs an interpreter or a shared library:"
        readelf -ldW "$program" | grep -E 'INTERP|NEEDED'
        exit 1
    fi
    size=$(stat -c %s "$program")
    if [ "$size" -gt "$most" ]; then
        echo "$program has $size bytes, more than $most"
        exit 1
    fi
    echo "ok static: $program has no interpreter, no library, $size bytes"
done
