#!/bin/bash
# Nothing to start from: the bootstrap says so.
. tests/vm/case.sh

iso/seed.sh "$dir/seed.iso"
boot --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"bundle_missing"'
