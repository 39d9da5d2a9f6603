#!/bin/sh
# Makes the broker's password file in the volume that it shares with it, and ends.
set -eu
umask 077
rm -f /credentials/passwords
mosquitto_passwd -b -c /credentials/passwords "$MQTT_USER" "${MQTT_PASSWORD:?is needed}"
echo "made an account for $MQTT_USER"
