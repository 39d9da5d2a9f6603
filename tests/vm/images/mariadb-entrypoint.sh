#!/bin/sh
# Starts MariaDB; on an empty volume it makes the system tables first. The database and the user that MARIADB_DATABASE,
# MARIADB_USER and MARIADB_PASSWORD name are made before the server takes a connection. Arguments go to the server.
set -eu
data=/var/lib/mysql

if [ ! -d "$data/mysql" ]; then
    echo "first start: making the system tables in $data"
    # Made beside their place and renamed, so that an interrupted first start leaves no half of them behind.
    rm -rf "$data/.new"
    mkdir "$data/.new"
    # --force: without looking up this machine's name.
    mariadb-install-db --no-defaults --datadir="$data/.new" --auth-root-socket-user="$(id -un)" --skip-test-db --force \
        --skip-name-resolve --innodb-log-file-size=8M >/dev/null
    for file in "$data/.new"/*; do
        [ "${file##*/}" = mysql ] || mv "$file" "$data/"
    done
    mv "$data/.new/mysql" "$data/mysql"
    rmdir "$data/.new"
fi

umask 077
quoted=$(printf '%s' "${MARIADB_PASSWORD:?is needed for the user}" | sed "s/[\\\\']/\\\\&/g")
cat >/run/mysqld/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS \`$MARIADB_USER\`@\`%\` IDENTIFIED BY '$quoted';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO \`$MARIADB_USER\`@\`%\`;
SQL
exec mariadbd --no-defaults --datadir="$data" --socket=/run/mysqld/mysqld.sock --innodb-log-file-size=8M \
    --innodb-buffer-pool-size=64M --init-file=/run/mysqld/init.sql "$@"
