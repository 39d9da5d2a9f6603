#!/bin/bash
# Fetches Docker Compose from Debian's packages, to compare with: prints the path of the program.
# Kept under target/peer; nothing is installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/vm/apt.sh"
out=$here/../target/peer
mkdir -p "$out"
out=$(cd "$out" && pwd)
program=$out/docker-compose
if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
work=$(mktemp -d "$out/apt.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
echo "deb [signed-by=$DEBIAN_KEYRING] $(debian_mirror) $DEBIAN_SUITE main" >"$work/sources.list"
apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=$work/parts"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
    -o Acquire::Languages=none)
{
    "${apt[@]}" update
    cd "$work" && "${apt[@]}" download docker-compose
} >&2
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
find "$work/root" -name docker-compose -type f -perm -u+x -exec cp {} "$program.part" \;
mv "$program.part" "$program"
echo "$program"
