#!/bin/sh
# Starts Postgres; on an empty volume it makes the cluster first, with the role and the database that
# POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB name. Arguments go to the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "first start: making the cluster in $PGDATA"
    # Made beside its place and renamed, so that an interrupted first start leaves no half cluster behind.
    new="${PGDATA%/*}/.new"
    rm -rf "$new"
    mkdir -p "$new"
    user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
    printf '%s\n' "${POSTGRES_PASSWORD:?is needed to make the cluster}" >"$new.password"
    initdb --pgdata="$new" --username="$user" --pwfile="$new.password" --encoding=UTF8 --locale=C.UTF-8 \
        --locale-provider=builtin --auth-local=trust --auth-host=scram-sha-256 --no-sync --no-instructions
    rm "$new.password"
    if [ "$database" != postgres ]; then
        # Single-user mode: no temporary server that a TCP probe could take for the real one.
        echo "CREATE DATABASE \"$database\"" | postgres --single -D "$new" -c log_checkpoints=off postgres >/dev/null
    fi
    mv "$new" "$PGDATA"
fi

exec postgres -D "$PGDATA" "$@"
