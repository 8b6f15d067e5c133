"""Notices on their way: what a listener has still to tell, and to whom, page by page.

A listener is one process at a time. It reads its deliveries in order; for each it asks for a page
of addressees, tells them, and notes how far it has come. If it dies in between, the next one tells
that page again: every notice arrives at least once, with the same id.
"""

from __future__ import annotations

from eventworker.pubsub.tables import (
    delivery_table,
    listener_table,
    notice_table,
    subscription_table,
)

_delivery, _notice, _listener = delivery_table.c, notice_table.c, listener_table.c
_subscription = subscription_table.c
