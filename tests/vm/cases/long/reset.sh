#!/bin/bash
# The power is cut in the middle of loading, and again in the middle of a migration: the next boot does what the first
# would have done, although cloud-init takes its runcmd for done.
. tests/vm/case.sh

{
    late_plan
    cat <<'END'
[[migrations]]
name = "once"
container = "late"
command = ["sh", "-c", "test ! -e /migrated; echo migrating; sleep 20; touch /migrated"]
END
} | small_bundle
iso/seed.sh "$dir/seed.iso"
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
until_says "stage engine done"
lose_power
mv "$dir/serial.log" "$dir/serial.1.log"
check "no verdict before the first cut" test "$(strings -a "$dir/serial.1.log" | grep -c '^STACK_CLOUD_INIT')" -eq 0
start --again --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
until_says "migration once started"
lose_power
mv "$dir/serial.log" "$dir/serial.2.log"
check "no verdict before the second cut" test "$(strings -a "$dir/serial.2.log" | grep -c '^STACK_CLOUD_INIT')" -eq 0
boot --again --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "the migration ran again" says "migration once done"
check "on a container of its own" test "$(grep -c 'container late started' "$dir/serial.txt")" -eq 1
