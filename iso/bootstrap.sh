#!/bin/sh
# guestbake's way in: finds the bundle, installs the program it carries and runs it. Whatever goes wrong on the way is
# said on every console, with the marker of failure, and the machine is powered off: a host never waits for nothing.
#
#   guestbake-bootstrap [OPTION…]     the whole way; options go to `guestbake run`
#   guestbake-bootstrap last-resort   says that a run has failed, if it ended without saying so itself
#
# Environment: GUESTBAKE_LABEL (STACKBUNDLE), GUESTBAKE_DEVICE_TIMEOUT in seconds (30),
# GUESTBAKE_POWER_OFF=never leaves the machine on after a failure here.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

label=${GUESTBAKE_LABEL:-STACKBUNDLE}
program=/usr/local/bin/guestbake
mountpoint=/run/guestbake-bootstrap
verdict=/run/guestbake/verdict    # written by the program once its marker is out
lock=/run/guestbake/lock          # held by the process of the program that answers for the run
log=/var/log/guestbake-bootstrap.log

# Whole seconds since boot; a builtin, as a process for each look costs an emulated guest dearly.
now() {
    read -r uptime _ </proc/uptime
    echo "${uptime%%.*}"
}
started=$(now)

# The consoles a host may listen on, each device once.
consoles() {
    # The last name is the device behind /dev/console.
    behind=$(sed 's/.* //' /sys/class/tty/console/active 2>/dev/null)
    echo /dev/console
    for name in ttyS0 ttyAMA0; do
        if [ -c "/dev/$name" ] && [ "$name" != "$behind" ]; then
            echo "/dev/$name"
        fi
    done
}

# Writes $1 to every console at once; one that blocks is given up after 5 s.
# The empty line ends what another program may have left unfinished there.
tell() {
    text=$1
    for console in $(consoles); do
        # shellcheck disable=SC2016 # for the inner shell
        timeout -k 1 5 sh -c 'printf "\r\n%s\r\n" "$2" >"$1"' sh "$console" "$text" 2>/dev/null &
        writers="${writers:-} $!"
    done
    # shellcheck disable=SC2086 # a list of process ids
    wait ${writers:-}
    writers=
}

json() {
    printf %s "$1" | tr -s '[:cntrl:]' ' ' | sed 's/[\\"]/\\&/g'
}

power_off() {
    if [ "${GUESTBAKE_POWER_OFF:-}" = never ]; then
        return
    fi
    timeout -k 1 10 sync
    force='sleep 15; timeout -k 1 3 systemctl poweroff --force --force; sleep 3; echo o >/proc/sysrq-trigger'
    # A unit of its own without default dependencies: the shutdown that may hang does not stop it.
    if ! timeout -k 1 5 systemd-run --quiet --unit=guestbake-power-off -p DefaultDependencies=no sh -c "$force" 2>/dev/null; then
        (trap '' TERM HUP; sh -c "$force") >/dev/null 2>&1 &
    fi
    timeout -k 1 10 systemctl --no-block poweroff
}

# fail REASON MESSAGE: the end, with the exit code `guestbake run` has for that reason
fail() {
    case $1 in
        wrong_architecture) code=21 ;;
        no_space) code=22 ;;
        killed | internal) code=70 ;;
        *) code=10 ;;
    esac
    echo 1 >/proc/sys/kernel/printk 2>/dev/null    # the kernel must not write into the marker's line
    case $(uname -m) in
        x86_64) arch=amd64 ;;
        aarch64) arch=arm64 ;;
        *) arch=$(uname -m) ;;
    esac
    result=$(printf '{"verdict":"failed","stage":"bootstrap","reason":"%s","message":"%s","elapsed_s":%d,"arch":"%s","accel":null,"smoke":"not_run"}' \
        "$1" "$(json "$2")" "$(($(now) - started))" "$arch")
    # One write, so that nothing comes in between.
    tell "STACK_PROVISION: bootstrap failed ($1): $(printf %s "$2" | tr -s '[:cntrl:]' ' ')
STACK_PROVISION: STACK_PROVISION_RESULT: $result
STACK_CLOUD_INIT_FAILED"
    mkdir -p "${verdict%/*}"
    printf 'STACK_CLOUD_INIT_FAILED\n%s\n' "$result" >"$verdict"
    echo "$1: $2" >&2
    power_off
    exit "$code"
}

# The machine type an ELF file is for, as `uname -m` calls it.
elf_machine() {
    case $(od -An -tx1 -N20 "$1" 2>/dev/null | tr -d ' \n') in
        7f454c46????????????????????????????3e00) echo x86_64 ;;
        7f454c46????????????????????????????b700) echo aarch64 ;;
        7f454c46*) echo "another architecture" ;;
        *) echo "no ELF program" ;;
    esac
}

find_bundle() {
    limit=${GUESTBAKE_DEVICE_TIMEOUT:-30}
    device=/dev/disk/by-label/$label
    while [ ! -e "$device" ]; do
        read -r uptime _ </proc/uptime
        if [ $((${uptime%%.*} - started)) -ge "$limit" ]; then
            fail bundle_missing "no device labelled $label within ${limit}s; there are: $(cd /sys/class/block && echo *)"
        fi
        sleep 0.1
    done
}

install_program() {
    mkdir -p "$mountpoint"
    if ! said=$(timeout -k 1 20 mount -o ro,nosuid,nodev,noexec "$device" "$mountpoint" 2>&1); then
        fail bundle_corrupt "cannot mount $device: $said"
    fi
    source=$mountpoint/guestbake
    if [ ! -e "$source" ]; then
        umount "$mountpoint"
        # An image may have brought the program itself.
        if [ -x "$program" ]; then
            return
        fi
        fail bundle_missing "the bundle on $device has no file 'guestbake'"
    fi
    found=$(elf_machine "$source")
    if [ "$found" = "no ELF program" ]; then
        fail bundle_corrupt "'guestbake' on $device is not an ELF program"
    fi
    if [ "$found" != "$(uname -m)" ]; then
        fail wrong_architecture "'guestbake' on $device is for $found, this guest is $(uname -m)"
    fi
    # Only its own line here: the program checks all the others itself.
    sum=$(grep -s -E '^[0-9a-f]{64} [ *](\./)?guestbake$' "$mountpoint/SHA256SUMS")
    if [ -n "$sum" ] && ! (cd "$mountpoint" && echo "$sum" | sha256sum --check --status); then
        fail bundle_corrupt "'guestbake' on $device does not match SHA256SUMS"
    fi
    new=${program%/*}/.guestbake.new
    if ! said=$({ mkdir -p "${program%/*}" && cp "$source" "$new" && chmod 755 "$new" && mv -f "$new" "$program"; } 2>&1); then
        fail no_space "cannot install $program: $said"
    fi
    umount "$mountpoint"
    if ! said=$(timeout -k 1 60 "$program" --version 2>&1); then
        fail bundle_corrupt "$program does not start here: $said"
    fi
}

# Whether some process of the program answers for a run.
is_running() {
    [ -e "$lock" ] && ! flock -n "$lock" true
}

run_program() {
    # cloud-init copies what its commands print to the console; the program writes there itself.
    "$program" run "$@" >"$log" 2>&1 &
    agent=$!
    trap 'kill -TERM "$agent" 2>/dev/null' TERM INT HUP
    while :; do
        wait "$agent"
        status=$?
        # A signal ends the wait, not the program.
        kill -0 "$agent" 2>/dev/null || break
    done
    trap - TERM INT HUP
    # Killed, it leaves a worker behind that finishes what it began: diagnostics, then the marker.
    waited=0
    while [ "$status" -gt 128 ] && [ ! -s "$verdict" ] && [ "$waited" -lt 180 ]; do
        sleep 1
        waited=$((waited + 1))
        is_running || break
    done
    if [ ! -s "$verdict" ] && ! { [ "$status" -le 128 ] && is_running; }; then
        end_without_verdict "$status"
    fi
    return "$status"
}

# The program ended and no marker came out of it.
end_without_verdict() {
    if [ -s "$log" ]; then
        tell "STACK_PROVISION: last words of guestbake:
$(tail -n 20 "$log" | tr -cd '\t\n\040-\176' | sed 's/^/STACK_PROVISION:   /')"
    fi
    case $1 in
        # 143 and the like from a shell; a name of a signal from systemd.
        129 | 1[3-9]? | [A-Z]*) fail killed "guestbake was killed (${1}) before it gave a verdict" ;;
        *) fail internal "guestbake ended with status $1 and no verdict" ;;
    esac
}

# cloud-init and systemd may both start it; one run at a time.
exec 9>/run/guestbake-bootstrap.lock
if ! flock -n 9; then
    echo "guestbake is already running" >&2
    exit 0
fi
if [ "${1:-}" = last-resort ]; then
    if [ ! -s "$verdict" ]; then
        end_without_verdict "${EXIT_STATUS:-${MONITOR_EXIT_STATUS:-unknown}}"
    fi
    exit 0
fi
rm -f "$verdict"
find_bundle
install_program
run_program "$@"
