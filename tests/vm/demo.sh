#!/bin/bash
# The main job, whole: a real VM whose cloud-init starts guestbake from a bundle ISO.
#   demo.sh [--arch amd64|arm64]            ends in DONE; exit code of `guestbake watch`
#   demo.sh [--arch amd64|arm64] failure    a service dies; exit 0 if and only if that was reported as it should be
#   demo.sh [--arch amd64|arm64] bundle ISO         any bundle, in the demo's guest
# Everything it makes is under target/vm, and kept for the next time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
. "$here/clock.sh"
. "$here/qemu.sh"
vm=target/vm
arch=amd64
if [ "${1:-}" = --arch ]; then
    arch=${2:-}
    shift 2
fi
qemu_for "$arch"
kind=${1:-success}
case $kind in
    success | failure) ;;
    bundle)
        bundle=$(realpath "${2:?demo.sh bundle: which ISO?}")
        ;;
    *)
        echo "usage: demo.sh [--arch amd64|arm64] [failure | bundle ISO]" >&2
        exit 64
        ;;
esac
demo_began=$(date +%s)

this=$(dpkg --print-architecture)
parts=(build vm)
if [ "$arch" != "$this" ]; then
    parts+=("$arch")
fi
step "what this machine lacks" "$here/prerequisites.sh" "${parts[@]}"
# The guest's, and this machine's own to watch it.
step "the program" make --no-print-directory "$this" "$arch"
step "guest" "$here/guest.sh" "$arch"
name=demo-$arch-$kind
mkdir -p "$vm"
if [ "$kind" != bundle ]; then
    step "container images" "$here/images.sh" "$arch" demo
    bundle=$PWD/$vm/$name.iso
    failure=()
    [ "$kind" = success ] || failure=(failure)
    step "bundle ISO" "$here/demo-bundle.sh" "$arch" "${failure[@]}" "$bundle"
fi
step "seed ISO" iso/seed.sh "$vm/seed.iso"
accel=$("$here/accel.sh" "$arch")

serial=$PWD/$vm/$name.serial.log
printf '%s  booting the VM; its serial line goes to %s\n' "$(date +%T)" "${serial#"$PWD/"}"
booted=$(date +%s)
rm -f "$serial"
"$here/boot.sh" --name "$name" --arch "$arch" --accel "$accel" --bundle "$bundle" --seed "$PWD/$vm/seed.iso" \
    --serial "$serial" --channel "$PWD/$vm/$name.channel" &
qemu=$!
trap 'kill "$qemu" 2>/dev/null || true' EXIT

watched=0
"target/guestbake-$this" watch --serial "$serial" --pid "$qemu" --timeout 30m \
    --channel "$vm/$name.channel" --out "$vm/$name.report" || watched=$?

# The marker is out; the machine has to go down by itself.
waited=0
while kill -0 "$qemu" 2>/dev/null && [ "$waited" -lt 600 ]; do
    sleep 0.1
    waited=$((waited + 1))
done
if kill -0 "$qemu" 2>/dev/null; then
    ended="did NOT power off within 60 s, killed"
    kill "$qemu" 2>/dev/null || true
    hung=yes
else
    ended="powered off"
    hung=
fi
wait "$qemu" 2>/dev/null || true
trap - EXIT
rm -f "$vm/run/$name.qcow2"
now=$(date +%s)

# The serial line as a host reads it: no carriage returns, no escape codes.
strings -a "$serial" >"$serial.txt"
echo
echo "stages in the guest:"
sed -n 's/^STACK_PROVISION: stage \(.*\) done (\(.*\))$/\1 \2/p' "$serial.txt" |
    while read -r stage took; do printf '  %-12s %10s\n' "$stage" "$took"; done
printf 'result:  %s\n' "$(grep -o 'STACK_PROVISION_RESULT: .*' "$serial.txt" | tail -n 1 || true)"
printf 'verdict: %s\n' "$(grep -Fx -e STACK_CLOUD_INIT_DONE -e STACK_CLOUD_INIT_FAILED "$serial.txt" | tail -n 1 || true)"
printf 'VM:      %s, %s s after its start; all in all %s s\n' "$ended" "$((now - booted))" "$((now - demo_began))"
printf 'watch:   exit %s\n' "$watched"
printf 'report:  %s\n' "$vm/$name.report/report.json, timeline.svg (to look at), provision.log"

if [ "$kind" != failure ]; then
    if [ "$watched" -eq 0 ] && [ -n "$hung" ]; then
        exit 1
    fi
    exit "$watched"
fi

echo
echo "the end of the serial log:"
tail -n 30 "$serial.txt" | sed 's/^/  | /'
wrong=
expect() {
    if ! "${@:2}"; then
        echo "not as it should be: $1"
        wrong=yes
    fi
}
expect "the host has the time line" grep -q "failed at" "$vm/$name.report/timeline.svg"
expect "watch exits 1" test "$watched" -eq 1
expect "the marker is STACK_CLOUD_INIT_FAILED" grep -Fqx STACK_CLOUD_INIT_FAILED "$serial.txt"
expect "there is no STACK_CLOUD_INIT_DONE" test "$(grep -Fcx STACK_CLOUD_INIT_DONE "$serial.txt" || true)" -eq 0
expect "Postgres's last words are on the serial line" \
    grep -Fq 'could not access file "pg_stat_statments"' "$serial.txt"
expect "the machine powered off" test -z "$hung"
if [ -n "$wrong" ]; then
    exit 1
fi
echo
echo "failed as it should: FAILED, with the dead container's last words, and powered off"
