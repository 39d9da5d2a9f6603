#!/bin/sh
# guestbake's way in: finds the bundle, installs the program it carries and runs it. Whatever goes wrong on the way is
# said on every console, with the marker of failure, and the machine is powered off: a host never waits for nothing.
#
#   guestbake-bootstrap [OPTION…]          the whole way; options go to `guestbake run`
#   guestbake-bootstrap resume [OPTION…]   the same, if a reset cut off the run that cloud-init began, and nothing otherwise
#   guestbake-bootstrap last-resort        ends what a run left unsaid and undone that was killed; with `appointed` it
#                                          waits for the end of one that goes on
#
# Environment: GUESTBAKE_LABEL (STACKBUNDLE), GUESTBAKE_DEVICE_TIMEOUT in seconds (30),
# GUESTBAKE_POWER_OFF=never leaves the machine on after a failure here.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

label=${GUESTBAKE_LABEL:-STACKBUNDLE}
program=/usr/local/bin/guestbake
private=/run/guestbake-bootstrap       # nobody else may look into the bundle: it has passwords
mountpoint=$private/bundle
state=/run/guestbake
decided=$state/decided                # marker, result, power-off or stays-on: written before the marker
told=$state/told                      # which console has had its result, its marker
deadline=$state/limit                 # the second since boot by which the program has ended, unless it hangs
verdict=$state/verdict                # written once the marker is out
run_lock=/run/guestbake-bootstrap.lock  # held by this script and all that it starts
lock=$state/lock                      # held by the processes of the program that answer for the run
lasting=/var/lib/guestbake            # decided and verdict, where a reset does not forget them
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

# was_told WHAT CONSOLE: by the program, before it was killed
was_told() {
    grep -Fqx "$1 $2" "$told" 2>/dev/null
}

# Writes $1 to every console at once; one that blocks is given up after 5 s.
# The empty line ends what another program may have left unfinished there. A console that had a marker gets nothing more,
# and one that had the result line only the marker, if there is one as $2.
tell() {
    for console in $(consoles); do
        was_told marker "$console" && continue
        text=$1
        if [ -n "${2:-}" ] && was_told result "$console"; then
            text=$2
        fi
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

# What a disk does not take within 10 s is left. `timeout` would wait for a `sync` that hangs in the kernel.
sync_for_a_while() {
    sync 9>&- &
    waited=0
    while kill -0 "$!" 2>/dev/null && [ "$waited" -lt 10 ]; do
        sleep 1
        waited=$((waited + 1))
    done
}

power_off() {
    if [ "${GUESTBAKE_POWER_OFF:-}" = never ]; then
        return
    fi
    sync_for_a_while
    force='sleep 15; systemctl poweroff --force --force & sleep 3; echo o >/proc/sysrq-trigger'
    # A unit of its own without default dependencies: the shutdown that may hang does not stop it.
    if ! timeout -k 1 5 systemd-run --quiet --unit=guestbake-power-off -p DefaultDependencies=no sh -c "$force" 2>/dev/null; then
        (trap '' TERM HUP; sh -c "$force") >/dev/null 2>&1 &
    fi
    timeout -k 1 10 systemctl --no-block poweroff
}

# keep_verdict MARKER RESULT
keep_verdict() {
    for folder in "$state" "$lasting"; do
        mkdir -p "$folder"
        printf '%s\n%s\n' "$1" "$2" >"$folder/verdict"
    done 2>/dev/null
}

# Ends what the program had decided and was killed over: each console gets the marker once, and never another.
finish() {
    { read -r marker && read -r result && read -r end; } <"$decided"
    if [ ! -s "$verdict" ]; then
        echo 1 >/proc/sys/kernel/printk 2>/dev/null
        tell "STACK_PROVISION: STACK_PROVISION_RESULT: $result
$marker" "$marker"
        keep_verdict "$marker" "$result"
    fi
    if [ "$end" = power-off ] && [ "$(timeout 5 systemctl is-system-running 2>/dev/null)" != stopping ]; then
        power_off
    fi
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
    keep_verdict STACK_CLOUD_INIT_FAILED "$result"
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
    case $limit in
        # With these the comparison below fails for ever.
        *[!0-9]* | ???????*)
            tell "STACK_PROVISION: GUESTBAKE_DEVICE_TIMEOUT=$limit is no number of seconds, 30 it is"
            limit=30
            ;;
    esac
    device=/dev/disk/by-label/$label
    while [ ! -e "$device" ]; do
        read -r uptime _ </proc/uptime
        if [ $((${uptime%%.*} - started)) -ge "$limit" ]; then
            fail bundle_missing "no device labelled $label within ${limit}s; there are: $(cd /sys/class/block && echo *)"
        fi
        sleep 0.1
    done
}

# A medium that stops answering holds up whoever reads it, beyond the reach of any signal: not this shell.
install_within() {
    rm -f "$private/installed"
    (
        install_program
        : >"$private/installed"
    ) &
    installer=$!
    since=$(now)
    while [ ! -e "$private/installed" ] && [ -e "/proc/$installer" ] && ! grep -q '^State:.Z' "/proc/$installer/status"; do
        if [ $(($(now) - since)) -ge "$1" ]; then
            fail bundle_corrupt "reading the program from $device takes longer than ${1}s"
        fi
        sleep 0.2
    done
    [ -e "$private/installed" ] && return
    wait "$installer"
    status=$?
    # It has said itself what went wrong, unless it was killed.
    [ "$status" -le 128 ] || end_unfinished "$status"
    exit "$status"
}

install_program() {
    if ! said=$(timeout -k 1 20 mount -o ro,nosuid,nodev,noexec "$device" "$mountpoint" 2>&1); then
        fail bundle_corrupt "cannot mount $device: $said"
    fi
    source=$mountpoint/guestbake
    if [ ! -e "$source" ]; then
        names=$(cd "$mountpoint" && echo *)
        umount "$mountpoint"
        case " $names " in
            *" guestbak "* | *" GUESTBAK "* | *" build_ar.env "*)
                fail bundle_corrupt "the names on $device are those of bare ISO 9660 ($names): it has neither Rock Ridge nor Joliet (mkisofs -r -J)"
                ;;
        esac
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
    if [ -n "$sum" ] && ! (cd "$mountpoint" && echo "$sum" | sha256sum -c >/dev/null 2>&1); then
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
    (umask 077 && : >"$log") 2>/dev/null || log=/dev/null
    "$program" run --record "$lasting" "$@" >"$log" 2>&1 &
    agent=$!
    watch_over "$agent" >/dev/null 2>&1 9>&- &
    watcher=$!
    trap 'kill -TERM "$agent" 2>/dev/null' TERM INT HUP
    while :; do
        wait "$agent"
        status=$?
        # A signal ends the wait, not the program.
        kill -0 "$agent" 2>/dev/null || break
    done
    trap - TERM INT HUP
    kill -TERM "$watcher" 2>/dev/null
    if [ "$status" -gt 128 ]; then
        # Killed, it leaves a worker behind that finishes what it began: diagnostics, then the marker. One that was killed
        # too keeps its lock as long as the kernel holds it up.
        waited=0
        while is_running && [ "$waited" -lt 180 ]; do
            sleep 1
            waited=$((waited + 1))
        done
        end_unfinished "$status"
    elif ! is_running; then
        end_unfinished "$status"
    fi
    return "$status"
}

# watch_over PID: kills the program and its worker once even their last limit is over: who is stopped does not notice.
watch_over() {
    trap 'kill "$!"; exit' TERM
    end=$((started + 7500))
    while [ "$(now)" -lt "$end" ]; do
        sleep 10 &
        wait "$!"
        kill -0 "$1" || exit
        read -r end <"$deadline"
    done
    read -r worker <"/proc/$1/task/$1/children"
    # shellcheck disable=SC2086 # one, if it is there
    kill -KILL "$1" $worker
}

# end_unfinished STATUS: what the program, which has ended, did not get to.
end_unfinished() {
    if [ -s "$decided" ]; then
        finish
        return
    fi
    if [ -s "$verdict" ]; then
        return
    fi
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

# Whether cloud-init has begun its runcmd at an earlier boot, and no verdict came of it. It starts runcmd once per
# instance and notes that before it does, so a boot after a reset in the middle would run nothing.
was_cut_off() {
    [ -e /var/lib/cloud/instance/sem/config_scripts_user ] && [ ! -s "$lasting/verdict" ] || return 1
    # Decided, and no bundle any more: the host saw the marker, took the disk, and this is its next life.
    [ ! -s "$lasting/decided" ] || [ -e "/dev/disk/by-label/$label" ]
}

# Whether Docker's engine has nothing: no container, no volume, no layer.
engine_is_empty() {
    for found in /var/lib/docker/containers/* /var/lib/docker/volumes/*/ /var/lib/docker/image/*/layerdb/sha256/* \
        /var/lib/containerd/io.containerd.content.v1.content/blobs/*/*; do
        [ ! -e "$found" ] || return 1
    done
}

# After a power cut, layers that the engine takes for good may lack what had not been written yet, and volumes are half
# made. An engine that had nothing before the first run has nothing again; the program starts it.
start_over() {
    [ -e "$lasting/began-empty" ] || return 0
    timeout -k 5 120 systemctl stop docker.socket docker.service containerd.service 2>/dev/null
    timeout -k 5 300 rm -rf /var/lib/docker /var/lib/containerd
}

# Whether somebody who can still speak has the run's lock. Who was killed keeps it as long as the kernel holds up one of
# his threads, but his descriptors are gone, or SIGKILL is pending.
is_answered_for() {
    for held in /proc/[0-9]*/fd/9; do
        process=${held%/fd/9}
        # shellcheck disable=SC3013 # dash and busybox have it
        if [ "$held" -ef "$run_lock" ] && [ "$process" != "/proc/$$" ] &&
            ! grep -Eqs '^(Sig|Shd)Pnd:.*[13579bdf]..$' "$process/status"; then
            return 0
        fi
    done
    return 1
}

# Somebody outside of cloud-init's processes, which may all be killed at once, has the last word: once the lock is free,
# nobody of us is left. The unit has its OnFailure= for that.
appoint_last_resort() {
    grep -q /guestbake.service /proc/self/cgroup ||
        timeout -k 1 10 systemd-run --quiet --collect --unit="guestbake-last-resort-$$" -p DefaultDependencies=no \
            -p OOMScoreAdjust=-900 --setenv=GUESTBAKE_POWER_OFF="${GUESTBAKE_POWER_OFF:-}" --setenv=EXIT_STATUS=KILL \
            "$0" last-resort appointed 9>&-
}

# A redirection that fails for `exec` ends the shell.
if ! command -v flock >/dev/null; then
    said="this guest has no command flock"
else
    said=$({ : >>"$run_lock"; } 2>&1)
fi
if [ -n "$said" ]; then
    case ${1:-} in
        # The run that it is for has said so.
        last-resort) exit 0 ;;
        resume) was_cut_off || exit 0 ;;
    esac
    fail internal "no lock for the run: $said"
fi
# cloud-init and systemd may both start it; one run at a time.
exec 9>"$run_lock"
if [ "${1:-}" = last-resort ]; then
    # Whoever holds it is at it; who is appointed waits for his end.
    patience=20
    [ "${2:-}" != appointed ] || patience=120
    # Without the descriptor: busybox's `timeout` stays behind for a moment.
    until { timeout -k 1 "$patience" flock "$run_lock" true 9>&- && flock -n 9; } || ! is_answered_for; do
        [ "${2:-}" = appointed ] || exit 0
    done
    end_unfinished "${EXIT_STATUS:-${MONITOR_EXIT_STATUS:-unknown}}"
    exit 0
fi
if ! flock -n 9; then
    echo "guestbake is already running" >&2
    exit 0
fi
resumed=
if [ "${1:-}" = resume ]; then
    was_cut_off || exit 0
    resumed=yes
    shift
fi
rm -f "$decided" "$told" "$verdict"
appoint_last_resort
if [ -n "$resumed" ]; then
    start_over
else
    mkdir -p "$lasting"
    rm -f "$lasting/began-empty"
    ! engine_is_empty || : >"$lasting/began-empty"
    # Before anything is made that it is to tell of.
    sync_for_a_while
fi
rm -f "$lasting/decided" "$lasting/verdict"
mkdir -p "$private"
chmod 700 "$private"
mkdir -p "$mountpoint"
find_bundle
install_within 150
run_program "$@"
