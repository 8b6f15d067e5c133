"""What the machine can do: pika and psycopg, up to 100 rows a transaction, one ack for them all."""

from __future__ import annotations

import json
from typing import Any

import benchwork
import pika
import psycopg

GROUP = 100
INSERT = (
    "INSERT INTO bench_effect (number, resource, note, published)"
    " VALUES (%(number)s, %(resource)s, %(note)s, %(published)s)"
)

database = psycopg.connect(benchwork.DATABASE.replace("+psycopg", ""))
rows: list[dict[str, Any]] = []


def flush(channel: Any, tag: int) -> None:
    """Commit what has come, then ack it."""
    benchwork.enter()
    with database.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    database.commit()
    rows.clear()
    channel.basic_ack(tag, multiple=True)


channel = pika.BlockingConnection(pika.URLParameters(benchwork.AMQP)).channel()
channel.basic_qos(prefetch_count=2 * GROUP)
for method, _properties, body in channel.consume(benchwork.QUEUE):
    rows.append(benchwork.values(json.loads(body)))
    if len(rows) == GROUP or not channel.get_waiting_message_count():
        flush(channel, method.delivery_tag)
