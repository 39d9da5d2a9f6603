#!/bin/bash
# The tests in real VMs: test.sh [NAME…], the first list without names; `make chaos` runs the second.
# Each looks at the serial line as a host does.
# Two VMs run side by side: a booting guest keeps little more than one core busy.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
. "$here/clock.sh"
top=$PWD
work=$top/target/vm/test
program=$top/target/guestbake-amd64
all=(demo failure unit killed no-bundle wrong-arch)
more=(memory clock shutdown)
limit=${GUESTBAKE_VM_TIMEOUT:-600}

# --- What a test is made of ------------------------------------------------------------------------------------------

# check WHAT COMMAND…
check() {
    if "${@:2}"; then
        echo "ok $test: $1"
    else
        echo "not ok $test: $1"
    fi
}

# boot [--bundle ISO]…: until the VM ends, or the limit. Leaves $dir/serial.txt and $powered_off.
boot() {
    began=$(date +%s)
    "$here/boot.sh" --name "test-$test" --accel "$accel" --serial "$dir/serial.log" "$@" 2>"$dir/qemu.log" &
    qemu=$!
    # This shell may be told to end before the VM has.
    trap 'kill "$qemu" 2>/dev/null; exit 1' TERM INT
    powered_off=yes
    while kill -0 "$qemu" 2>/dev/null; do
        if [ $(($(date +%s) - began)) -ge "$limit" ]; then
            powered_off=no
            kill "$qemu"
        fi
        sleep 0.2
    done
    wait "$qemu" 2>/dev/null || powered_off=no
    trap - TERM INT
    rm -f "$top/target/vm/run/test-$test.qcow2"
    strings -a "$dir/serial.log" >"$dir/serial.txt"
    echo "   $test: the VM ran $(($(date +%s) - began)) s"
}

says() {
    grep -Fq -- "$1" "$dir/serial.txt"
}

# The one result line names what went wrong.
result_has() {
    [ "$(grep -c 'STACK_PROVISION_RESULT: {.*}$' "$dir/serial.txt")" -eq 1 ] || return 1
    grep 'STACK_PROVISION_RESULT: ' "$dir/serial.txt" | grep -Fq -- "$1"
}

# ends_in MARKER: exactly one, of exactly this kind, and the power goes off.
ends_in() {
    check "ends in $1" grep -Fqx "$1" "$dir/serial.txt"
    check "says so once" test \
        "$(grep -Fcx -e STACK_CLOUD_INIT_DONE -e STACK_CLOUD_INIT_FAILED -e STACK_SERVICES_READY "$dir/serial.txt")" -eq 1
    check "powers off" test "$powered_off" = yes
}

# A bundle folder with the little image of tools and the plan on standard input.
small_bundle() {
    mkdir -p "$dir/bundle"
    echo STACK_EMULATOR_BUILD_ARCH=amd64 >"$dir/bundle/build-arch.env"
    ln -s "$program" "$dir/bundle/guestbake"
    ln -s "$top/target/vm/images-amd64/tools.tar" "$dir/bundle/tools.tar"
    {
        printf '[images]\narchives = ["tools.tar"]\nrequire = ["guestbake-test/tools:latest"]\n'
        cat
    } >"$dir/bundle/guestbake.toml"
    iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
}

# seed_of USER-DATA: a seed with user-data of a test's own.
seed_of() {
    mkdir -p "$dir/seed"
    cp "$1" "$dir/seed/user-data"
    cp iso/meta-data "$dir/seed/"
    . iso/mkisofs.sh
    make_iso cidata "$dir/seed.iso" "$dir/seed"
}

# --- The tests -------------------------------------------------------------------------------------------------------

test_demo() {
    "$here/demo-bundle.sh" "$dir/bundle.iso"
    iso/seed.sh "$dir/seed.iso"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_DONE
    check "Postgres was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
    check "the migrations ran" says "STACK_PROVISION: stage migrations done"
    if [ "$accel" = tcg ]; then
        check "finds out that it is emulated" result_has '"accel":"tcg"'
        check "does not call a skipped smoke test passed" result_has '"smoke":"skipped"'
    else
        check "passes the smoke test" result_has '"smoke":"passed"'
    fi
    check "keeps the password to itself" test \
        "$(grep -Fc "$(sed -n 's/^POSTGRES_PASSWORD=//p' "$dir/bundle/build.env")" "$dir/serial.txt")" -eq 0
}

test_failure() {
    small_bundle <<'END'
[containers.well]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["httpd", "-f", "-p", "127.0.0.1:8081"]
[containers.doomed]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "echo starting; sleep 3; echo 'out of paper, giving up' >&2; exit 3"]
[wait]
timeout = "300s"
[[wait.services]]
name = "well"
container = "well"
tcp = "127.0.0.1:8081"
[[wait.services]]
name = "doomed"
container = "doomed"
tcp = "127.0.0.1:8082"
END
    # An engine that is installed and does not run is the agent's to start.
    iso/seed.sh --print | sed 's/^runcmd:$/&\n  - systemctl stop docker.socket docker.service/' >"$dir/user-data"
    seed_of "$dir/user-data"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_FAILED
    check "the engine was started" says "systemd was asked to start docker.service"
    check "the reason is the dead container" result_has '"reason":"dependency_exited"'
    check "its last words are there" says "out of paper, giving up"
}

test_unit() {
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
END
    iso/seed.sh --unit "$dir/seed.iso"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_DONE
    check "the smoke test ran" result_has '"smoke":"passed"'
}

# The program, its worker and what started them are killed at once: systemd still has the last word.
test_killed() {
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
}

test_no_bundle() {
    iso/seed.sh "$dir/seed.iso"
    boot --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_FAILED
    check "the reason says so" result_has '"reason":"bundle_missing"'
}

test_wrong_arch() {
    mkdir -p "$dir/bundle"
    echo STACK_EMULATOR_BUILD_ARCH=arm64 >"$dir/bundle/build-arch.env"
    : >"$dir/bundle/guestbake.toml"
    cp "$program" "$dir/bundle/guestbake"
    # The machine type in the ELF header: AArch64.
    printf '\267\000' | dd of="$dir/bundle/guestbake" bs=1 seek=18 conv=notrunc status=none
    iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
    iso/seed.sh "$dir/seed.iso"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_FAILED
    check "the reason says so" result_has '"reason":"wrong_architecture"'
}

# disturbed: the usual way in, with the script on standard input beside it, once the program's worker is there as $worker.
disturbed() {
    iso/seed.sh --print | sed '/^runcmd:$/q'
    cat <<'END'
  - |
    (
      find_worker() { grep -lsz '^guarded-worker$' /proc/[0-9]*/cmdline | head -n 1 | cut -d/ -f3; }
      until worker=$(find_worker) && [ -n "$worker" ]; do sleep 1; done
      sleep 3
END
    sed 's/^/      /'
    printf '    ) >/dev/null 2>&1 &\n'
    iso/seed.sh --print | sed '1,/^runcmd:$/d'
}

# A container that is ready after a while by its own clock, and one service that waits for it.
late_plan() {
    cat <<'END'
[containers.late]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "sleep 40; touch /ready; exec sleep 600"]
stop_grace_period = "0s"
[wait]
timeout = "200s"
[[wait.services]]
name = "late"
container = "late"
exec = ["test", "-f", "/ready"]
END
}

# The kernel's out-of-memory killer takes the worker; the guardian is not on its list.
test_memory() {
    late_plan | small_bundle
    disturbed >"$dir/user-data" <<'END'
echo 1000 >"/proc/$worker/oom_score_adj"
echo f >/proc/sysrq-trigger
END
    seed_of "$dir/user-data"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_FAILED
    check "the reason says so" result_has '"reason":"killed"'
    check "and that it was for memory" result_has 'for memory'
}

# The wall clock goes back and forth by years; what is waited for is not concerned.
test_clock() {
    late_plan | small_bundle
    disturbed >"$dir/user-data" <<'END'
date -s '2041-01-01 00:00'
sleep 10
date -s '2011-01-01 00:00'
END
    seed_of "$dir/user-data"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_DONE
    check "counts seconds, not years" result_has '"elapsed_s":'
    check "no time is out of proportion" test "$(sed -n 's/.*"elapsed_s":\([0-9]*\).*/\1/p' "$dir/serial.txt")" -lt 400
}

# A service that does not stop holds up the orderly power-off; the power is cut all the same.
test_shutdown() {
    echo 'nonsense = 1' | small_bundle
    unit='[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sleep 1000\nTimeoutStopSec=infinity\n'
    {
        iso/seed.sh --print | sed '/^runcmd:$/q'
        echo "  - printf '$unit' >/run/systemd/system/stubborn.service; systemctl start stubborn.service"
        iso/seed.sh --print | sed '1,/^runcmd:$/d'
    } >"$dir/user-data"
    seed_of "$dir/user-data"
    boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
    ends_in STACK_CLOUD_INIT_FAILED
    check "the reason says so" result_has '"reason":"plan_invalid"'
    check "long before the service would have stopped" test $(($(date +%s) - began)) -lt 500
}

# --- All of them -----------------------------------------------------------------------------------------------------

run() {
    test=$1
    dir=$work/$test
    rm -rf "$dir"
    mkdir -p "$dir"
    # In the background, where the first command that fails ends it, and where it can be told to end.
    "test_${test//-/_}" >"$dir/results" 2>&1 &
    child=$!
    trap 'kill "$child" 2>/dev/null; wait; exit 1' TERM INT
    if ! wait "$child"; then
        echo "not ok $test: the test itself ran through" >>"$dir/results"
    fi
    cat "$dir/results"
    if grep -q '^not ok' "$dir/results" && [ -e "$dir/serial.txt" ]; then
        echo "   the end of ${dir#"$top/"}/serial.txt:"
        tail -n 40 "$dir/serial.txt" | sed 's/^/   | /'
    fi
}

if [ $# -eq 0 ]; then
    set -- "${all[@]}"
fi
for name in "$@"; do
    case " ${all[*]} ${more[*]} " in
        *" $name "*) ;;
        *)
            echo "test.sh: no test '$name' (${all[*]} ${more[*]})" >&2
            exit 64
            ;;
    esac
done

step "what this machine lacks" "$here/prerequisites.sh" build vm
step "the program (make static)" make --no-print-directory static
case " $* " in
    *" demo "*) step "container images" "$here/images.sh" demo tools ;;
    *) step "container images" "$here/images.sh" tools ;;
esac
step "guest" "$here/guest.sh"
accel=$("$here/accel.sh")
mkdir -p "$work"

running=()
trap 'kill "${running[@]}" 2>/dev/null || true; wait' EXIT
began=$(date +%s)
for name in "$@"; do
    while [ "$(jobs -pr | wc -l)" -ge "${GUESTBAKE_VM_JOBS:-2}" ]; do
        wait -n || true
    done
    run "$name" &
    running+=($!)
done
for pid in "${running[@]}"; do
    wait "$pid" || true
done
trap - EXIT

passed=0 failed=0
for name in "$@"; do
    passed=$((passed + $(grep -c '^ok ' "$work/$name/results" || true)))
    failed=$((failed + $(grep -c '^not ok ' "$work/$name/results" || true)))
done
echo "   all VMs: $(($(date +%s) - began)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
