#!/bin/bash
# In the guest: the same five services are waited for twice, by the loop of shell-way.sh and by guestbake.
# Prints on the console what each took of the processor, from its own cgroup:
#   cpu-share WHO PROCESSOR-MICROSECONDS ELAPSED-MICROSECONDS
set -eu
bundle=$1
mkdir -p /bench
cp "$bundle/guestbake" /usr/local/bin/guestbake

# agent NAME: a run with that plan, in a cgroup of its own.
agent() {
    if ! systemd-run --quiet --wait --collect --unit="agent-$1" -p CPUAccounting=yes \
        guestbake run --bundle "$bundle" --plan "$bundle/$1.toml" --no-power-off --accel tcg \
        --console "/bench/$1.console" --log "/bench/$1.log" --report "/bench/$1.json"; then
        tail -n 5 "/bench/$1.log" >&2
        exit 1
    fi
}

# spent_at NAME STAGE: waits for `stage STAGE done` in the log of that run, and prints what was spent by then, and when.
spent_at() {
    sed "/^stage $2 done/q" < <(tail -n +1 -F "/bench/$1.log" 2>/dev/null) >/dev/null
    read -r up _ </proc/uptime
    echo "$(sed -n 's/^usage_usec //p' "/sys/fs/cgroup/system.slice/agent-$1.service/cpu.stat") ${up/./}0000"
}

agent shell
read -r used took </bench/shell
echo "cpu-share shell $used $took" >/dev/console

agent five &
read -r used_before up_before < <(spent_at five containers)
read -r used up < <(spent_at five wait)
echo "cpu-share guestbake $((used - used_before)) $((up - up_before))" >/dev/console
wait
grep ' ready (' /bench/five.log | sed 's/^/cpu-share-said: /' >/dev/console
