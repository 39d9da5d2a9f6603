<?php
// PostfixAdmin's settings, from the container's environment.
$CONF['configured'] = true;
$CONF['emailcheck_resolve_domain'] = 'NO';
$CONF['database_type'] = 'mysqli';
$CONF['database_host'] = getenv('DATABASE_HOST');
$CONF['database_user'] = getenv('MARIADB_USER');
$CONF['database_password'] = getenv('MARIADB_PASSWORD');
$CONF['database_name'] = getenv('MARIADB_DATABASE');
