#!/usr/bin/bash
# The wait as image builds do it in shell: one service after the other, a process for every look, two seconds between.
# Its own cgroup says what that costs; the answer goes to /bench/shell.
wait_for() {
    local name=$1 began=$SECONDS heard=$SECONDS
    shift
    until "$@"; do
        if [ $((SECONDS - heard)) -ge 30 ]; then
            echo "still waiting for $name ($((SECONDS - began))s)"
            heard=$SECONDS
        fi
        if [ "$SECONDS" -ge 1500 ]; then
            echo "TIMEOUT waiting for $name"
            exit 1
        fi
        sleep 2
    done
    echo "$name ready ($((SECONDS - began))s)"
}
answers() {
    curl -sf -o /dev/null "$1"
}
refuses_strangers() {
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$1")" = 401 ]
}
spent() {
    local key value
    while read -r key value; do
        if [ "$key" = usage_usec ]; then
            echo "$value"
        fi
    done </sys/fs/cgroup/cpu.stat
}

before=$(spent) began=$EPOCHREALTIME
wait_for postgres nc.openbsd -z 127.0.0.1 5432
wait_for clickhouse answers http://127.0.0.1:8123/ping
wait_for svix answers http://127.0.0.1:8071/api/v1/health/
wait_for minio answers http://127.0.0.1:9090/minio/health/live
wait_for qstash refuses_strangers http://127.0.0.1:8080/
echo "$(($(spent) - before)) $((${EPOCHREALTIME/./} - ${began/./}))" >/bench/shell
