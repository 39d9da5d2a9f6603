#!/bin/bash
# The demo's bundle on the Podman of a user who is not root, under systemd and cgroup v2.
# images: demo
# guest: podman
. tests/vm/case.sh

"$vm/demo-bundle.sh" "$arch" "$dir/bundle.iso"
prepared >"$dir/user-data" <<'END'
loginctl enable-linger baker
id=$(id -u baker)
until [ -S "/run/user/$id/bus" ]; do sleep 1; done
systemctl --machine=baker@ --user enable --now podman.socket
END
with_options --docker-host "unix:///run/user/1000/podman/podman.sock"
seed_of "$dir/user-data"
boot --engine podman --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "it was the user's engine" \
    grep -q '^STACK_PROVISION: engine .* data in /home/baker/.* answers at unix:///run/user/1000/podman' "$dir/serial.txt"
check "Postgres was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
