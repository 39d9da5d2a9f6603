# shellcheck shell=bash
# Sourced: preparation steps with the time each took.

step() {
    step_name=$1
    step_began=$(date +%s)
    shift
    printf '%s  %s\n' "$(date +%T)" "$step_name"
    "$@" || {
        step_status=$?
        printf '%s  %s: failed (exit %s)\n' "$(date +%T)" "$step_name" "$step_status" >&2
        return "$step_status"
    }
    printf '%s  %s: %ss\n' "$(date +%T)" "$step_name" "$(($(date +%s) - step_began))"
}
