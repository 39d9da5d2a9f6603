#!/bin/bash
# A program for another architecture cannot say a word: the bootstrap does.
. tests/vm/case.sh

mkdir -p "$dir/bundle"
echo STACK_EMULATOR_BUILD_ARCH=arm64 >"$dir/bundle/build-arch.env"
: >"$dir/bundle/guestbake.toml"
cp "$program" "$dir/bundle/guestbake"
# The machine type in the ELF header: AArch64.
printf '\267\000' | dd of="$dir/bundle/guestbake" bs=1 seek=18 conv=notrunc status=none
iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"wrong_architecture"'
