#!/bin/bash
# The main job: `make demo`'s bundle, to the end.
# images: demo
. tests/vm/case.sh

"$vm/demo-bundle.sh" "$arch" "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "Postgres was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
if [ "$accel" = tcg ]; then
    check "finds out that it is emulated" result_has '"accel":"tcg"'
    check "does not call a skipped smoke test passed" result_has '"smoke":"skipped"'
else
    check "passes the smoke test" result_has '"smoke":"passed"'
fi
check "keeps the password to itself" test \
    "$(grep -Fc "$(sed -n 's/^POSTGRES_PASSWORD=//p' "$dir/bundle/build.env")" "$dir/serial.txt")" -eq 0
