#!/bin/bash
# Makes the bundle of a stack in config/: stack-bundle.sh postfixadmin|mosquitto OUT.iso, in a folder beside it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

stack=$1 iso=$2
dir=${iso%.iso}
rm -rf "$dir"
mkdir -p "$dir"
echo STACK_EMULATOR_BUILD_ARCH=amd64 >"$dir/build-arch.env"
cp "$top/config/$stack.toml" "$dir/guestbake.toml"
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
case $stack in
    postfixadmin)
        printf '%s\n' DATABASE_HOST=mariadb MARIADB_DATABASE=postfix MARIADB_USER=postfixadmin "MARIADB_PASSWORD=$password"
        ;;
    mosquitto) printf '%s\n' MQTT_HOST=broker MQTT_USER=meter "MQTT_PASSWORD=$password" ;;
    *)
        echo "stack-bundle.sh: no stack '$stack' (postfixadmin, mosquitto)" >&2
        exit 64
        ;;
esac >"$dir/build.env"
ln -s "$top/target/vm/images-amd64/$stack.tar.zst" "$dir/$stack.tar.zst"
ln -s "$top/target/guestbake-amd64" "$dir/guestbake"
"$top/iso/bundle.sh" "$dir" "$iso"
