#!/bin/bash
# A service that does not stop holds up the orderly power-off; the power is cut all the same.
. tests/vm/case.sh

echo 'nonsense = 1' | small_bundle
unit='[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sleep 1000\nTimeoutStopSec=infinity\n'
{
    iso/seed.sh --print | sed '/^runcmd:$/q'
    echo "  - printf '$unit' >/run/systemd/system/stubborn.service; systemctl start stubborn.service"
    iso/seed.sh --print | sed '1,/^runcmd:$/d'
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"plan_invalid"'
check "long before the service would have stopped" test $(($(date +%s) - began)) -lt 500
