#!/bin/bash
# [finish]: what it saves of the compressed image, and that a golden one boots as a new instance: as a guest that
# provisions itself again, and as one that does not, both with the instance-id that it had before.
# images: demo
. tests/vm/case.sh

# facts LIFE: what a guest that boots is, on the console
facts() {
    cat <<END
  - |
    {
      echo "$1: machine-id \$(cat /etc/machine-id)"
      echo "$1: the instance before was \$(cat /var/lib/cloud/data/previous-instance-id)"
      echo "$1: \$(ls /var/lib/cloud/instances | wc -l) instances, runs at every boot: \$(ls /var/lib/cloud/scripts/per-boot)"
      echo "$1: seed of random numbers from \$(stat -c %y /var/lib/systemd/random-seed)"
      echo "$1: \$(ls /var/lib/docker/containers | wc -l) containers"
      systemctl --failed --no-legend --plain | sed 's/^/$1: failed: /'
      echo "$1: that is all"
    } >/dev/console
END
}
# with_facts LIFE [--unit]: as $dir/seed.iso
with_facts() {
    {
        iso/seed.sh "${@:2}" --print | sed '/^runcmd:$/q'
        facts "$1"
        iso/seed.sh "${@:2}" --print | sed '1,/^runcmd:$/d'
    } >"$dir/user-data"
    seed_of "$dir/user-data"
}
# compressed: the bytes of the disk as it would be shipped; all that is written by then is on it.
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
keep_disk=yes
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/plain.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
before=$(compressed)
mv "$dir/serial.txt" "$dir/serial.plain.txt"

with_facts "first life"
boot --bundle "$dir/finished.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
after=$(compressed)
check "the free space was zeroed, and trimmed" grep -q '^STACK_PROVISION: trimmed /: ' "$dir/serial.txt"
check "compressed, the image has shrunk from $before to $after bytes" test "$after" -lt "$((before * 95 / 100))"
first=$(fact "first life" 'machine-id \(.*\)')
mv "$dir/serial.txt" "$dir/serial.first.txt"

# It provisions itself again, through the unit.
with_facts "second life" --unit
boot --again --bundle "$dir/finished.iso" --seed "$dir/seed.iso"
check "cloud-init ran anew" says "second life: that is all"
check "for it there was no instance before" says "second life: the instance before was NO_PREVIOUS_INSTANCE_ID"
second=$(fact "second life" 'machine-id \(.*\)')
check "the machine's id, ${second:-none}, is another than ${first:-none}" test -n "$first" -a -n "$second" -a "$first" != "$second"
check "nothing of the first life runs at every boot" says "1 instances, runs at every boot: "
check "no unit failed" test "$(grep -c '^second life: failed' "$dir/serial.txt")" -eq 0
ends_in STACK_CLOUD_INIT_DONE
check "the images were there already" test "$(grep -c 'images.tar.zst loaded' "$dir/serial.txt")" -eq 0
mv "$dir/serial.txt" "$dir/serial.second.txt"

# And as what it was built for: a machine of its own, without a bundle.
{
    echo '#cloud-config'
    echo 'runcmd:'
    facts "third life"
    echo '  - systemctl poweroff'
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --again --seed "$dir/seed.iso"
check "cloud-init ran anew after the unit's run, too" says "third life: that is all"
check "for it, too, there was no instance before" says "third life: the instance before was NO_PREVIOUS_INSTANCE_ID"
third=$(fact "third life" 'machine-id \(.*\)')
check "the machine's id is a third one" test -n "$third" -a "$third" != "$second" -a "$third" != "$first"
check "the stack is in it" test "$(fact "third life" '\(.*\) containers')" -gt 0
check "guestbake did nothing" test "$(grep -c STACK_PROVISION "$dir/serial.txt")" -eq 0
rm -f "$disk"
