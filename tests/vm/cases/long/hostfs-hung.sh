#!/bin/bash
# A host that stops answering for the folder it shares delays neither the marker nor the power-off.
. tests/vm/case.sh

dying_plan "sleep 20; echo 'out of paper, giving up' >&2; exit 3" | small_bundle
{
    iso/seed.sh --print
    cat <<'END'
bootcmd:
  - systemd-run --quiet --no-block --unit=observe -p RemainAfterExit=yes -p "ExecStop=/bin/sh -c 'echo SEEN going down >/dev/console'" true
END
} >"$dir/user-data"
seed_of "$dir/user-data"
share_folder
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- "${with_share[@]}"
until_says "container doomed started" || true
kill -STOP "$virtiofsd"
until_says "SEEN going down" || true
# QEMU itself waits for the daemon when the guest resets the device, so that far it has to go without.
kill -CONT "$virtiofsd"
until_end
unshare_folder
ends_in STACK_CLOUD_INIT_FAILED
check "the machine goes down with the host still silent" says "SEEN going down"
check "the reason is the container" result_has '"reason":"dependency_exited"'
check "the log was on the host until then" grep -q '^stage images done' "$dir/shared/provision.log"
