#!/bin/bash
# What waiting costs in the guest: guestbake beside the loop as it is written in shell, five services each.
. tests/vm/case.sh

mkdir -p "$dir/bundle"
echo "STACK_EMULATOR_BUILD_ARCH=$arch" >"$dir/bundle/build-arch.env"
ln -s "$program" "$dir/bundle/guestbake"
ln -s "$images/stack-auth.tgz" "$images/shell-way.tar" "$dir/bundle/"
cp "$vm/cpu-share-guest.sh" "$dir/bundle/"
cat >"$dir/bundle/services.toml" <<'END'
[images]
archives = ["stack-auth.tgz", "shell-way.tar"]
[containers.deps]
image = "stack-local-emulator"
network_mode = "host"
environment = { STACK_DEPS_ONLY = "true", STANDIN_LATER_START = "yes" }
volumes = ["/data/postgres", "/data/redis", "/data/clickhouse", "/data/minio", "/data/inbucket"]
stop_grace_period = "0s"
END
{
    cat "$dir/bundle/services.toml"
    # The five services of Stack Auth's plan, without what only shells of a container can see.
    sed -n '/^\[wait\]/,/^name = "init-services"/p' config/stack-auth.toml | sed -e '/^# The script/,$d' -e '/^stable/d'
} >"$dir/bundle/five.toml"
{
    cat "$dir/bundle/services.toml"
    cat <<'END'
[containers.loop]
image = "guestbake-test/shell-way"
network_mode = "host"
volumes = ["/bench:/bench"]
[wait]
[[wait.services]]
name = "loop"
container = "loop"
completed = true
END
} >"$dir/bundle/shell.toml"
cp "$dir/bundle/five.toml" "$dir/bundle/guestbake.toml"
iso/bundle.sh "$dir/bundle" "$dir/bundle.iso"
cat >"$dir/user-data" <<'END'
#cloud-config
runcmd:
  - |
    mkdir -p /bundle
    mount -o ro /dev/disk/by-label/STACKBUNDLE /bundle
    bash /bundle/cpu-share-guest.sh /bundle >/dev/console 2>&1
    systemctl poweroff
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"

# share WHO: of one core, in percent.
share() {
    awk -v who="$1" '$1 == "cpu-share" && $2 == who { printf "%.3f", 100 * $3 / $4 }' "$dir/serial.txt"
}
echo "   five services that come within 22 s, waited for in the $arch guest ($accel):"
printf '   %-10s %14s %14s %14s\n' '' 'processor' 'elapsed' 'of one core'
awk '$1 == "cpu-share" { printf "   %-10s %11.3f s %12.1f s %12.2f %%\n", $2, $3 / 1e6, $4 / 1e6, 100 * $3 / $4 }' "$dir/serial.txt"
shell=$(share shell) own=$(share guestbake)
check "both were measured" test -n "$shell" -a -n "$own"
if [ "$accel" = tcg ] && [ -n "$shell" ] && [ -n "$own" ]; then
    check "takes less than 1 % of a core" awk "BEGIN { exit !($own < 1) }"
    check "takes less than a twentieth of the shell way's" awk "BEGIN { exit !($own * 20 < $shell) }"
fi
