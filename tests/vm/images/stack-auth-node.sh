#!/bin/sh
# Stands in for Node in Stack Auth's image: takes the two commands of its migrations, exactly as they are given.
set -eu
refuse() {
    echo "db-migrations: $1" >&2
    exit 1
}
# Only an emulated guest's plan has V8 leave its compilers out.
flags=
if [ "${STANDIN_EMULATED:-}" = yes ]; then
    flags='--no-opt --no-wasm-tier-up --no-wasm-dynamic-tiering --no-wasm-code-gc '
fi
case $* in
    "${flags}dist/db-migrations.mjs migrate") verb=migrate ;;
    "${flags}dist/db-migrations.mjs seed") verb=seed ;;
    *) refuse "not what it is called with: $*" ;;
esac
[ "$PWD" = /app/apps/backend ] || refuse "in $PWD"
[ "${USE_INLINE_ENV_VARS:-} ${STACK_CLICKHOUSE_DATABASE:-}" = "true default" ] || refuse "without its environment"
[ "${STANDIN_WORD:-}" = 'literal=all of "it"' ] || refuse "build.env is not as it was written"
nc 127.0.0.1 5432 </dev/null || refuse "no Postgres"
[ -e /var/run/stack-local-init-services.done ] || refuse "before init-services"
case $verb in
    migrate) echo applied >/data/postgres/migrated ;;
    seed)
        [ -e /data/postgres/migrated ] || refuse "seed before migrate"
        echo planted >/data/postgres/seeded
        ;;
esac
echo "$verb: done"
