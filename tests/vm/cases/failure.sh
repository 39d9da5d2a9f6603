#!/bin/bash
# A container that dies ends the wait, and an engine that is installed and does not run is started.
. tests/vm/case.sh

{
    dying_plan "echo starting; sleep 3; echo 'out of paper, giving up' >&2; exit 3"
    cat <<'END'
[[wait.services]]
name = "well"
container = "well"
tcp = "127.0.0.1:8081"
[containers.well]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["httpd", "-f", "-p", "127.0.0.1:8081"]
END
} | small_bundle
# An engine that is installed and does not run is the agent's to start.
iso/seed.sh --print | sed 's/^runcmd:$/&\n  - systemctl stop docker.socket docker.service/' >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the engine was started" says "systemd was asked to start docker.service"
check "the reason is the dead container" result_has '"reason":"dependency_exited"'
check "its last words are there" says "out of paper, giving up"
