#!/bin/bash
# The wall clock goes back and forth by years; what is waited for is not concerned.
. tests/vm/case.sh

late_plan | small_bundle
disturbed >"$dir/user-data" <<'END'
date -s '2041-01-01 00:00'
sleep 10
date -s '2011-01-01 00:00'
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "counts seconds, not years" result_has '"elapsed_s":'
check "no time is out of proportion" test "$(sed -n 's/.*"elapsed_s":\([0-9]*\).*/\1/p' "$dir/serial.txt")" -lt 400
