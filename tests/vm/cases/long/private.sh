#!/bin/bash
# The bundle has passwords: no other user of the guest can read them, neither while the program is installed and runs nor
# afterwards.
. tests/vm/case.sh

mkdir -p "$dir/bundle"
echo 'SERVICE_PASSWORD=not-for-everyone' >"$dir/bundle/build.env"
{
    late_plan | sed 's/^image = .*/&\nenv_file = ["build.env"]/'
    printf '[finish]\npower_off = "never"\n'
} | small_bundle
{
    iso/seed.sh --print | sed '/^runcmd:$/q'
    # A user without rights and, to show that there was something to see, root look at what they can reach.
    cat <<'END'
  - |
    cat >/usr/local/bin/spy <<'SPY'
    #!/bin/sh
    until [ -e /run/spied ]; do
        for file in /run/*/build.env /run/*/*/build.env /proc/[0-9]*/root/run/*/*/build.env /proc/[0-9]*/cwd/build.env; do
            grep -qs 'not-for-[e]veryone' "$file" && echo "SPY $(id -un) read $file"
        done
        grep -qs 'not-for-[e]veryone' /dev/vd? && echo "SPY $(id -un) read the device"
    done | sort -u
    SPY
    chmod 755 /usr/local/bin/spy
    su -s /bin/sh nobody -c /usr/local/bin/spy >/root/nobody &
    /usr/local/bin/spy >/root/root &
  - /usr/local/sbin/guestbake-bootstrap
  - |
    touch /run/spied
    wait
    sleep 2
    {
        echo "SPY begins"
        cat /root/nobody /root/root
        su -s /bin/sh nobody -c "grep -rls not-for-[e]veryone /run /var /etc /usr/local /tmp /root /mnt /media /home" | sed 's/^/SPY nobody found /'
        stat -c 'MODE %a %U %n' /run/guestbake-bootstrap /run/guestbake/* /var/lib/guestbake/* /var/log/guestbake/* /var/log/guestbake-bootstrap.log
        grep -rls 'not-for-[e]veryone' /var/log /run /var/lib/guestbake | sed 's/^/SPY afterwards in /'
        echo "SPY ends"
    } >/dev/console
    poweroff
END
} >"$dir/user-data"
seed_of "$dir/user-data"
boot --bundle "$dir/bundle.iso" --seed "$dir/seed.iso"
ends_in STACK_CLOUD_INIT_DONE
check "the spies came to their end" says "SPY ends"
check "root saw the bundle while the program was installed" grep -q '^SPY root read .*/run/.*/build.env' "$dir/serial.txt"
check "nobody did not" test "$(grep -c '^SPY nobody' "$dir/serial.txt")" -eq 0
check "nothing that stays has a password" test "$(grep -c '^SPY afterwards' "$dir/serial.txt")" -eq 0
check "the log is root's alone" grep -q '^MODE 600 root /var/log/guestbake/provision.log' "$dir/serial.txt"
check "the bootstrap's too" grep -q '^MODE 600 root /var/log/guestbake-bootstrap.log' "$dir/serial.txt"
