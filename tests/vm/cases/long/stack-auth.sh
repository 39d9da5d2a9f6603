#!/bin/bash
# The plan for Stack Auth's emulator as it stands in config, with a stand-in for its image: five services late and in odd
# order, the init file, both migrations, the smoke test.
. tests/vm/case.sh

# Said to be KVM: the smoke test is to run, and a stand-in is fast enough for it.
"$vm/stack-auth-bundle.sh" "$arch" stack-auth.tgz "$dir/bundle.iso" kvm
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
for service in postgres clickhouse svix minio qstash init-services; do
    check "$service was waited for" grep -q "^STACK_PROVISION: $service ready (" "$dir/serial.txt"
done
order=$(sed -n 's/^STACK_PROVISION: \(.*\) ready (.*$/\1/p' "$dir/serial.txt" | grep -v postgres | head -n 5 | tr '\n' ' ')
check "each is seen when it comes" test "$order" = "svix qstash minio clickhouse init-services "
late=$(sed -n 's/^STACK_PROVISION: postgres ready (\([0-9]*\).*/\1/p' "$dir/serial.txt")
check "Postgres's temporary server is not taken for it, but the one after ${late:-never} s" test "${late:-0}" -ge 22
check "the database is set up" says "migration migrate done"
check "and seeded" says "migration seed done"
check "the application answers" result_has '"smoke":"passed"'
