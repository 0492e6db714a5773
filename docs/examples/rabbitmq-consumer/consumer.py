#!/usr/bin/env python3
"""Keeps an internal system's tables up to date from the messages of a Stockade subscription, exactly once.

Stockade delivers at least once: after a crash on either side, messages come again. So each message's position goes into a
table of its own, in the same transaction as what follows from the message. What is there already is a repetition: it is
acknowledged and changes nothing. A message is acknowledged only when its transaction is on the disk.

    consumer.py run     takes messages until it gets SIGTERM or SIGINT
    consumer.py show    prints the tables as JSON

Environment: STOCKADE_AMQP_URL (amqp://user:password@host:5672/%2f), STOCKADE_QUEUE, STOCKADE_DB (a file).
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time

import pika

PREFETCH = 500  # most messages that are taken and not acknowledged
BATCH_MAX = 200  # most messages of one transaction
IDLE_S = 0.05  # an unfinished batch waits this long for more
BACKOFF_S = (0.2, 15.0)  # first and longest wait before connecting again
SCHEMA = 1  # the version of messages that this program understands

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
-- Every position that has been taken in.
CREATE TABLE IF NOT EXISTS seen (position INTEGER PRIMARY KEY);
-- The internal system's own picture of each order.
CREATE TABLE IF NOT EXISTS internal_order (
    order_no TEXT PRIMARY KEY, user_id TEXT, order_type TEXT, status TEXT, amount INTEGER, external_no TEXT,
    version INTEGER NOT NULL, position INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL
);
-- Something that counts, and would be wrong if a message were taken in twice.
CREATE TABLE IF NOT EXISTS event_count (event TEXT PRIMARY KEY, n INTEGER NOT NULL);
"""


class NotUnderstood(Exception):
    """A message that this program must not pass over: somebody has to look."""


class Tables:
    """The internal system."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, timeout=60, isolation_level=None)
        # Whoever reads the tables doesn't wait for who writes them.
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(TABLES)

    def take(self, bodies):
        """Takes messages in, all of them or none. Answers how many were new."""
        new = 0
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for body in bodies:
                new += self._take_one(json.loads(body))
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        return new

    def _take_one(self, message):
        if message["schema"] != SCHEMA:
            raise NotUnderstood(f"schema {message['schema']}, and this program knows {SCHEMA}")
        position = message["position"]
        if self.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (position,)).rowcount == 0:
            return 0  # it has been taken in before
        self.db.execute(
            "INSERT INTO event_count VALUES (?, 1) ON CONFLICT (event) DO UPDATE SET n = n + 1", (message["event"],)
        )
        # Events that are about an order without being its own, such as PaymentReceived, have no version.
        if message["order_no"] is not None and message["version"] is not None:
            # Messages of an order come in its sequence. The version keeps it where several consumers share the queue, or a
            # dead letter comes late.
            self.db.execute(
                """INSERT INTO internal_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (order_no) DO UPDATE SET status = excluded.status, amount = excluded.amount,
                       version = excluded.version, position = excluded.position, updated_at_ms = excluded.updated_at_ms
                   WHERE excluded.version > version""",
                (
                    message["order_no"],
                    message["user_id"],
                    message["order_type"],
                    message["status"],
                    message["amount"],
                    message["external_no"],
                    message["version"],
                    position,
                    message["at_ms"],
                ),
            )
        return 1

    def show(self):
        """Everything, as it can be compared."""
        orders = self.db.execute("SELECT order_no, user_id, status, amount, version FROM internal_order ORDER BY order_no")
        counts = self.db.execute("SELECT event, n FROM event_count ORDER BY event")
        (seen,) = self.db.execute("SELECT count(*) FROM seen").fetchone()
        return {"orders": [list(row) for row in orders], "events": dict(counts.fetchall()), "seen": seen}


class Consumer:
    """Takes messages from a queue."""

    def __init__(self, url, queue, tables):
        self.parameters = pika.URLParameters(url)
        self.parameters.heartbeat = 30
        self.queue = queue
        self.tables = tables
        self.is_ending = False

    def end(self, *_signal):
        """Finishes what is begun, and no more."""
        self.is_ending = True

    def run(self):
        """Until it is told to end; connects again as often as it must."""
        wait_s = BACKOFF_S[0]
        while not self.is_ending:
            try:
                self._connected()
                wait_s = BACKOFF_S[0]
            except pika.exceptions.AMQPError as error:
                # The text of an error names the broker's reason, and no password.
                print(f"disconnected: {type(error).__name__} {error}", file=sys.stderr, flush=True)
                self._sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, BACKOFF_S[1])

    def _connected(self):
        connection = pika.BlockingConnection(self.parameters)
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=PREFETCH)
            batch, last_tag = [], None
            for method, _properties, body in channel.consume(self.queue, inactivity_timeout=IDLE_S):
                if method is not None:
                    batch.append(body)
                    last_tag = method.delivery_tag
                if batch and (method is None or len(batch) >= BATCH_MAX or self.is_ending):
                    new = self.tables.take(batch)
                    # Only now: a crash before this line brings them again, and then they are repetitions.
                    channel.basic_ack(last_tag, multiple=True)
                    print(f"taken: {len(batch)}, new: {new}", flush=True)
                    batch = []
                if self.is_ending:
                    break
            # What was fetched and not taken goes back to the queue.
            channel.cancel()
        finally:
            if connection.is_open:
                connection.close()

    def _sleep(self, seconds):
        until = time.monotonic() + seconds
        while not self.is_ending and time.monotonic() < until:
            time.sleep(0.05)


def main():
    """Runs a command; answers the exit code."""
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        tables = Tables(os.environ["STOCKADE_DB"])
        if command == "show":
            print(json.dumps(tables.show()))
            return 0
        if command == "run":
            consumer = Consumer(os.environ["STOCKADE_AMQP_URL"], os.environ["STOCKADE_QUEUE"], tables)
            signal.signal(signal.SIGTERM, consumer.end)
            signal.signal(signal.SIGINT, consumer.end)
            consumer.run()
            print("ended", flush=True)
            return 0
    except KeyError as missing:
        print(f"{missing} is not set", file=sys.stderr)
        return 2
    except NotUnderstood as error:
        # Nothing of its batch was taken in or acknowledged, so nothing is lost: it comes again to a newer program.
        print(f"stopped: {error}", file=sys.stderr)
        return 3
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
