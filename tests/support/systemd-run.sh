#!/bin/sh
# In the place of systemd: starts what it is told to outside of the processes of whoever asks, and returns.
while :; do
    case $1 in
        -p) shift 2 ;;
        --setenv=*)
            export "${1#*=}"
            shift
            ;;
        -*) shift ;;
        *) break ;;
    esac
done
setsid "$@" </dev/null >/dev/null 2>&1 &
