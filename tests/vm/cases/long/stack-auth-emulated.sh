#!/bin/bash
# The same where nobody says what runs the guest: emulated, its migrations run with the flags that the plan's [emulation]
# has for them, and the smoke test is left out.
. tests/vm/case.sh

"$vm/stack-auth-bundle.sh" "$arch" stack-auth.tgz "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "the database is set up" says "migration migrate done"
check "and seeded" says "migration seed done"
if [ "$accel" = tcg ]; then
    check "finds out that it is emulated" result_has '"accel":"tcg"'
    check "leaves the smoke test out" result_has '"smoke":"skipped"'
else
    check "the application answers" result_has '"smoke":"passed"'
fi
