#!/bin/bash
# The VM is paused in the middle of a wait for longer than the whole budget, and continued: no second of it counts.
. tests/vm/case.sh

late_plan | sed 's/timeout = "200s"/timeout = "80s"\nheartbeat = "5s"/' | small_bundle
iso/seed.sh "$dir/seed.iso"
# shellcheck disable=SC2086 # options
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- $with_qmp
until_says "still waiting"
qmp stop
sleep 120
qmp cont
until_end
ends_in STACK_CLOUD_INIT_DONE
check "the pause is in no figure" test "$(sed -n 's/^STACK_PROVISION: late ready (\([0-9]*\).*/\1/p' "$dir/serial.txt")" -lt 80
