# shellcheck shell=bash disable=SC2154
# Sourced by cases that also run on an engine of this machine's own, with a network of its own: the engine of whoever works
# on a stack, which has its images once a run has loaded them. It ends with the case, or with `end_engine`.
engine=$(mktemp -d /tmp/guestbake-engine-XXXXXX)
mkdir "$engine/data"
echo '{}' >"$engine/daemon.json"
mkfifo "$dir/hold"
sh tests/support/engine.sh "$engine" 0 / own dockerd --host="unix://$engine/socket" --data-root="$engine/data" \
    --exec-root="$engine/exec" --pidfile="$engine/pid" --config-file="$engine/daemon.json" \
    --cgroup-parent="/${engine##*/}" <"$dir/hold" >"$dir/engine.pid" &
keeper=$!
exec 9>"$dir/hold"
while [ ! -S "$engine/socket" ]; do
    kill -0 "$keeper"
    sleep 0.1
done

# natively NAME FOLDER: a run of that bundle on that engine; what it consists of is in $dir/NAME.lines.
natively() {
    nsenter --net="/proc/$(cat "$dir/engine.pid")/ns/net" \
        "$program" run --bundle "$2" --docker-host "unix://$engine/socket" --accel kvm --no-power-off \
        --console "$dir/$1.log" --log "$dir/$1.provision.log" --report "$dir/$1.json" --state-dir "$dir/$1.state" \
        >/dev/null || tail -n 20 "$dir/$1.log"
    python3 "$vm/run-lines.py" "$dir/$1.log" >"$dir/$1.lines"
}

# unpack ISO FOLDER: for a kernel that mounts no ISO.
unpack() {
    xorriso -report_about WARNING -osirrox on -indev "$1" -extract / "$2"
}

end_engine() {
    exec 9>&-
    wait "$keeper" || true
}
