#!/bin/bash
# A bundle with names of eight and three characters has none of the files that are looked for, and the end says so.
. tests/vm/case.sh

late_plan | small_bundle
rm "$dir/bundle.iso"
xorriso -as mkisofs -quiet -V STACKBUNDLE -f --norock -iso-level 1 -o "$dir/bundle.iso" "$dir/bundle" 2>>"$dir/iso.log"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_FAILED
check "the reason says so" result_has '"reason":"bundle_corrupt"'
check "and what to do about it" result_has 'Rock Ridge'
