#!/bin/bash
# A stack with a message broker, a worker, and a container that ends when it has done its work.
# images: mosquitto
. tests/vm/case.sh

"$vm/stack-bundle.sh" mosquitto "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
for service in credentials broker worker; do
    check "$service was waited for" grep -q "^STACK_PROVISION: $service ready (" "$dir/serial.txt"
done
check "a message has come through to the worker" says "STACK_PROVISION: migration first-measurements done"
