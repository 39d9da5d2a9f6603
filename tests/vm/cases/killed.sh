#!/bin/bash
# The program, its worker and what started them are killed at once: systemd still has the last word.
. tests/vm/case.sh

small_bundle <<'END'
[containers.idle]
image = "guestbake-test/tools:latest"
command = ["sleep", "600"]
network_mode = "host"
[wait]
timeout = "300s"
[[wait.services]]
name = "never"
container = "idle"
tcp = "127.0.0.1:8082"
END
{
    iso/seed.sh --unit --print
    cat <<'END'
  - |
    until ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q /usr/local/bin/guestbake; do sleep 0.5; done
    sleep 2
    systemctl kill --kill-whom=all --signal=KILL guestbake.service
END
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"killed"'
