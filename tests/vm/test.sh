#!/bin/bash
# The tests in real VMs: test.sh [--arch amd64|arm64] [--long] [NAME…]. Without names, the cases in tests/vm/cases; with
# --long those in tests/vm/cases/long, which `make chaos` runs. Each looks at the serial line as a host does.
# Two VMs run side by side: a booting guest keeps little more than one core busy.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
. "$here/clock.sh"
top=$PWD
work=$top/target/vm/test

export arch=amd64
if [ "${1:-}" = --arch ]; then
    arch=$2
    shift 2
fi
names=() files=()
# add FILE
add() {
    names+=("$(basename "$1" .sh)")
    files+=("$1")
}
if [ $# -eq 0 ]; then
    for file in "$here"/cases/*.sh; do
        add "$file"
    done
fi
for wanted in "$@"; do
    if [ "$wanted" = --long ]; then
        for file in "$here"/cases/long/*.sh; do
            add "$file"
        done
        continue
    fi
    file=$(find "$here/cases" -name "$wanted.sh")
    if [ -z "$file" ]; then
        echo "test.sh: no case '$wanted' ($(find "$here/cases" -name '*.sh' -printf '%f ' | sed 's/\.sh / /g'))" >&2
        exit 64
    fi
    add "$file"
done

# run NAME FILE
run() {
    results=$work/$1.results
    # In the background, where it can be told to end.
    bash "$2" >"$results" 2>&1 &
    child=$!
    trap 'kill "$child" 2>/dev/null; wait; exit 1' TERM INT
    if ! wait "$child"; then
        echo "not ok $1: the test itself ran through" >>"$results"
    fi
    cat "$results"
    serial=$work/$1/serial.log
    if grep -q '^not ok' "$results" && [ -e "$serial" ]; then
        echo "   the end of ${serial#"$top/"}:"
        strings -a "$serial" | tail -n 40 | sed 's/^/   | /'
    fi
}

# shellcheck disable=SC2046 # one word or none
step "what this machine lacks" "$here/prerequisites.sh" build vm $([ "$arch" = "$(dpkg --print-architecture)" ] || echo "$arch")
step "the program" make --no-print-directory "$arch"
# shellcheck disable=SC2046 # a list of names
step "container images" "$here/images.sh" "$arch" tools $(sed -n 's/^# images: //p' "${files[@]}")
step "guest" "$here/guest.sh" "$arch"
if grep -qx '# guest: podman' "${files[@]}"; then
    step "guest with Podman" "$here/guest.sh" "$arch" podman
fi
accel=$("$here/accel.sh" "$arch")
export accel
mkdir -p "$work"

running=()
trap 'kill "${running[@]}" 2>/dev/null || true; wait' EXIT
began=$(date +%s)
for i in "${!files[@]}"; do
    while [ "$(jobs -pr | wc -l)" -ge "${GUESTBAKE_VM_JOBS:-2}" ]; do
        wait -n || true
    done
    run "${names[i]}" "${files[i]}" &
    running+=($!)
done
for pid in "${running[@]}"; do
    wait "$pid" || true
done
trap - EXIT

passed=0 failed=0
for name in "${names[@]}"; do
    passed=$((passed + $(grep -c '^ok ' "$work/$name.results" || true)))
    failed=$((failed + $(grep -c '^not ok ' "$work/$name.results" || true)))
done
echo "   all VMs: $(($(date +%s) - began)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
