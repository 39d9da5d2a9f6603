#!/bin/bash
# Builds target/guestbake-ARCH without interpreter or shared library: static.sh amd64|arm64
# For the other architecture than this machine's it takes a cross linker and a Rust standard library; prerequisites.sh
# installs them. Without them it says what is missing and builds nothing, which is no error.
set -eu
cd "$(dirname "$0")/../.."
arch=$1
flags='-C target-feature=+crt-static'
case $arch in
    amd64) target=x86_64-unknown-linux-gnu machine=x86_64 ;;
    arm64) target=aarch64-unknown-linux-gnu machine=aarch64 ;;
    *)
        echo "usage: static.sh amd64|arm64" >&2
        exit 64
        ;;
esac
linker=$machine-linux-gnu-gcc
# Cargo locks a target folder while it builds: with one for each, `make -j2 static` builds both at once.
target_dir=target/cross
if [ "$(uname -m)" = "$machine" ]; then
    linker=cc
    target_dir=target
elif ! command -v "$linker" >/dev/null; then
    echo "no target/guestbake-$arch: $linker is not installed"
    exit 0
fi
rustc=
for candidate in "$(command -v rustc)" /usr/bin/rustc; do
    if compgen -G "$("$candidate" --print target-libdir --target "$target" 2>/dev/null)/libstd-*.rlib" >/dev/null; then
        rustc=$candidate
        break
    fi
done
if [ -z "$rustc" ]; then
    echo "no target/guestbake-$arch: no Rust standard library for $target"
    exit 0
fi
if [ "$arch" = amd64 ]; then
    # Relocations in their short form and equal functions folded: half a megabyte of 6, where the linker knows them.
    trial=$(mktemp)
    for option in -z,pack-relative-relocs --icf=all; do
        # shellcheck disable=SC2086 # options
        if echo 'fn main() {}' | "$rustc" --target "$target" $flags -C "link-arg=-Wl,$option" -o "$trial" - 2>/dev/null; then
            flags="$flags -C link-arg=-Wl,$option"
        fi
    done
    rm -f "$trial"
fi
RUSTC="$rustc" RUSTFLAGS="$flags" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    "${CARGO:-cargo}" build --release --locked --no-default-features --target "$target" --target-dir "$target_dir"
cp -f "$target_dir/$target/release/guestbake" "target/guestbake-$arch"
