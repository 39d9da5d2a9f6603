#!/bin/bash
# Makes the demo's bundle: demo-bundle.sh amd64|arm64 [failure] OUT.iso, in a folder beside it.
#   failure   Postgres is told to load a library that does not exist, so it dies soon after its start
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

arch=$1
shift
kind=success
if [ "${1:-}" = failure ]; then
    kind=failure
    shift
fi
iso=$1
dir=${iso%.iso}
rm -rf "$dir"
mkdir -p "$dir"
# Only the architecture: that the guest is emulated is to be found out in the guest.
echo STACK_EMULATOR_BUILD_ARCH="$arch" >"$dir/build-arch.env"
case $kind in
    success) cp "$top/config/miniflux.toml" "$dir/guestbake.toml" ;;
    failure)
        sed 's/"listen_addresses=127.0.0.1"/&, "-c", "shared_preload_libraries=pg_stat_statments"/' \
            "$top/config/miniflux.toml" >"$dir/guestbake.toml"
        grep -q pg_stat_statments "$dir/guestbake.toml"
        ;;
esac
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$dir/build.env" <<END
POSTGRES_USER=miniflux
POSTGRES_PASSWORD=$password
POSTGRES_DB=miniflux
DATABASE_URL=postgres://miniflux:$password@127.0.0.1:5432/miniflux?sslmode=disable
END
ln -s "$top/target/vm/images-$arch/images.tar.zst" "$dir/images.tar.zst"
ln -s "$top/target/guestbake-$arch" "$dir/guestbake"
"$top/iso/bundle.sh" "$dir" "$iso"
