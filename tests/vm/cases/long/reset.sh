#!/bin/bash
# The power is cut in the middle of loading, and again in the middle of a migration: the next boot does what the first
# would have done, although cloud-init takes its runcmd for done.
. tests/vm/case.sh

# The migration fails where one was begun before: nothing of a run that was cut off may be left, neither in a volume.
{
    late_plan | sed 's|^image = .*|&\nvolumes = ["state:/state"]|'
    cat <<'END'
[[migrations]]
name = "once"
container = "late"
command = ["sh", "-c", "set -e; test ! -e /state/begun; touch /state/begun; sync; echo begun; sleep 20"]
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
# Until it has begun, and is on the disk.
sleep 10
lose_power
mv "$dir/serial.log" "$dir/serial.2.log"
check "no verdict before the second cut" test "$(strings -a "$dir/serial.2.log" | grep -c '^STACK_CLOUD_INIT')" -eq 0
boot --again --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "the images were loaded again" says "tools.tar loaded"
check "the migration ran again, from the start" says "migration once done"
