#!/bin/bash
# Builds the container images of the demo and of the tests from Debian's packages; no engine is needed.
#   images.sh [amd64|arm64] [demo] [tools] [postfixadmin] [mosquitto] [bench]    ->  target/vm/images-ARCH/…
#   demo    images.tar.zst: Postgres, Valkey, Miniflux
#   tools   tools.tar: a shell and its tools; stack-auth.tgz, stack-auth-failing.tgz: stand-ins for Stack Auth's emulator;
#           shell-way.tar: the wait as it is done in shell
#   postfixadmin, mosquitto    postfixadmin.tar.zst, mosquitto.tar.zst
#   bench   bench.tgz: one large layer, a Debian with Postgres, Node.js, Python, git and the docker command
# Kept, and built again only when something they are made from has changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
. "$here/debian-root.sh"
arch=amd64
case ${1:-} in
    amd64 | arm64)
        arch=$1
        shift
        ;;
esac
out=$here/../../target/vm/images-$arch
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ "$(id -u)" -ne 0 ]; then
    echo "images.sh: run as root: it makes Debian roots with chroot" >&2
    exit 1
fi

# build NAME=ARCHIVE… -- PACKAGE…: a Debian root with the packages, and of it each archive as images/NAME.json says.
build() {
    local -A names=()
    local archives=() archive kept=yes
    while [ "$1" != -- ]; do
        archives+=("${1#*=}")
        names[${1#*=}]=${1%%=*}
        shift
    done
    shift
    stamp=$(cat "$here/images.sh" "$here/apt.sh" "$here/debian-root.sh" "$here"/images/* | sha256sum | cut -d' ' -f1)
    for archive in "${archives[@]}"; do
        if ! [ -s "$out/$archive" ] || [ "$(cat "$out/$archive.stamp" 2>/dev/null)" != "$stamp" ]; then
            kept=no
        fi
    done
    if [ "$kept" = yes ]; then
        (cd "$out" && echo "kept: $(du -h "${archives[@]}" | tr '\t\n' '  ')")
        return
    fi
    work=$(mktemp -d "$out/root.XXXXXX")
    # shellcheck disable=SC2064 # this folder
    trap "rm -rf '$work'" EXIT
    echo "building ${archives[*]} for $arch from $* of Debian $DEBIAN_SUITE"
    # shellcheck disable=SC2016 # for mmdebstrap's shell
    debian_root "$arch" "$work/root" "$work/log" --lists \
        --customize-hook='chroot "$1" busybox --list >"$1/etc/busybox-applets"' -- "$@"
    for archive in "${archives[@]}"; do
        name=${names[$archive]}
        python3 "$here/images/pack.py" "$arch" "$work/root" "$here/images/$name.json" "$work/$name.tar"
        case $archive in
            *.zst) zstd -q -T0 -9 "$work/$name.tar" -o "$work/$archive" ;;
            *.tgz) gzip -n <"$work/$name.tar" >"$work/$archive" ;;
        esac
        rm -f "$out/$archive" "$out/$archive.stamp"
        mv "$work/$archive" "$out/$archive"
        echo "$stamp" >"$out/$archive.stamp"
        echo "built: $archive ($(du -h "$out/$archive" | cut -f1))"
    done
    rm -rf "$work"
    trap - EXIT
}

if [ $# -eq 0 ]; then
    set -- demo tools
fi
for what in "$@"; do
    case $what in
        demo) build demo=images.tar.zst -- postgresql-17 valkey-server miniflux busybox-static ;;
        tools)
            build tools=tools.tar stack-auth=stack-auth.tgz stack-auth-failing=stack-auth-failing.tgz \
                shell-way=shell-way.tar -- busybox-static bash coreutils curl netcat-openbsd
            ;;
        postfixadmin)
            # The web server and the set-up of a database that the package asks for are not what it runs with here.
            build postfixadmin=postfixadmin.tar.zst -- mariadb-server-core mariadb-client postfixadmin \
                dbconfig-no-thanks micro-httpd php8.4-cli php8.4-mysql php8.4-mbstring smarty4 busybox-static
            ;;
        mosquitto)
            build mosquitto=mosquitto.tar.zst -- mosquitto mosquitto-clients python3-paho-mqtt python3-minimal \
                busybox-static
            ;;
        bench)
            build bench=bench.tgz -- postgresql-17 valkey-server miniflux nodejs python3-minimal git docker-cli \
                busybox-static
            ;;
        *)
            echo "images.sh: unknown images '$what' (demo, tools, postfixadmin, mosquitto, bench)" >&2
            exit 64
            ;;
    esac
done
