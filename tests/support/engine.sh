# Keeps one private engine for a test process and takes every trace of it away again.
#
# Standard input is a pipe that the test process holds open: end of file means "clean up", whether the test asked for
# it, panicked or was killed. Being the engine's parent, this shell also reaps it, so a process id in here is never stale.
#
# usage: engine.sh DIR DATA_ROOT_SIZE(0: no file system of its own) ROOT(/, or that of another release) NETWORK(shared, own)
#        ENGINE ARG…
dir=$1 size=$2 root=$3 network=$4
shift 4

if [ "$size" != 0 ]; then
    mount -t tmpfs -o "size=$size,mode=0711" guestbake-test-data "$dir/data" || exit 1
fi

# The engine sees a file system of its own, in which what it mounts goes with it: the other release's, or this machine's
# with a /run that no other engine is in. It becomes the engine, so the process id stays the same.
# shellcheck disable=SC2016 # expanded by the shell within
enclosed='
set -e
root=$1 dir=$2 network=$3
shift 3
if [ "$network" = own ]; then
    ip link set lo up
fi
if [ "$root" = / ]; then
    mount -t tmpfs -o mode=755 guestbake-test-run /run
else
    mount --bind "$root" "$root"
    for tree in proc sys dev; do
        mount --rbind "/$tree" "$root/$tree"
    done
    mount -t tmpfs -o mode=755 guestbake-test-run "$root/run"
    mount -t tmpfs -o mode=1777 guestbake-test-tmp "$root/tmp"
    mkdir -p "$root$dir"
    mount --rbind "$dir" "$root$dir"
    cd "$root"
    mkdir run/machine
    pivot_root . run/machine
    umount -l /run/machine
    cd /
fi
# crun takes version 1 or 2, and not both.
if [ -e /sys/fs/cgroup/memory ] && [ -e /sys/fs/cgroup/unified/cgroup.procs ]; then
    umount /sys/fs/cgroup/unified
fi
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Where monitors leave their notes.
cd "$dir"
exec "$@"
'
case $network in
own) own=--net ;;
*) own= ;;
esac
unshare --mount $own --propagation slave sh -c "$enclosed" enclosed "$root" "$dir" "$network" "$@" >"$dir/log" 2>&1 </dev/null &
engine=$!
echo "$engine"
exec >/dev/null

read -r _

# Ends what names our directory on its command line: the engine's containerd, the shims and monitors, which outlive it,
# and what these start when their container ends.
kill_strays() {
    for _ in 1 2 3 4 5; do
        found=
        for status in /proc/[0-9]*; do
            if [ "${status#/proc/}" != $$ ] && tr '\0' ' ' 2>/dev/null <"$status/cmdline" | grep -qF -- "$dir/"; then
                kill -KILL "${status#/proc/}" 2>/dev/null && found=yes
            fi
        done
        [ -n "$found" ] || return
    done
}

# The first processes of the containers; without them the engine has nothing left to wait for.
kill_containers() {
    for file in "$dir"/exec/containerd/daemon/io.containerd.runtime.v*/*/*/init.pid \
        "$dir"/run/overlay-containers/*/userdata/pidfile; do
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
# Docker's are under a group named as the directory, Podman's are named by their containers.
names=${dir##*/}
for container in "$dir"/data/overlay-containers/*/; do
    id=${container%/}
    [ -d "$container" ] && names="$names ${id##*/}"
done
for name in $names; do
    for group in $(find /sys/fs/cgroup -depth -type d -path "*$name*" 2>/dev/null); do
        rmdir "$group" 2>/dev/null
    done
done
rm -rf "$dir"
