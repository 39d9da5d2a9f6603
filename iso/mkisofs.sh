# shellcheck shell=sh
# Sourced: make_iso LABEL OUT.iso PATH…, with whichever of the two programs is there.
# Links are followed. Rock Ridge keeps names and modes, Joliet is for those who cannot read it.
make_iso() {
    iso_label=$1 iso_out=$2
    shift 2
    iso_log=$(mktemp)
    if command -v xorriso >/dev/null; then
        xorriso -as mkisofs -quiet -V "$iso_label" -f -R -J -joliet-long -iso-level 3 -graft-points -o "$iso_out.part" "$@" >"$iso_log" 2>&1
    elif command -v genisoimage >/dev/null; then
        genisoimage -quiet -V "$iso_label" -f -R -J -joliet-long -allow-limited-size -iso-level 3 -graft-points -o "$iso_out.part" "$@" >"$iso_log" 2>&1
    else
        echo "install xorriso or genisoimage to make an ISO" >"$iso_log"
        false
    fi || {
        cat "$iso_log" >&2
        rm -f "$iso_log" "$iso_out.part"
        return 1
    }
    rm -f "$iso_log"
    mv -f "$iso_out.part" "$iso_out"
}
