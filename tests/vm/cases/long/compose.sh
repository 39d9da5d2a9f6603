#!/bin/bash
# The demo's stack as a Compose folder, whose plan adds migrations and a smoke test: in two commands (iso/compose.sh and the
# VM) to DONE; and on an engine of this machine, line by line the same run as the demo's TOML plan gives.
# images: demo
. tests/vm/case.sh

"$vm/prerequisites.sh" engine
mkdir -p "$dir/stack"
cp config/miniflux-compose/* "$dir/stack/"
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$dir/stack/build.env" <<END
POSTGRES_USER=miniflux
POSTGRES_PASSWORD='$password' # quoted, as Compose has it
POSTGRES_DB=miniflux
DATABASE_URL="postgres://\${POSTGRES_USER}:$password@127.0.0.1:5432/miniflux?sslmode=disable"
END

# shellcheck source=tests/vm/natively.sh
. "$vm/natively.sh"
mkdir "$dir/toml"
echo "STACK_EMULATOR_BUILD_ARCH=$arch" >"$dir/toml/build-arch.env"
cp config/miniflux.toml "$dir/toml/guestbake.toml"
cat >"$dir/toml/build.env" <<END
POSTGRES_USER=miniflux
POSTGRES_PASSWORD=$password
POSTGRES_DB=miniflux
DATABASE_URL=postgres://miniflux:$password@127.0.0.1:5432/miniflux?sslmode=disable
END
ln "$images/images.tar.zst" "$dir/toml/"
natively toml "$dir/toml"
iso/compose.sh "$dir/stack" "$dir/bundle.iso" --docker-host "unix://$engine/socket"
unpack "$dir/bundle.iso" "$dir/compose"
natively compose "$dir/compose"
end_engine
# Postgres is probed twice by the TOML plan, and once by the Compose file's health check.
check "is the run that the TOML plan gives" diff <(grep -v '^postgres-queries ready' "$dir/toml.lines") "$dir/compose.lines"
check "and that is one to DONE, with its smoke test" test \
    "$(grep -Fcx -e 'miniflux ready' -e STACK_CLOUD_INIT_DONE "$dir/compose.lines")" -eq 2

iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "a health check of the Compose file was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "a service without one too" grep -q '^STACK_PROVISION: valkey ready (' "$dir/serial.txt"
check "a service of another profile is left out" test "$(grep -Fc 'container miniflux started' "$dir/serial.txt")" -eq 0
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
check "keeps the password to itself" test "$(grep -Fc "$password" "$dir/serial.txt")" -eq 0
