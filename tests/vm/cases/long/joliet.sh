#!/bin/bash
# A bundle with Joliet names alone, as other systems make it, is as good as any.
. tests/vm/case.sh

late_plan | sed 's/sleep 40; //' | small_bundle
rm "$dir/bundle.iso"
xorriso -as mkisofs -quiet -V STACKBUNDLE -f --norock -J -joliet-long -iso-level 3 -o "$dir/bundle.iso" "$dir/bundle" 2>>"$dir/iso.log"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
