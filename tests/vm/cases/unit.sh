#!/bin/bash
# The way through the systemd unit, with a migration, a smoke test and files in every corner; what the unit is allowed beyond its job; and, where
# the guest is emulated, that limits, command, environment and migration are those for that: its page is in another place.
. tests/vm/case.sh

small_bundle <<'END'
[containers.web]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["httpd", "-f", "-p", "127.0.0.1:8081"]
stop_grace_period = "1s"
[wait]
timeout = "300s"
[[wait.services]]
name = "web"
container = "web"
tcp = "127.0.0.1:8081"
[[migrations]]
name = "page"
container = "web"
command = ["sh", "-c", "echo here > /index.html"]
timeout = "60s"
[smoke]
when = "always"
timeout = "120s"
[smoke.container]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sleep", "300"]
stop_grace_period = "1s"
[[smoke.checks]]
name = "page"
http = "http://127.0.0.1:8081/index.html"
[emulation.containers.web]
command = ["httpd", "-f", "-p", "127.0.0.1:8081", "-h", "/tmp"]
environment = { HOW = "emulated" }
[emulation.migrations.page]
command = ["sh", "-c", "test \"$HOW\" = emulated && echo here > /tmp/index.html"]
[[files]]
path = "/home/web/page"
content = "for the web server"
uid = 33
gid = 33
mode = "0640"
[[files]]
path = "/root/web"
folder = true
mode = "2750"
gid = 33
[[files]]
path = "/usr/share/web/page"
content = "for everybody"
[[files]]
path = "/tmp/web/page"
content = "for everybody"
END
iso/seed.sh --unit --print | sed 's|^runcmd:$|&\n  - systemctl daemon-reload; systemd-analyze security --no-pager guestbake.service >/dev/console|' >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
if [ "$accel" = tcg ]; then
    check "limits are stretched, and both numbers said" \
        grep -aq 'limits under emulation: .*wait 300s → 1500s, migration page 60s → 300s' "$dir/serial.log"
    check "and what else is different there" \
        says "set by [emulation]: containers.web.command, containers.web.environment, migrations.page.command"
fi
check "the smoke test ran" result_has '"smoke":"passed"'
exposure=$(sed -n 's/.*Overall exposure level for guestbake.service: \([0-9.]*\) .*/\1/p' "$dir/serial.txt")
check "the unit's exposure, ${exposure:-unknown}, is under 5" awk "BEGIN { exit !(0 < ${exposure:-99} && ${exposure:-99} < 5) }"
