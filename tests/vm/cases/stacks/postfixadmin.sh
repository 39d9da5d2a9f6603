#!/bin/bash
# A stack with MariaDB and a web application in PHP: containers that know each other by name, a published port.
# images: postfixadmin
. tests/vm/case.sh

"$vm/stack-bundle.sh" postfixadmin "$dir/bundle.iso"
iso/seed.sh "$dir/seed.iso"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "MariaDB was healthy" grep -q '^STACK_PROVISION: mariadb ready (' "$dir/serial.txt"
check "the schema was made" says "STACK_PROVISION: migration schema done"
check "the application has its first domain" says "STACK_PROVISION: migration first-domain done"
check "and answers at its published port" result_has '"smoke":"passed"'
check "keeps the password to itself" test \
    "$(grep -Fc "$(sed -n 's/^MARIADB_PASSWORD=//p' "$dir/bundle/build.env")" "$dir/serial.txt")" -eq 0
