# Keeps one private Docker engine for a test process and takes every trace of it away again.
#
# Standard input is a pipe that the test process holds open: end of file means "clean up", whether the test asked for
# it, panicked or was killed. Being the engine's parent, this shell also reaps it, so a process id in here is never stale.
#
# usage: engine.sh DIR DATA_ROOT_SIZE(0: no file system of its own) DOCKERD ARG…
dir=$1 size=$2
shift 2

if [ "$size" != 0 ]; then
    mount -t tmpfs -o "size=$size,mode=0711" guestbake-test-data "$dir/data" || exit 1
fi

"$@" >"$dir/log" 2>&1 </dev/null &
engine=$!
echo "$engine"
exec >/dev/null

read -r _

# Ends what names our directory on its command line: the engine's containerd and the shims, which outlive it.
kill_strays() {
    for status in /proc/[0-9]*; do
        if [ "${status#/proc/}" != $$ ] && tr '\0' ' ' 2>/dev/null <"$status/cmdline" | grep -qF -- "$dir/"; then
            kill -KILL "${status#/proc/}" 2>/dev/null
        fi
    done
}

# The first processes of the containers; without them the engine has nothing left to wait for.
kill_containers() {
    for file in "$dir"/exec/containerd/daemon/io.containerd.runtime.v*/*/*/init.pid; do
        [ -f "$file" ] && kill -KILL "$(cat "$file")" 2>/dev/null
    done
}

running() {
    case $(cat "/proc/$engine/stat" 2>/dev/null) in
    '' | *') Z '*) return 1 ;;
    esac
}

kill -CONT "$engine" 2>/dev/null
kill_containers
kill -TERM "$engine" 2>/dev/null
for _ in $(seq 150); do
    running || break
    sleep 0.1
done
kill -KILL "$engine" 2>/dev/null
wait "$engine" 2>/dev/null
kill_containers
kill_strays

# Innermost first; a mount that is still busy is detached all the same.
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount"
done
for group in $(find /sys/fs/cgroup -depth -type d -path "*/${dir##*/}*" 2>/dev/null); do
    rmdir "$group" 2>/dev/null
done
rm -rf "$dir"
