#!/bin/bash
# Capture mode through the systemd unit, asked for long before what it is ordered after: its order, its status line, and
# that it runs once per instance; the host is told over the virtio-serial port, and makes a snapshot of what is up.
. tests/vm/case.sh

mkdir -p "$dir/bundle/files"
cp iso/bootstrap.sh systemd/*.service "$dir/bundle/files/"
cat >"$dir/bundle/files/observe.sh" <<'END'
say() {
    sed "s/^/SEEN $1: /" >/dev/console
}
status() {
    systemctl status --no-pager --lines=0 guestbake.service
}
until status 2>/dev/null | grep -q 'Status: "waiting for 1 of 2: late"'; do sleep 1; done
status | say during
until systemctl is-active --quiet guestbake.service; do sleep 1; done
status | say after
show() {
    systemctl show -P "$1" "$2"
}
started=$(show ExecMainStartTimestampMonotonic guestbake.service)
for unit in docker.service cloud-config.service network-online.target; do
    echo "$unit $(show ActiveEnterTimestampMonotonic $unit) $started" | say order
done
journalctl -u guestbake.service GUESTBAKE_SERVICE=late -o cat | say journal
# cloud-init has to be through with what it keeps for each instance.
systemctl stop guestbake.service
systemctl start guestbake.service
echo "$(show ConditionResult guestbake.service) $(show ActiveState guestbake.service)" | say again
echo end | say end
END
small_bundle <<'END'
[containers.early]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["httpd", "-f", "-p", "127.0.0.1:8081"]
[containers.late]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "sleep 15; touch /ready; exec sleep 6000"]
[wait]
timeout = "300s"
[[wait.services]]
name = "early"
container = "early"
tcp = "127.0.0.1:8081"
[[wait.services]]
name = "late"
container = "late"
exec = ["test", "-f", "/ready"]
[finish]
capture = true
END
cat >"$dir/user-data" <<'END'
#cloud-config
bootcmd:
  - |
    mkdir -p /run/files
    mount -o ro /dev/disk/by-label/STACKBUNDLE /run/files
    install -m 755 /run/files/files/bootstrap.sh /usr/local/sbin/guestbake-bootstrap
    cp /run/files/files/*.service /etc/systemd/system/
    cp /run/files/files/observe.sh /run/observe.sh
    umount /run/files
    systemctl daemon-reload
    systemctl start --no-block guestbake.service
    systemd-run --quiet --no-block --unit=observe sh /run/observe.sh
END
seed_of "$dir/user-data"
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" --channel "$dir/channel" -- \
    -qmp "unix:$dir/qmp,server=on,wait=off"
watched=0
"$program" watch --serial "$dir/serial.log" --pid "$qemu" --timeout "${limit}s" \
    --channel "$dir/channel" --out "$dir/out" >"$dir/watch.txt" || watched=$?
check "watch takes READY for success" test "$watched" -eq 0
check "the machine stays on" kill -0 "$qemu"
until_says "SEEN end:" || true
# What a host does then: a snapshot of the running machine, and an end to it.
python3 - "$dir/qmp" >"$dir/qmp.txt" 2>&1 <<'END' || true
import json, socket, sys
qemu = socket.socket(socket.AF_UNIX)
qemu.connect(sys.argv[1])
lines = qemu.makefile()
def ask(command, **arguments):
    qemu.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
    while True:
        answer = json.loads(lines.readline())
        if "event" not in answer:
            return answer
lines.readline()
ask("qmp_capabilities")
print("savevm", ask("human-monitor-command", **{"command-line": "savevm ready"}))
print("snapshots", ask("human-monitor-command", **{"command-line": "info snapshots"}))
ask("quit")
END
until_end

check "ends in STACK_SERVICES_READY" grep -Fqx STACK_SERVICES_READY "$dir/serial.txt"
check "says so once" test \
    "$(grep -Fcx -e STACK_CLOUD_INIT_DONE -e STACK_CLOUD_INIT_FAILED -e STACK_SERVICES_READY "$dir/serial.txt")" -eq 1
check "the host has a snapshot" grep -Eq 'snapshots.*\bready\b' "$dir/qmp.txt"
check "the status line says what is waited for" says 'SEEN during:      Status: "waiting for 1 of 2: late"'
check "and at the end that it is ready" says 'SEEN after:      Status: "ready for capture in '
check "it is active then" says 'SEEN after:      Active: active (exited)'
for unit in docker.service cloud-config.service network-online.target; do
    # shellcheck disable=SC2046 # three words
    set -- $(sed -n "s/^SEEN order: \($unit .*\)/\1/p" "$dir/serial.txt") 0 0 0
    check "started after $unit ($2, $3)" test "$2" -gt 0 -a "$2" -le "$3"
done
check "the journal knows the service of a line" grep -Eq '^SEEN journal: late ready \([0-9.]+s\)' "$dir/serial.txt"
check "not a second time for this instance" says 'SEEN again: no inactive'
check "the report came over the port, as the schema says" env GUESTBAKE_CHECK_REPORT="$dir/out/report.json" \
    cargo test --locked -q --test report a_given_report
check "with its time line" grep -q '^<svg .*' "$dir/out/timeline.svg"
check "and the log" grep -q '^late ready (' "$dir/out/provision.log"
