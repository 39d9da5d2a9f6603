#!/bin/bash
# A serial line whose other end takes nothing any more: the marker comes on the other one, and the power goes off.
. tests/vm/case.sh

dying_plan 'seq 10000; exit 3' | small_bundle
iso/seed.sh --print >"$dir/user-data"
with_options --console /dev/ttyS1 --console /dev/console
seed_of "$dir/user-data"
# Both ends are held open, and of what comes only the first page is taken.
mkfifo "$dir/stuck.in" "$dir/stuck.out"
python3 -c 'import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, 1031, 4096)
time.sleep(3600)' "$dir/stuck.out" &
holder=$!
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- -chardev "pipe,id=stuck,path=$dir/stuck" -serial chardev:stuck
until_says "FAILED in stage wait" || true
told=$(date +%s)
until_says STACK_CLOUD_INIT_FAILED || true
marked=$(date +%s)
until_end
timeout 5 cat "$dir/stuck.out" >"$dir/stuck.txt" || true
kill "$holder"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason is the dead container" result_has '"reason":"dependency_exited"'
check "the other line took its first lines" grep -aq 'STACK_PROVISION: ' "$dir/stuck.txt"
check "and never the marker" test "$(grep -ac STACK_CLOUD_INIT_FAILED "$dir/stuck.txt")" -eq 0
check "the marker was not held up ($((marked - told)) s)" test $((marked - told)) -le 30
