#!/bin/bash
# Refuses to begin what would fail for want of room: disk-space.sh GIB
# A build that runs out of disk dies late, and with a message about something else.
set -eu
need=$1
cd "$(dirname "$0")"
has=$(($(df --output=avail -B1M . | tail -n 1) / 1024))
echo "disk: $has GiB free, $need needed"
if [ "$has" -lt "$need" ]; then
    df -h . >&2
    exit 1
fi
