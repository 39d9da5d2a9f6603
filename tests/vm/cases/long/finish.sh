#!/bin/bash
# [finish]: what it saves of the compressed image of the demo's run, and that a golden one boots as a new instance, even
# under the instance-id that it had.
# images: demo
. tests/vm/case.sh
limit=${GUESTBAKE_VM_TIMEOUT:-1500}

# facts LIFE: what a guest that boots is, on the console. It has no programs to resize its disk and make host keys with,
# for which cloud-init-network.service fails at every boot.
facts() {
    cat <<END
  - |
    {
      echo "$1: machine-id \$(cat /etc/machine-id)"
      echo "$1: \$(ls /var/lib/cloud/instances | wc -l) instances, at every boot runs: \$(ls /var/lib/cloud/scripts/per-boot)"
      echo "$1: \$(ls /var/lib/docker/containers | wc -l) containers"
      systemctl --failed --no-legend --plain | grep -v '^cloud-init-network' | sed 's/^/$1: failed: /'
      echo "$1: that is all"
    } >/dev/console
END
}
# seed_for INSTANCE: with the user-data on standard input, as $dir/seed.iso
seed_for() {
    mkdir -p "$dir/seed"
    cat >"$dir/seed/user-data"
    sed "s/^instance-id: .*/instance-id: $1/" iso/meta-data >"$dir/seed/meta-data"
    . iso/mkisofs.sh
    make_iso cidata "$dir/seed.iso" "$dir/seed"
}
# compressed: the bytes of the disk as it would be shipped
compressed() {
    qemu-img convert -c -W -m 2 -O qcow2 "$disk" "$dir/shipped.qcow2"
    stat -c %s "$dir/shipped.qcow2"
    rm -f "$dir/shipped.qcow2"
}
# fact LIFE PATTERN: the part of it in \(…\)
fact() {
    sed -n "s/^$1: $2\$/\1/p" "$dir/serial.txt"
}

"$vm/demo-bundle.sh" "$arch" "$dir/plain.iso"
sed 's/^power_off = "always".*/&\nprune = true\nlogs = true\nzero = true\ntrim = true\ngolden = true/' \
    "$dir/plain/guestbake.toml" >"$dir/finished.toml"
mv "$dir/finished.toml" "$dir/plain/guestbake.toml"
rm -f "$dir/plain/SHA256SUMS"
iso/bundle.sh "$dir/plain" "$dir/finished.iso"

# An image as builds make them: with what they downloaded, and is removed in the end.
keep_disk=yes
{
    iso/seed.sh --print | sed '/^runcmd:$/q'
    echo '  - head -c 100M /dev/urandom >/var/tmp/downloaded'
    iso/seed.sh --print | sed '1,/^runcmd:$/d'
} | seed_for built
boot --bundle "$dir/plain.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
before=$(compressed)
mv "$dir/serial.txt" "$dir/serial.plain.txt"

# The same image, finished.
{
    iso/seed.sh --print | sed '/^runcmd:$/q'
    echo '  - rm /var/tmp/downloaded'
    facts "first life"
    iso/seed.sh --print | sed '1,/^runcmd:$/d' | sed 's#^\( */usr/local/sbin/guestbake-bootstrap\) ||#\1 --from finish ||#'
} | seed_for finished
boot --again --bundle "$dir/finished.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
for done in 'pruned untagged images' 'emptied /var/log' 'zeroed /' 'trimmed /'; do
    check "it $done" grep -q "^STACK_PROVISION: $done: " "$dir/serial.txt"
done
after=$(compressed)
check "compressed, the image has shrunk from $before to $after bytes" test "$after" -lt "$before"
first=$(fact "first life" 'machine-id \(.*\)')
mv "$dir/serial.txt" "$dir/serial.first.txt"

# And as what it was built for: a machine of its own.
{
    echo '#cloud-config'
    echo 'runcmd:'
    facts "second life"
    echo '  - systemctl poweroff'
} | seed_for finished
boot --again --seed "$dir/seed.iso"
check "cloud-init ran anew, under the same instance-id" says "second life: that is all"
check "nothing of the first life is left of it" grep -qx "second life: 1 instances, at every boot runs: " "$dir/serial.txt"
second=$(fact "second life" 'machine-id \(.*\)')
check "the machine's id, ${second:-none}, is another than ${first:-none}" test -n "$first" -a -n "$second" -a "$first" != "$second"
check "no unit failed" test "$(grep -c '^second life: failed' "$dir/serial.txt")" -eq 0
check "the stack is in it" test "$(fact "second life" '\(.*\) containers')" -gt 0
check "guestbake did nothing" test "$(grep -c STACK_PROVISION "$dir/serial.txt")" -eq 0
rm -f "$disk"
