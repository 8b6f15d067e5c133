"""What the notebook keeps, with Django's own ORM."""

from __future__ import annotations

from typing import Any

from django.db import models


class Note(models.Model):
    text = models.TextField()
    is_closed = models.BooleanField(default=False)

    def as_dict(self) -> dict[str, Any]:
        """What clients see, and the image in events."""
        return {"id": self.pk, "text": self.text, "is_closed": self.is_closed}


class Label(models.Model):
    name = models.TextField()
