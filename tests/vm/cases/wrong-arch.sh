#!/bin/bash
# A program for another architecture cannot say a word: the bootstrap does.
. tests/vm/case.sh

mkdir -p "$dir/bundle"
# The other one, and its machine type in the ELF header.
case $arch in
    amd64) other=arm64 machine='\267\000' ;;
    arm64) other=amd64 machine='\076\000' ;;
esac
echo "STACK_EMULATOR_BUILD_ARCH=$other" >"$dir/bundle/build-arch.env"
: >"$dir/bundle/guestbake.toml"
cp "$program" "$dir/bundle/guestbake"
# shellcheck disable=SC2059 # octal
printf "$machine" | dd of="$dir/bundle/guestbake" bs=1 seek=18 conv=notrunc status=none
iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"wrong_architecture"'
