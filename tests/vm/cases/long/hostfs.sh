#!/bin/bash
# The host's folder in the guest, by virtiofs: log, report and time line are on the host without the serial line.
. tests/vm/case.sh

dying_plan "sleep 20; echo 'out of paper, giving up' >&2; exit 3" | small_bundle
iso/seed.sh "$dir/seed.iso"
share_folder
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- "${with_share[@]}"
watched=0
"$program" watch --serial "$dir/serial.log" --pid "$qemu" --timeout "${limit}s" \
    --log "$dir/shared/provision.log" --out "$dir/out" >"$dir/watch.txt" || watched=$?
until_end
unshare_folder
ends_in STACK_CLOUD_INIT_FAILED
check "watch takes FAILED for failure" test "$watched" -eq 1
check "the log on the host ends in the marker" test "$(tail -n 1 "$dir/shared/provision.log")" = STACK_CLOUD_INIT_FAILED
check "and has the container's last words" grep -q 'out of paper, giving up' "$dir/shared/provision.log"
check "the report is the host's, as the schema says" env GUESTBAKE_CHECK_REPORT="$dir/out/report.json" \
    cargo test --locked -q --test report a_given_report
check "with its time line" grep -q '^<svg .*' "$dir/out/timeline.svg"
check "and where it failed" grep -q 'failed at' "$dir/out/timeline.svg"
