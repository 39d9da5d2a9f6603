<?php
// What Debian's set-up would have asked for; the other settings have it.
$dbtype = $dbserver = $dbport = $dbname = $dbuser = $dbpass = '';
