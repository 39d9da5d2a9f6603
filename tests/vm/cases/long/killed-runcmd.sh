#!/bin/bash
# Everything that cloud-init started is killed at once, the bootstrap too: what it appointed outside has the last word.
. tests/vm/case.sh

late_plan | small_bundle
disturbed >"$dir/user-data" <<'END'
systemctl kill --kill-whom=all --signal=KILL "$(sed 's|.*/||' "/proc/$worker/cgroup" | grep service)"
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"killed"'
