#!/usr/bin/env bash
# The tests in which engines differ, on the one that GUESTBAKE_TEST_ENGINE and GUESTBAKE_TEST_ENGINE_ROOT name: what is
# waited for, networks, what becomes of containers, commands and archives that fail, and an engine that hangs. Of the
# other faults an engine knows nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=
cargo test --locked --no-fail-fast --test engine --test probes --test networks --test image_load --test secrets || failed=yes
cargo test --locked --test faults -- --test-threads=4 \
    a_container a_server a_failed a_fatal a_command a_migration a_missing a_mount a_layer a_truncated \
    an_archive an_image a_smoke an_engine_that_hangs || failed=yes
[ -z "$failed" ]
