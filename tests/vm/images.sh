#!/bin/bash
# Builds the container images of the demo and of the tests from Debian's packages; no engine is needed.
#   images.sh [demo] [tools] [postfixadmin] [mosquitto]
#       ->  target/vm/images-amd64/images.tar.zst, tools.tar, postfixadmin.tar.zst, mosquitto.tar.zst
# Kept, and built again only when something they are made from has changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
out=$here/../../target/vm/images-amd64
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ "$(id -u)" -ne 0 ]; then
    echo "images.sh: run as root: it makes Debian roots with chroot" >&2
    exit 1
fi

# build NAME OUTPUT PACKAGE…: a Debian root with the packages, packed as images/NAME.json says.
build() {
    name=$1 output=$2
    shift 2
    stamp=$(cat "$here/images.sh" "$here/apt.sh" "$here"/images/* | sha256sum | cut -d' ' -f1)
    if [ -s "$output" ] && [ "$(cat "$output.stamp" 2>/dev/null)" = "$stamp" ]; then
        echo "kept: ${output##*/} ($(du -h "$output" | cut -f1))"
        return
    fi
    rm -f "$output" "$output.stamp"
    root=$(mktemp -d "$out/root.XXXXXX")
    # shellcheck disable=SC2064 # this root
    trap "rm -rf '$root'" EXIT
    echo "building the $name images from $* of Debian $DEBIAN_SUITE"
    if ! mmdebstrap --quiet --variant=minbase --architectures=amd64 --keyring="$DEBIAN_KEYRING" \
        --include="$(IFS=,; echo "$*")" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$DEBIAN_SUITE" "$root" "$(debian_mirror)" >"$out/$name.log" 2>&1; then
        tail -n 20 "$out/$name.log" >&2
        return 1
    fi
    case $output in
        *.zst)
            python3 "$here/images/pack.py" "$root" "$here/images/$name.json" "$out/$name.part.tar"
            zstd -q -f -T0 -9 "$out/$name.part.tar" -o "$output.part"
            rm "$out/$name.part.tar"
            ;;
        *) python3 "$here/images/pack.py" "$root" "$here/images/$name.json" "$output.part" ;;
    esac
    mv "$output.part" "$output"
    echo "$stamp" >"$output.stamp"
    rm -rf "$root"
    trap - EXIT
    echo "built: ${output##*/} ($(du -h "$output" | cut -f1))"
}

if [ $# -eq 0 ]; then
    set -- demo tools
fi
for what in "$@"; do
    case $what in
        demo) build demo "$out/images.tar.zst" postgresql-17 valkey-server miniflux busybox-static ;;
        postfixadmin)
            # The web server and the set-up of a database that the package asks for are not what it runs with here.
            build postfixadmin "$out/postfixadmin.tar.zst" mariadb-server-core mariadb-client postfixadmin \
                dbconfig-no-thanks micro-httpd php8.4-cli php8.4-mysql php8.4-mbstring smarty4 busybox-static
            ;;
        mosquitto)
            build mosquitto "$out/mosquitto.tar.zst" mosquitto mosquitto-clients python3-paho-mqtt python3-minimal \
                busybox-static
            ;;
        tools) build tools "$out/tools.tar" busybox-static ;;
        *)
            echo "images.sh: unknown images '$what' (demo, tools, postfixadmin, mosquitto)" >&2
            exit 64
            ;;
    esac
done
