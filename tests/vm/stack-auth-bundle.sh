#!/bin/bash
# Makes a bundle of config/stack-auth.toml as it is, with a stand-in for its image:
#   stack-auth-bundle.sh amd64|arm64 stack-auth.tgz|stack-auth-failing.tgz OUT.iso [ACCEL]
# ACCEL is what the bundle says of the guest; without it, that is to be found out, and is $accel.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
arch=$1 archive=$2 iso=$3 said=${4:-}
dir=${iso%.iso}
rm -rf "$dir"
mkdir -p "$dir"
echo "STACK_EMULATOR_BUILD_ARCH=$arch" >"$dir/build-arch.env"
if [ -n "$said" ]; then
    echo "STACK_EMULATOR_BUILD_ACCEL=$said" >>"$dir/build-arch.env"
fi
cp "$top/config/stack-auth.toml" "$dir/guestbake.toml"
# What the stand-in compares with: nothing of a value is taken off or expanded.
echo 'STANDIN_WORD=literal=all of "it"' >"$dir/build.env"
# Whether it is to be called as in an emulated guest.
if [ "${said:-$accel}" = tcg ]; then
    echo STANDIN_EMULATED=yes >>"$dir/build.env"
fi
ln -s "$top/target/vm/images-$arch/$archive" "$dir/img.tgz"
ln -s "$top/target/guestbake-$arch" "$dir/guestbake"
"$top/iso/bundle.sh" "$dir" "$iso"
