#!/bin/bash
# Guardian and worker are killed with the marker out on one console and held up on another: who finishes for them tells
# nobody twice, and nobody anything else.
. tests/vm/case.sh

small_bundle <<'END'
[containers.idle]
image = "guestbake-test/tools:latest"
command = ["sleep", "600"]
network_mode = "host"
stop_grace_period = "0s"
END
disturbed >"$dir/user-data" <<'END'
until grep -qs "^marker /dev/console" /run/guestbake/told; do sleep 0.1; done
kill -KILL $(grep -lsz -e '^/usr/local/bin/guestbake$' -e '^guarded-worker$' /proc/[0-9]*/cmdline | cut -d/ -f3)
END
sed -i 's|^runcmd:$|&\n  - mkfifo /run/stuck|' "$dir/user-data"
with_options --console /run/stuck --console /dev/console
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "one result" result_has '"verdict":"done"'
