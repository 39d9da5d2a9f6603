#!/usr/bin/env bash
# The engine tests on the engines of other releases, each out of a Debian root of its own: engines.sh [NAME…], without
# names all of them. The roots are kept in target/engines. NAME is docker-SUITE, podman-SUITE, or docker-SUITE+containerd
# with containerd's image store.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/tests/vm
# shellcheck source=tests/vm/apt.sh
. tests/vm/apt.sh
roots=$PWD/target/engines

if [ $# -eq 0 ]; then
    set -- docker-trixie docker-trixie+containerd podman-bookworm podman-trixie
fi
"$here/prerequisites.sh" build engine
mkdir -p "$roots"
failed=
for name in "$@"; do
    case $name in
        docker-*) packages=docker.io,iptables ;;
        podman-*) packages=podman,crun,netavark,aardvark-dns,iptables,nftables ;;
        *)
            echo "engines.sh: no engine '$name' (docker-SUITE, docker-SUITE+containerd, podman-SUITE)" >&2
            exit 64
            ;;
    esac
    engine=${name%+*}
    root=$roots/$engine
    config='{}'
    if [ "$engine" != "$name" ]; then
        config='{"features": {"containerd-snapshotter": true}}'
    fi
    if [ ! -d "$root" ]; then
        echo "fetching $engine"
        rm -rf "$root.part"
        mmdebstrap --quiet --variant=minbase --keyring="$DEBIAN_KEYRING" --include="$packages" \
            "${engine#*-}" "$root.part" "$(debian_mirror)" >"$root.log" 2>&1 || {
            tail -n 20 "$root.log" >&2
            exit 1
        }
        mv "$root.part" "$root"
    fi
    echo "--- $name ---"
    GUESTBAKE_TEST_ENGINE=${name%%-*} GUESTBAKE_TEST_ENGINE_ROOT=$root GUESTBAKE_TEST_DAEMON_JSON=$config \
        tests/on-engine.sh || failed="$failed $name"
done
if [ -n "$failed" ]; then
    echo "failed:$failed" >&2
    exit 1
fi
