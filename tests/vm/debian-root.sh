# shellcheck shell=bash
# Sourced, after apt.sh: Debian roots of any architecture, made without running a single program of a foreign one.

# What no image and no guest of these tests reads.
DEBIAN_WITHOUT=(
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
)

# Which files are whose, as dpkg would have noted.
# shellcheck disable=SC2016 # for mmdebstrap's shell
DEBIAN_LISTS='for deb in "$1"/var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -t | sed "s,^\.,,; s,/$,," >"$1/var/lib/dpkg/info/$(dpkg-deb -f "$deb" Package).list"
done'

# debian_root ARCH ROOT LOG [--lists] [MMDEBSTRAP-OPTION…] -- PACKAGE…
# A configured root with the packages. The options are for the root whose maintainer scripts run. With --lists it can be
# told in any root which files are of which package.
#
# For a foreign architecture that is one of this machine's own, where they take seconds instead of the quarter of an hour
# they take under qemu-user. The packages of the other architecture are only unpacked, and what the scripts made is put
# over them: users, links, enabled units, byte code, none of which depends on the architecture.
debian_root() {
    local arch=$1 root=$2 log=$3 here options=() unpacking=()
    here=$(dpkg --print-architecture)
    shift 3
    while [ "$1" != -- ]; do
        case $1 in
            --lists) unpacking=(--extract-hook="$DEBIAN_LISTS") ;;
            *) options+=("$1") ;;
        esac
        shift
    done
    shift
    if [ "$arch" = "$here" ]; then
        debian_bootstrap "$here" "$root" "$log" minbase "${options[@]}" --include="$(debian_list "$@")"
        return
    fi
    local configured=$root.configured native=()
    for package in "$@"; do
        # A kernel is named after its architecture, and has no scripts that matter here.
        case $package in
            *-"$arch") ;;
            *) native+=("$package") ;;
        esac
    done
    echo "  configured on $here, where $arch's maintainer scripts cannot run"
    debian_bootstrap "$here" "$configured" "$log" minbase "${options[@]}" --include="$(debian_list "${native[@]}")"
    local required
    # shellcheck disable=SC2016 # dpkg's own variables
    required=$(dpkg-query --admindir="$configured/var/lib/dpkg" -W -f '${Priority} ${Package}\n' | sed -n 's/^required //p')
    echo "  $arch's packages unpacked"
    # shellcheck disable=SC2086 # a list of package names
    debian_bootstrap "$arch" "$root" "$log" extract "${unpacking[@]}" --include='?essential' \
        --include="$(debian_list $required "$@")"
    # Where scripts put a link in a package's folder's place (/var/run), the folder has to go first.
    find "$configured" -xdev -type l -printf '%P\n' | while read -r link; do
        if [ -d "$root/$link" ] && [ ! -L "$root/$link" ]; then
            rmdir "$root/$link"
            cp -P "$configured/$link" "$root/$link"
        fi
    done
    debian_made "$configured" | tar -C "$configured" --null --no-recursion -T - -c |
        tar -C "$root" --keep-directory-symlink -x
    rm -rf "$configured"
}

debian_list() {
    local IFS=,
    echo "$*"
}

# debian_bootstrap ARCH ROOT LOG VARIANT OPTION…
debian_bootstrap() {
    local arch=$1 root=$2 log=$3 variant=$4
    shift 4
    if ! mmdebstrap --quiet --variant="$variant" --architectures="$arch" --keyring="$DEBIAN_KEYRING" \
        "${DEBIAN_WITHOUT[@]}" "$@" "$DEBIAN_SUITE" "$root" "$(debian_mirror)" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        return 1
    fi
}

# What the maintainer scripts and hooks made, each name ended by a zero: all of /etc but the linker's, and elsewhere what
# no package owns.
debian_made() {
    (
        cd "$1" || exit
        find . -xdev -mindepth 1 \( -path ./var/lib/dpkg -o -path ./var/cache -o -path ./etc/ld.so.conf.d \
            -o -path ./etc/ld.so.cache -o -path ./boot -o -path '*-linux-gnu*' \) -prune -o -printf '%P\n' |
            LC_ALL=C sort |
            # Names below the links of the merged /usr are the same files.
            awk 'NR == FNR { sub(/^\//, ""); if ($0 ~ /^(bin|sbin|lib|lib64)\//) $0 = "usr/" $0; owned[$0]; next }
                /^etc\// || !($0 in owned)' <(cat var/lib/dpkg/info/*.list) - |
            tr '\n' '\0'
    )
}
