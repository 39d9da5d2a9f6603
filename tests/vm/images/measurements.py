"""Keeps what comes over MQTT in SQLite.

measurements.py work       subscribes and stores until it is told to end
measurements.py seed FILE  publishes the lines of FILE, "TOPIC VALUE", and waits until the worker has stored them
"""

import os
import signal
import sqlite3
import sys
import time

import paho.mqtt.client as mqtt

TABLE = "CREATE TABLE IF NOT EXISTS measurements (topic TEXT, value REAL, at TEXT DEFAULT CURRENT_TIMESTAMP)"


def database():
    connection = sqlite3.connect("/data/measurements.db", timeout=30)
    connection.execute(TABLE)
    return connection


def broker(name):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=name != "worker")
    client.username_pw_set(os.environ["MQTT_USER"], os.environ["MQTT_PASSWORD"])
    client.connect(os.environ["MQTT_HOST"], 1883)
    return client


def work():
    kept = database()

    def store(_client, _data, message):
        kept.execute("INSERT INTO measurements (topic, value) VALUES (?, ?)", (message.topic, float(message.payload)))
        kept.commit()

    client = broker("worker")
    client.on_message = store
    client.on_subscribe = lambda *_: print("subscribed to measurements", flush=True)
    client.on_connect = lambda client, *_: client.subscribe("measurements/#", qos=1)
    signal.signal(signal.SIGTERM, lambda *_: client.disconnect())
    client.loop_forever()


def seed(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip()]
    kept = database()
    before = count(kept)
    client = broker("seed")
    client.loop_start()
    for topic, value in lines:
        client.publish(f"measurements/{topic}", value, qos=1).wait_for_publish()
    while count(kept) < before + len(lines):
        time.sleep(0.1)
    print(f"{len(lines)} measurements stored")


def count(connection):
    return connection.execute("SELECT count(*) FROM measurements").fetchone()[0]


if __name__ == "__main__":
    work() if sys.argv[1] == "work" else seed(sys.argv[2])
