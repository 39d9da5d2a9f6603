#!/bin/bash
# The bundle's device stops answering while the program is read from it: the bootstrap does not wait for ever.
. tests/vm/case.sh

late_plan | small_bundle
iso/seed.sh "$dir/seed.iso"
# A burst that is enough to find and to mount it, and then next to nothing.
boot --seed "$dir/seed.iso" -- \
    -drive "if=virtio,file=$dir/bundle.iso,format=raw,readonly=on,throttling.bps-read=1000,throttling.bps-read-max=1500000"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"bundle_corrupt"'
check "and that it took too long" result_has 'takes longer than'
