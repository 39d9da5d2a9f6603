#!/bin/bash
# A failure on a machine that stays on: cloud-init says error and why, the journal the cause, the same through the unit;
# and cloud-init finds nothing wrong with either user-data.
. tests/vm/case.sh

mkdir -p "$dir/bundle/files"
iso/seed.sh --unit --print >"$dir/bundle/files/unit-user-data"
cp systemd/*.service "$dir/bundle/files/"
cat >"$dir/bundle/files/observe.sh" <<'END'
say() {
    sed "s/^/SEEN $1: /" >/dev/console
}
until grep -q 'guestbake failed' /run/cloud-init/status.json 2>/dev/null || [ "${waited:=0}" -ge 400 ]; do
    sleep 1
    waited=$((waited + 1))
done
cloud-init status --long | say status
cloud-init schema --system | say schema-runcmd
mkdir -p /run/files
mount -o ro /dev/disk/by-label/STACKBUNDLE /run/files
cloud-init schema --config-file /run/files/files/unit-user-data | say schema-unit
cp /run/files/files/*.service /etc/systemd/system/
umount /run/files
systemctl daemon-reload
systemctl start guestbake.service
systemctl status --no-pager --lines=0 guestbake.service | say unit
journalctl -u guestbake.service -p err -o cat | say err
journalctl -u guestbake.service -p err -o export | grep -a ^GUESTBAKE_ | say fields
echo end | say end
systemctl poweroff
END
{
    dying_plan "sleep 1; echo 'out of paper, giving up' >&2; exit 3"
    printf '[finish]\npower_off = "never"\n'
} | small_bundle
{
    iso/seed.sh --print
    cat <<'END'
bootcmd:
  - |
    mkdir -p /run/files
    mount -o ro /dev/disk/by-label/STACKBUNDLE /run/files
    cp /run/files/files/observe.sh /run/observe.sh
    umount /run/files
    systemd-run --quiet --no-block --unit=observe sh /run/observe.sh
END
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
check "powers off when told to" test "$powered_off" = yes
check "cloud-init says error" grep -Eq '^SEEN status: (extended_)?status: error' "$dir/serial.txt"
check "and why" grep -Eq '^SEEN status: .*guestbake failed in stage wait \(dependency_exited\): .*out of paper' "$dir/serial.txt"
check "cloud-init finds nothing wrong with the runcmd way" grep -Eiq '^SEEN schema-runcmd: .*valid' "$dir/serial.txt"
check "nor with the unit's" grep -Eiq '^SEEN schema-unit: +valid schema' "$dir/serial.txt"
check "no schema is invalid" test "$(grep -Eic '^SEEN schema.*(invalid|error)' "$dir/serial.txt")" -eq 0
check "the unit's status is the cause" grep -Eq '^SEEN unit: +Status: "FAILED in stage wait: container doomed exited' "$dir/serial.txt"
check "journalctl -p err shows the cause" says 'SEEN err: FAILED in stage wait: container doomed exited with code 3'
check "with the reason as a field" says 'SEEN fields: GUESTBAKE_REASON=dependency_exited'
check "and the stage" says 'SEEN fields: GUESTBAKE_STAGE=wait'
