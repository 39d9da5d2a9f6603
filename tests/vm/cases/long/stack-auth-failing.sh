#!/bin/bash
# The same with an init script that fails: the file it leaves ends the wait at once, long before the budget does.
. tests/vm/case.sh

"$vm/stack-auth-bundle.sh" "$arch" stack-auth-failing.tgz "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"dependency_unhealthy"'
check "and which service it is" says "init-services has failed for good"
check "the container's last words are there" says "bucket 'stack' cannot be made: no such tenant"
check "other services were not waited for" test "$(grep -c '^STACK_PROVISION: clickhouse ready (' "$dir/serial.txt")" -eq 0
if [ "$accel" = tcg ]; then
    check "finds out that it is emulated" result_has '"accel":"tcg"'
fi
