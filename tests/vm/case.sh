# shellcheck shell=bash
# Sourced by every case in tests/vm/cases, from the top of the repository: what a test in a VM is made of.
# A case is a script of its own that test.sh runs, with the guest and the images prepared; beside this line it has
#   # images: demo        in its head, if it needs other images than the little one of tools
#   # guest: podman       if it needs that guest; it starts the VM with --engine podman
# It leaves "ok …" and "not ok …" lines; a command that fails ends it, and fails it. Its files are in $dir.
set -eu
test=$(basename "$0" .sh)
vm=$PWD/tests/vm
top=$PWD
dir=$top/target/vm/test/$test
: "${arch:=amd64}"
program=$top/target/guestbake-$arch
disk=$top/target/vm/run/test-$test.qcow2    # gone when the VM has ended, unless $keep_disk is set
images=$top/target/vm/images-$arch
limit=${GUESTBAKE_VM_TIMEOUT:-600}
: "${accel:=$("$vm/accel.sh")}"
rm -rf "$dir"
mkdir -p "$dir"

# check WHAT COMMAND…
check() {
    if "${@:2}"; then
        echo "ok $test: $1"
    else
        echo "not ok $test: $1"
    fi
}

# start [--bundle ISO]… [-- QEMU-OPTION…]: the VM, in the background as $qemu.
start() {
    started_with=("$@")
    began=$(date +%s)
    # What a VM before this one said is not this one's, also before QEMU opens the file.
    : >"$dir/serial.log"
    "$vm/boot.sh" --arch "$arch" --name "test-$test" --accel "$accel" --serial "$dir/serial.log" "$@" 2>>"$dir/qemu.log" &
    qemu=$!
    # This shell may be told to end before the VM has.
    trap 'kill "$qemu" 2>/dev/null; exit 1' TERM INT
    trap 'kill "$qemu" 2>/dev/null || true' EXIT
}

# QEMU has been seen to lose a processor's timer while the guest's kernel boots; that then says every 21 s that it stalls,
# and nothing else ever. Nothing of what is tested has run by then. Once in a case, and not with a shared folder, whose
# daemon ends with its VM.
start_again_if_stalled() {
    [ -z "${started_again:-}${virtiofsd:-}" ] || return 0
    grep -aqs 'rcu_preempt detected stalls' "$dir/serial.log" || return 0
    if grep -aqs -e cloud-init -e systemd -e STACK_ "$dir/serial.log"; then
        return 0
    fi
    echo "   $test: QEMU lost a timer of the guest's kernel while that booted: the VM is started once more"
    started_again=yes
    lose_power
    start "${started_with[@]}"
}

# until_end: until the VM ends, or the limit. Leaves $dir/serial.txt and $powered_off.
until_end() {
    powered_off=yes
    while kill -0 "$qemu" 2>/dev/null; do
        if [ $(($(date +%s) - began)) -ge "$limit" ]; then
            powered_off=no
            kill "$qemu"
        fi
        start_again_if_stalled
        sleep 0.2
    done
    wait "$qemu" 2>/dev/null || powered_off=no
    trap - TERM INT EXIT
    [ -n "${keep_disk:-}" ] || rm -f "$disk"
    strings -a "$dir/serial.log" >"$dir/serial.txt"
    echo "   $test: the VM ran $(($(date +%s) - began)) s"
}

# boot [--bundle ISO]… [-- QEMU-OPTION…]: from the start to the end.
boot() {
    start "$@"
    until_end
}

# until_says TEXT: until it stands on the serial line; fails if the VM ends before, or the limit is reached.
until_says() {
    until grep -asFq -- "$1" "$dir/serial.log"; do
        kill -0 "$qemu" 2>/dev/null || return 1
        [ $(($(date +%s) - began)) -lt "$limit" ] || return 1
        start_again_if_stalled
        sleep 0.2
    done
}

# lose_power: the VM is gone from one moment to the next; its disk stays for `start --again`.
lose_power() {
    kill -KILL "$qemu"
    wait "$qemu" 2>/dev/null || true
}

# qmp COMMAND: to the VM that was started with `-- $with_qmp`
# shellcheck disable=SC2034 # for the cases
with_qmp="-qmp unix:$dir/qmp,server=on,wait=off"
qmp() {
    python3 - "$dir/qmp" "$1" <<'END'
import json, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    lines = s.makefile()
    lines.readline()
    for command in "qmp_capabilities", sys.argv[2]:
        s.sendall(json.dumps({"execute": command}).encode())
        while "return" not in (answer := json.loads(lines.readline())):
            if "error" in answer:
                sys.exit(f"qmp: {answer['error']}")
END
}

# share_folder: $dir/shared for the VM that is started with `-- "${with_share[@]}"`, by the process $virtiofsd.
share_folder() {
    mkdir "$dir/shared"
    sockets=$(mktemp -d)
    "$vm/virtiofsd.sh" "$sockets/fs" "$dir/shared" 2>"$dir/virtiofsd.log" &
    virtiofsd=$!
    until [ -S "$sockets/fs" ]; do
        kill -0 "$virtiofsd"
        sleep 0.2
    done
    # shellcheck disable=SC2034,SC2054 # for the cases; the commas are QEMU's
    with_share=(-object memory-backend-memfd,id=memory,size=3072M,share=on -numa node,memdev=memory
        -chardev "socket,id=fs,path=$sockets/fs" -device vhost-user-fs-pci,chardev=fs,tag=hostfs)
}

# unshare_folder: after the VM's end.
unshare_folder() {
    kill -KILL "$virtiofsd" 2>/dev/null || true
    wait "$virtiofsd" 2>/dev/null || true
    rm -rf "$sockets"
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

# A bundle folder with the little image of tools and the plan on standard input, as $dir/bundle.iso.
small_bundle() {
    mkdir -p "$dir/bundle"
    echo "STACK_EMULATOR_BUILD_ARCH=$arch" >"$dir/bundle/build-arch.env"
    ln -s "$program" "$dir/bundle/guestbake"
    ln -s "$images/tools.tar" "$dir/bundle/tools.tar"
    {
        printf '[images]\narchives = ["tools.tar"]\nrequire = ["guestbake-test/tools:latest"]\n'
        cat
    } >"$dir/bundle/guestbake.toml"
    iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
}

# seed_of USER-DATA: a seed with user-data of a case's own, as $dir/seed.iso.
seed_of() {
    mkdir -p "$dir/seed"
    cp "$1" "$dir/seed/user-data"
    cp iso/meta-data "$dir/seed/"
    . iso/mkisofs.sh
    make_iso cidata "$dir/seed.iso" "$dir/seed"
}

# prepared: user-data of the usual way in, after the script on standard input.
prepared() {
    iso/seed.sh --print | sed '/^runcmd:$/q'
    echo '  - |'
    sed 's/^/    /'
    iso/seed.sh --print | sed '1,/^runcmd:$/d'
}

# disturbed: user-data of the usual way in, with the script on standard input beside it, once the program's worker is
# there as $worker.
disturbed() {
    {
        cat <<'END'
(
  find_worker() { grep -lsz '^guarded-worker$' /proc/[0-9]*/cmdline | head -n 1 | cut -d/ -f3; }
  until worker=$(find_worker) && [ -n "$worker" ]; do sleep 1; done
  sleep 3
END
        sed 's/^/  /'
        printf ') >/dev/null 2>&1 &\n'
    } | prepared
}

# with_options OPTION…: $dir/user-data has the program called with these.
with_options() {
    sed -i "s|^    /usr/local/sbin/guestbake-bootstrap |&$* |" "$dir/user-data"
    grep -Fq -- "guestbake-bootstrap $* |" "$dir/user-data"
}

# A plan with a container that dies: dying_plan SCRIPT
dying_plan() {
    cat <<END
[containers.doomed]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "$1"]
[wait]
timeout = "300s"
[[wait.services]]
name = "doomed"
container = "doomed"
tcp = "127.0.0.1:8082"
END
}

# A plan with a container that is ready after a while by its own clock, and one service that waits for it.
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
