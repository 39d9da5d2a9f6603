#!/bin/bash
# The demo's bundle on Podman, rootful, under systemd and cgroup v2; and the host's folder by 9p.
# images: demo
# guest: podman
. tests/vm/case.sh

"$vm/demo-bundle.sh" "$arch" "$dir/bundle.iso"
echo 'systemctl enable --now podman.socket' | prepared >"$dir/user-data"
seed_of "$dir/user-data"
mkdir "$dir/shared"
boot --engine podman --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- \
    -virtfs "local,path=$dir/shared,mount_tag=hostfs,security_model=none"
ends_in STACK_CLOUD_INIT_DONE
check "it was Podman's engine" grep -q '^STACK_PROVISION: engine .* answers at unix:///run/podman/podman.sock' "$dir/serial.txt"
check "Postgres was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
check "the log was on the host" test "$(tail -n 1 "$dir/shared/provision.log")" = STACK_CLOUD_INIT_DONE
check "the report too, as the schema says" env GUESTBAKE_CHECK_REPORT="$dir/shared/report.json" \
    cargo test --locked -q --test report a_given_report
