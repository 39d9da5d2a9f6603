#!/bin/bash
# The static program must start in any guest and be small enough to be copied into one without a thought.
set -eu
program=$(dirname "$0")/../../target/guestbake-amd64
most=6000000
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
echo "ok static: no interpreter, no library, $size bytes"
