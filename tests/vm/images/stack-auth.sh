#!/bin/sh
# Stands in for Stack Auth's local emulator: the same ports, paths, answers and files, late and in odd order, and nothing
# behind them. With STACK_DEPS_ONLY it is the services, without it the application, which refuses what is not as the
# real one needs it.
set -eu
# The first process of a container has no handler of its own; all others end with it.
trap 'exit 0' TERM

for volume in postgres redis clickhouse minio inbucket; do
    if ! grep -q " /data/$volume " /proc/mounts; then
        echo "no volume at /data/$volume" >&2
        exit 2
    fi
done

# page PORT PATH: what httpd is to answer there with 200; everything else is 404.
page() {
    mkdir -p "/srv/$1$(dirname "$2")"
    echo "Ok." >"/srv/$1$2"
}

# http PORT SECONDS: listens from then on.
http() {
    (
        sleep "$2"
        echo "$1 open"
        exec httpd -f -p "127.0.0.1:$1" -h "/srv/$1"
    ) &
}

if [ "${STACK_DEPS_ONLY:-}" != true ]; then
    for secret in STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY \
        STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY CRON_SECRET; do
        value=
        eval "value=\${$secret:-}"
        if [ "${#value}" -ne 64 ]; then
            echo "$secret has not 64 characters" >&2
            exit 2
        fi
    done
    [ "$STACK_SKIP_MIGRATIONS $STACK_SKIP_SEED_SCRIPT $BACKEND_PORT" = "true true 8102" ]
    [ "$STANDIN_WORD" = 'literal=all of "it"' ]
    [ -e /data/postgres/seeded ] || { echo "the database is not seeded" >&2; exit 2; }
    page 8102 /health
    http 8102 3
    wait
    exit
fi

rm -f /var/run/stack-local-init-services.*
mkdir -p /var/run
if [ -n "${STANDIN_INIT_FAILS:-}" ]; then
    (
        sleep 4
        echo "init-services: bucket 'stack' cannot be made: no such tenant" >&2
        touch /var/run/stack-local-init-services.failed
    ) &
fi
page 8071 /api/v1/health/index.html
http 8071 2
page 8080 /index.html
echo '/:somebody:with-a-token' >/srv/8080/httpd.conf
http 8080 6
page 9090 /minio/health/live
http 9090 11
page 8123 /ping
http 8123 16
# The temporary server of a first start, which closes again; then the real one.
(
    if [ -z "${STANDIN_LATER_START:-}" ]; then
        sleep 3
        timeout 1 nc -ll -p 5432 -e true || true
        sleep 18
    else
        sleep 22
    fi
    echo "5432 open"
    exec nc -ll -p 5432 -e true
) &
if [ -z "${STANDIN_INIT_FAILS:-}" ]; then
    (
        sleep 25
        touch /var/run/stack-local-init-services.done
    ) &
fi
wait
