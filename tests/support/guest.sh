# What cloud-init does in a guest, on this machine: the runcmd of the real user-data, with the real bootstrap, in mount
# and process namespaces of its own, of which this is the first process.
#   guest.sh DIR VOLUME     DIR has console, runcmd (a shell script), sbin (for /usr/local/sbin), and run and lib, empty
# systemd-run is the one stand-in: there is no systemd here. As systemd does, it starts what it is told to outside of the
# processes of whoever asks.
set -eu
dir=$1

mkdir "$dir/dev" "$dir/log"
mount -t tmpfs -o mode=755 dev "$dir/dev"
for node in null zero full random urandom loop-control; do
    cp -a "/dev/$node" "$dir/dev/"
done
for n in $(seq 0 63); do
    mknod "$dir/dev/loop$n" b 7 "$n"
done
mkdir -p "$dir/dev/disk/by-label"
ln -s "$2" "$dir/dev/disk/by-label/STACKBUNDLE"
: >"$dir/dev/console"
mount --bind "$dir/console" "$dir/dev/console"
mount --move "$dir/dev" /dev
# Nothing of this machine's own is written to, and the program is no burden to its disk.
mount --bind "$dir/run" /run
mount --bind "$dir/lib" /var/lib
mount --bind "$dir/log" /var/log
mount --bind "$dir/sbin" /usr/local/sbin
mount -t tmpfs bin /usr/local/bin

setsid sh "$dir/runcmd" </dev/null >"$dir/output" 2>&1 &
# Until nobody is left, neither of those who lost their parents.
while
    set -- /proc/[0-9]*
    [ $# -gt 1 ]
do
    sleep 0.02
done
