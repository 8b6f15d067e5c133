"""The notebook's web API.

A change of a note and its event are written in one transaction, by ``record()``. Labels know
nothing
of eventworker: theirs are the events that the middleware around the application makes.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_http_methods

from eventworker import Event
from eventworker.capture.django import record
from examples.django_notes.models import Label, Note


def _tell(request: HttpRequest, note: Note, method: str, before: dict[str, Any] | None) -> None:
    """The event of a change, to be called in the transaction of the change."""
    record(
        Event(
            method=method,
            resource="note",
            resource_id=note.pk,
            author_id=request.headers.get("X-User-Id"),
            path=request.path,
            resource_before=before,
            resource_after=None if method == "DELETE" else note.as_dict(),
            source="django_notes",
        )
    )


def _text(request: HttpRequest) -> str:
    return str(json.loads(request.body)["text"])


@require_http_methods(["POST"])
def notes(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        note = Note.objects.create(text=_text(request))
        _tell(request, note, "POST", None)
    return JsonResponse(note.as_dict(), status=201)


@require_http_methods(["PUT", "PATCH", "DELETE"])
def one_note(request: HttpRequest, key: int) -> HttpResponse:
    with transaction.atomic():
        note = get_object_or_404(Note.objects.select_for_update(), pk=key)
        before = note.as_dict()
        if request.method == "DELETE":
            _tell(request, note, "DELETE", before)
            note.delete()
            return HttpResponse(status=204)
        note.text = _text(request)
        note.save()
        _tell(request, note, str(request.method), before)
    return JsonResponse(note.as_dict())


@require_http_methods(["POST"])
def close(request: HttpRequest, key: int) -> HttpResponse:
    with transaction.atomic():
        note = get_object_or_404(Note.objects.select_for_update(), pk=key)
        before = note.as_dict()
        note.is_closed = True
        note.save()
        _tell(request, note, "PUT", before)
    return JsonResponse(note.as_dict())


@require_http_methods(["POST"])
def labels(request: HttpRequest) -> HttpResponse:
    label = Label.objects.create(name=_text(request))
    return JsonResponse({"id": label.pk, "text": label.name}, status=201)


urlpatterns = [
    path("v1/notes", notes),
    path("v1/notes/<int:key>", one_note),
    path("v1/notes/<int:key>/close", close),
    path("v1/labels", labels),
]
