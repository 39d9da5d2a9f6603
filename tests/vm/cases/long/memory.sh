#!/bin/bash
# The kernel's out-of-memory killer takes the worker; the guardian is not on its list.
. tests/vm/case.sh

late_plan | small_bundle
disturbed >"$dir/user-data" <<'END'
echo 1000 >"/proc/$worker/oom_score_adj"
echo f >/proc/sysrq-trigger
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"killed"'
check "and that it was for memory" result_has 'for memory'
