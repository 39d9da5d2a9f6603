#!/bin/sh
# Makes the seed that cloud-init's NoCloud reads: seed.sh [--unit] OUT.iso | seed.sh [--unit] --print
#   --unit    guestbake runs as a systemd service instead of from runcmd
#   --print   the complete user-data on standard output
# Needs xorriso or genisoimage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    echo "usage: seed.sh [--unit] OUT.iso | seed.sh [--unit] --print" >&2
    exit 64
}

template=user-data out=
while [ $# -gt 0 ]; do
    case $1 in
        --unit) template=user-data.unit ;;
        --print) out=- ;;
        -*) usage ;;
        *)
            [ -z "$out" ] || usage
            out=$1
            ;;
    esac
    shift
done
[ -n "$out" ] || usage

# A line that is only @FILE@ becomes that file, indented as the line is.
user_data() {
    while IFS= read -r line; do
        case $line in
            *@bootstrap.sh@ | *@cloud-init-why.py@)
                file=${line#*@}
                file=$here/${file%@}
                ;;
            *@guestbake*.service@)
                file=${line#*@}
                file=$here/../systemd/${file%@}
                ;;
            *)
                printf '%s\n' "$line"
                continue
                ;;
        esac
        sed "s/^./${line%%@*}&/" "$file"
    done <"$here/$template"
}

if [ "$out" = - ]; then
    user_data
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
user_data >"$work/user-data"
cp "$here/meta-data" "$work/meta-data"
. "$here/mkisofs.sh"
make_iso cidata "$out" "$work"
