#!/bin/bash
# Guardian and worker hang at once, so that neither can speak for the other: systemd misses their signs of life, ends the
# unit, and the last resort speaks.
. tests/vm/case.sh

late_plan | sed 's/200s/3000s/; s/sleep 40/sleep 3000/' | small_bundle
{
    iso/seed.sh --unit --print
    cat <<'END'
  - |
    until worker=$(grep -lsz '^guarded-worker$' /proc/[0-9]*/cmdline) && [ -n "$worker" ]; do sleep 0.5; done
    sleep 5
    worker=${worker#/proc/} worker=${worker%/cmdline}
    kill -STOP "$(sed -n 's/^PPid:\t//p' "/proc/$worker/status")" "$worker"
    echo "SEEN stopped at: $(cut -d' ' -f1 /proc/uptime)" >/dev/console
END
} >"$dir/user-data"
seed_of "$dir/user-data"
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
until_says "SEEN stopped at" || true
since=$(date +%s)
until_end
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"killed"'
# WatchdogSec=3min without a sign of life, TimeoutStopSec=90, and half a minute to power off.
took=$(($(date +%s) - since))
check "within five and a half minutes ($took s)" test "$took" -le 330
