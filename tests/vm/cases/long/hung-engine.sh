#!/bin/bash
# The engine hangs when the machine is to power off: the power is cut all the same, and soon.
. tests/vm/case.sh

echo 'nonsense = 1' | small_bundle
iso/seed.sh --print | sed 's/^runcmd:$/&\n  - systemctl start docker.service; systemctl kill --kill-whom=all --signal=STOP docker.service/' >"$dir/user-data"
seed_of "$dir/user-data"
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
until_says STACK_CLOUD_INIT_FAILED || true
marked=$(date +%s)
until_end
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"plan_invalid"'
check "the power went off soon ($(($(date +%s) - marked)) s)" test $(($(date +%s) - marked)) -lt 60
