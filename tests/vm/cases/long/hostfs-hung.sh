#!/bin/bash
# A host that stops answering for the folder it shares delays neither the marker nor the power-off.
. tests/vm/case.sh

small_bundle <<'END'
[containers.doomed]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "sleep 20; echo 'out of paper, giving up' >&2; exit 3"]
[wait]
timeout = "300s"
[[wait.services]]
name = "doomed"
container = "doomed"
tcp = "127.0.0.1:8082"
END
iso/seed.sh "$dir/seed.iso"
share_folder
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- "${with_share[@]}"
until_says "container doomed started" || true
kill -STOP "$virtiofsd"
until_end
unshare_folder
ends_in STACK_CLOUD_INIT_FAILED
check "the reason is the container" result_has '"reason":"dependency_exited"'
check "the log was on the host until then" grep -q '^stage images done' "$dir/shared/provision.log"
check "and not after" test "$(grep -c STACK_CLOUD_INIT_FAILED "$dir/shared/provision.log")" -eq 0
