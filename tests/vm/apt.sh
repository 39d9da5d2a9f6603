# shellcheck shell=bash disable=SC2034,SC2016
# Sourced: what this machine's own apt knows, so that no mirror is named twice.

DEBIAN_SUITE=trixie

# The mirror apt already uses for Debian's main archive; GUESTBAKE_MIRROR overrides.
debian_mirror() {
    if [ -n "${GUESTBAKE_MIRROR:-}" ]; then
        echo "$GUESTBAKE_MIRROR"
        return
    fi
    found=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' 2>/dev/null |
        grep -v -i -E 'security|backports' | grep -E '/debian/?$' | head -n 1) || true
    if [ -z "$found" ]; then
        echo "no Debian mirror in apt's sources; name one in GUESTBAKE_MIRROR" >&2
        return 1
    fi
    echo "$found"
}

# apt's own key ring of Debian's archive.
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
