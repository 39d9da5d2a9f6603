#!/bin/bash
# A folder with a Compose file, and a plan of migrations and a smoke test, in two commands: iso/compose.sh and the VM.
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

# The engine of whoever works on the stack: it has the images.
engine=$(mktemp -d /tmp/guestbake-engine-XXXXXX)
mkdir "$engine/data"
echo '{}' >"$engine/daemon.json"
unique=${engine##*/}
# It ends with this shell, or when it is told to.
mkfifo "$dir/hold"
sh tests/support/engine.sh "$engine" 0 dockerd --host="unix://$engine/socket" --data-root="$engine/data" \
    --exec-root="$engine/exec" --pidfile="$engine/pid" --config-file="$engine/daemon.json" --bridge=none \
    --iptables=false --containerd-namespace="$unique" --containerd-plugins-namespace="$unique-plugins" \
    --cgroup-parent="/$unique" <"$dir/hold" >/dev/null &
keeper=$!
exec 9>"$dir/hold"
mkdir "$dir/load"
echo STACK_EMULATOR_BUILD_ARCH=amd64 >"$dir/load/build-arch.env"
ln "$top/target/vm/images-amd64/images.tar.zst" "$dir/load/images.tar.zst"
printf '[images]\narchives = ["images.tar.zst"]\n' >"$dir/load/guestbake.toml"
"$program" run --bundle "$dir/load" --docker-host "unix://$engine/socket" --no-power-off --console "$dir/load.log" \
    --log "$dir/load.provision.log" --report "$dir/load.json" --state-dir "$dir/load.state" >/dev/null
iso/compose.sh "$dir/stack" "$dir/bundle.iso" --docker-host "unix://$engine/socket"
exec 9>&-
wait "$keeper" || true

iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "a health check of the Compose file was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "a service without one too" grep -q '^STACK_PROVISION: valkey ready (' "$dir/serial.txt"
check "a service of another profile is left out" test "$(grep -Fc 'container miniflux started' "$dir/serial.txt")" -eq 0
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
check "keeps the password to itself" test "$(grep -Fc "$password" "$dir/serial.txt")" -eq 0
