#!/usr/bin/env bash
# All tests: formatting and lints, unit and engine tests, then real VMs. What is missing is installed first.
# GUESTBAKE_SKIP_VM=1 leaves the VMs out and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/vm/prerequisites.sh build engine lint
make lint
tests=()
for file in tests/*.rs; do
    tests+=(--test "$(basename "$file" .rs)")
done
cargo test --locked --lib --bins "${tests[@]}"
# The table of faults waits for most of its time.
cargo test --locked --test faults -- --test-threads=4
# Once more on Podman, where engines differ: what is waited for, what fails and with which words, archives.
if tests/vm/prerequisites.sh podman; then
    GUESTBAKE_TEST_ENGINE=podman tests/on-engine.sh
else
    echo "the engine tests are not run on Podman: it does not install here"
fi
if [ -n "${GUESTBAKE_SKIP_VM:-}" ]; then
    echo "the VM tests are skipped: GUESTBAKE_SKIP_VM is set"
    exit 0
fi
tests/vm/prerequisites.sh vm arm64
make -j2 static
tests/vm/size.sh
tests/vm/test.sh
