#!/bin/bash
# The demo's bundle on Docker with containerd's image store, under systemd and cgroup v2.
# images: demo
. tests/vm/case.sh

"$vm/demo-bundle.sh" "$arch" "$dir/bundle.iso"
prepared >"$dir/user-data" <<'END'
mkdir -p /etc/docker
echo '{"features": {"containerd-snapshotter": true}}' >/etc/docker/daemon.json
systemctl restart docker
END
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "it was containerd's store" grep -q '^STACK_PROVISION: engine 26.*overlayfs' "$dir/serial.txt"
check "Postgres was waited for" grep -q '^STACK_PROVISION: postgres ready (' "$dir/serial.txt"
check "the migrations ran" says "STACK_PROVISION: stage migrations done"
