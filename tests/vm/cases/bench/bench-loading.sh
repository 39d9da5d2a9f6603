#!/bin/bash
# What loading an image costs in the guest: the way it is done in shell, by the engine alone, and by guestbake. All in one
# boot, in changing order, with the image removed between.
#   GUESTBAKE_BENCH_ROUNDS    how often (2)
#   GUESTBAKE_BENCH_ARCHIVE   another archive in target/vm/images-ARCH than the large bench.tgz; images.tar.zst is the demo's
# images: bench
. tests/vm/case.sh
. iso/mkisofs.sh

limit=${GUESTBAKE_VM_TIMEOUT:-7200}
rounds=${GUESTBAKE_BENCH_ROUNDS:-2}
archive=${GUESTBAKE_BENCH_ARCHIVE:-bench.tgz}

# unpack FILE
unpack() {
    case $1 in
        *.zst) zstd -qdc "$1" ;;
        *.tgz) gzip -dc "$1" ;;
        *) cat "$1" ;;
    esac
}

# The bundle as anybody's; what the other ways load lies on a disk of its own.
mkdir -p "$dir/bundle" "$dir/ways"
unpack "$images/$archive" >"$dir/ways/img.tar"
gzip -n <"$dir/ways/img.tar" >"$dir/ways/img.tgz"
echo "STACK_EMULATOR_BUILD_ARCH=$arch" >"$dir/bundle/build-arch.env"
ln -s "$program" "$dir/bundle/guestbake"
ln -s "$images/$archive" "$dir/bundle/$archive"
printf '[images]\narchives = ["%s"]\n' "$archive" >"$dir/bundle/guestbake.toml"
iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
# The guest has no docker command; one is in the large image.
gzip -dc "$images/bench.tgz" | tar -xO --wildcards '*/layer.tar' | tar -xO usr/bin/docker >"$dir/ways/docker"
cp "$vm/bench-loading-guest.sh" "$dir/ways/"
make_iso WAYS "$dir/ways.iso" "$dir/ways"
size=$(du -h "$dir/ways/img.tar" | cut -f1)
rm "$dir/ways/img.tar" "$dir/ways/img.tgz"

cat >"$dir/user-data" <<END
#cloud-config
runcmd:
  - |
    mkdir -p /bundle /ways
    mount -o ro /dev/disk/by-label/STACKBUNDLE /bundle
    mount -o ro /dev/disk/by-label/WAYS /ways
    bash /ways/bench-loading-guest.sh $rounds >/dev/console 2>&1
    systemctl poweroff
END
seed_of "$dir/user-data"
start --bundle "$dir/bundle.iso" --seed "$dir/seed.iso" -- -drive "if=virtio,file=$dir/ways.iso,format=raw,readonly=on"

# Hundredths of a second of processor time.
qemu_used() {
    sed 's/.*) //' "/proc/$qemu/stat" | awk '{ print $12 + $13 }'
}
# What QEMU has used when the guest says that a way begins and ends: beside other work on this machine, the guest's own
# clock counts the time in which it had no processor.
: >"$dir/loads"
timeout "$limit" tail -n +1 -F --pid "$qemu" "$dir/serial.log" 2>/dev/null | sed -u 's/\r//' | while read -r word what way rest; do
    [ "$word" = bench-loading ] || continue
    used=$(qemu_used)
    case $what in
        begin) before=$used ;;
        end)
            echo "$way $rest $((used - before))" >>"$dir/loads"
            echo "   $way: $(((used - before) / 100)) s"
            ;;
    esac
done
until_end

# Each line of loads: way, exit code, digest of the images, and in hundredths of a second the guest's processors, elapsed, QEMU's.
check "every way loaded it $rounds times" test "$(awk '$2 == 0' "$dir/loads" | wc -l)" -eq $((3 * rounds))
check "and each time the same" test "$(cut -d' ' -f3 "$dir/loads" | sort -u | wc -l)" -eq 1
if [ "$accel" = tcg ]; then
    # shellcheck disable=SC2016 # awk's own
    check "guestbake takes less than the engine alone" \
        awk '{ used[$1] += $6 } END { exit !(used["guestbake"] < used["engine"]) }' "$dir/loads"
fi
awk -v arch="$arch" -v accel="$accel" -v size="$size" '
    {
        guest[$1] += $4; wall[$1] += $5; qemu[$1] += $6
        each[$1] = each[$1] (n[$1]++ ? ", " : "") sprintf("%.0f", $6 / 100)
    }
    END {
        printf "   %sB of images loaded in one %s guest (%s), means in seconds of processor time and elapsed:\n", size, arch, accel
        printf "   %-10s %10s %8s %10s %10s %8s   %s\n", "", "QEMU", "ratio", "guest", "elapsed", "ratio", "QEMU, each"
        split("shell engine guestbake", ways)
        for (i = 1; i in ways; i++) {
            w = ways[i]
            if (n[w]) printf "   %-10s %10.1f %8.2f %10.1f %10.1f %8.2f   %s\n", w, qemu[w] / n[w] / 100,
                qemu[w] / n[w] / qemu["shell"] * n["shell"], guest[w] / n[w] / 100, wall[w] / n[w] / 100,
                wall[w] / n[w] / wall["shell"] * n["shell"], each[w]
        }
    }' "$dir/loads"
