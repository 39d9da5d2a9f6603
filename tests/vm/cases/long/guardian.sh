#!/bin/bash
# The guardian alone is killed: the worker says so, and powers the machine off.
. tests/vm/case.sh

late_plan | small_bundle
disturbed >"$dir/user-data" <<'END'
kill -KILL "$(sed -n 's/^PPid:\t//p' "/proc/$worker/status")"
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"killed"'
check "and that it was the guardian" result_has 'guardian'
check "there are diagnostics" says "STACK_PROVISION: late: "
