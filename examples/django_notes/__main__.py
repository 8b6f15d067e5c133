"""``python -m examples.django_notes``: serve the notebook on loopback."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from sqlalchemy import make_url
from waitress import serve

from eventworker.capture import PathRules
from eventworker.capture.sinks import outbox_sink
from eventworker.capture.wsgi import EventMiddleware
from eventworker.db import build_engine
from examples.serving import arguments


def create_app(database: str) -> Any:
    """The application on a SQLite file; its own tables are made here, eventworker's are not."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": make_url(database).database,
                # A transaction that reads and then writes would fail where another has written.
                "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["examples.django_notes"],
        ROOT_URLCONF="examples.django_notes.urls",
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    # eventworker: the views record what happens to notes, so that it stays silent about these.
    return EventMiddleware(
        get_wsgi_application(),
        outbox_sink(build_engine(database)),
        author=lambda environ: environ.get("HTTP_X_USER_ID"),
        rules=PathRules(actions=frozenset({"close"})),
        source="django_notes",
    )


if __name__ == "__main__":
    options = arguments("django_notes", "A notebook with Django.")
    serve(create_app(options.database), host="127.0.0.1", port=options.port, threads=4)
