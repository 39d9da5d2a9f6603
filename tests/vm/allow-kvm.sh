#!/bin/bash
# Makes /dev/kvm usable where there is one, as on a runner whose user is not in its group. Whether guests run in it is
# accel.sh's to find out.
set -eu
if [ ! -e /dev/kvm ]; then
    echo "no /dev/kvm: guests will be emulated"
    exit 0
fi
if [ ! -w /dev/kvm ]; then
    if [ "$(id -u)" -eq 0 ]; then chmod 666 /dev/kvm; else sudo chmod 666 /dev/kvm; fi
fi
ls -l /dev/kvm
