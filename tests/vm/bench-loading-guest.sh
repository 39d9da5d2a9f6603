#!/bin/bash
# In the guest: one archive is loaded in three ways, ROUNDS times. Says on standard output, the console, when each begins
# and ends: bench-loading begin WAY; bench-loading end WAY EXIT-CODE IMAGES PROCESSOR ELAPSED, where IMAGES is a digest of
# the images' ids and names, and the times are in hundredths of a second.
#   bench-loading-guest.sh ROUNDS
set -u
install -m 755 /ways/docker /bundle/guestbake /usr/local/bin/

shell() {
    gzip -dc /ways/img.tgz | docker load
}
engine() {
    docker load -i /ways/img.tar
}
guestbake() {
    command guestbake run --only images --bundle /bundle --console /dev/null
}

# Of all processors, what was not idle.
busy() {
    awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}
elapsed() {
    read -r up _ </proc/uptime
    echo "${up/./}"
}

images() {
    docker image ls --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' | sort
}

measure() {
    local before began code used took
    # Nothing is in memory yet, as after a boot; and nothing is still to be written.
    sync
    echo 3 >/proc/sys/vm/drop_caches
    echo "bench-loading begin $1"
    before=$(busy) began=$(elapsed)
    "$1" >/tmp/said 2>&1
    code=$?
    # What it leaves to be written belongs to it.
    sync
    used=$(($(busy) - before)) took=$(($(elapsed) - began))
    echo "bench-loading end $1 $code $(images | sha256sum | cut -c1-12) $used $took"
    [ "$code" -eq 0 ] || cat /tmp/said
    # shellcheck disable=SC2046 # a list
    docker image rm -f $(docker image ls -q) >/dev/null
}

for ((tries = 0; tries < 60; tries++)); do
    docker version >/tmp/said 2>&1 && break
    sleep 1
done
if [ "$tries" -eq 60 ]; then
    echo "bench-loading: no engine within a minute: $(tail -n 1 /tmp/said)"
    exit 1
fi
for ((round = 0; round < $1; round++)); do
    case $((round % 3)) in
        0) order=(shell engine guestbake) ;;
        1) order=(guestbake shell engine) ;;
        2) order=(engine guestbake shell) ;;
    esac
    for way in "${order[@]}"; do
        measure "$way"
    done
done
