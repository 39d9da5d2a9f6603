#!/bin/bash
# A container for arm64 in a guest for amd64 that is not emulated itself, with a handler in binfmt_misc: it runs, counts as
# emulated, and the log says by whom.
. tests/vm/case.sh

if [ "$arch" != amd64 ]; then
    echo "   $test: shown on amd64 alone"
    exit 0
fi
"$vm/images.sh" arm64 tools
images=$top/target/vm/images-arm64
mkdir -p "$dir/bundle" "$dir/qemu"
(cd "$dir/qemu" && apt-get -q download qemu-user-static && dpkg-deb -x ./*.deb .) >"$dir/apt.log" 2>&1
cp "$dir/qemu/usr/bin/qemu-aarch64-static" "$dir/bundle/"
small_bundle <<'END'
[containers.foreign]
image = "guestbake-test/tools:latest"
network_mode = "host"
command = ["sh", "-c", "echo $HOW on $(uname -m); exec httpd -f -p 127.0.0.1:8081"]
environment = { HOW = "natively" }
stop_grace_period = "1s"
[wait]
timeout = "100s"
[[wait.services]]
name = "said"
container = "foreign"
log = "emulated on aarch64"
[[wait.services]]
name = "foreign"
container = "foreign"
tcp = "127.0.0.1:8081"
[smoke]
[[smoke.checks]]
name = "foreign"
tcp = "127.0.0.1:8081"
[emulation.containers.foreign]
environment = { HOW = "emulated" }
END
{
    iso/seed.sh --print | sed '/^runcmd:$/q'
    cat <<'END'
  - |
    mkdir /mnt/bundle
    mount -o ro /dev/disk/by-label/STACKBUNDLE /mnt/bundle
    install -m 755 /mnt/bundle/qemu-aarch64-static /usr/local/bin/
    umount /mnt/bundle
    modprobe binfmt_misc
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/local/bin/qemu-aarch64-static:FP' \
      >/proc/sys/fs/binfmt_misc/register
END
    # That the guest is emulated, too, is not the point.
    iso/seed.sh --print | sed '1,/^runcmd:$/d' | sed 's#^\( */usr/local/sbin/guestbake-bootstrap\) ||#\1 --accel kvm ||#'
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "who emulates it is said, with the version" grep -q \
    'emulated: guestbake-test/tools:latest for arm64 on amd64, by the handler qemu-aarch64 with /usr/local/bin/qemu-aarch64-static (qemu-aarch64 version ' \
    "$dir/serial.txt"
check "limits are stretched for it" grep -aq 'limits under emulation: .*wait 100s → 500s' "$dir/serial.log"
check "its environment is the emulated one" says "said ready ("
check "what is emulated is not smoke-tested" result_has '"smoke":"skipped"'
