"""What a client may send for each resource, and the sentence it gets when it is wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

#: What the tables' columns can hold.
MAX_ID = 2**31 - 1
_NO_NUL = r"^[^\x00]*$"
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=_NO_NUL)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_NO_NUL)]
Text = Annotated[str, msgspec.Meta(pattern=_NO_NUL)]
Content = Annotated[str, msgspec.Meta(min_length=1, pattern=_NO_NUL)]
T = TypeVar("T", bound=msgspec.Struct)


class NamedFields(msgspec.Struct, forbid_unknown_fields=True):
    name: Name


class StoryFields(msgspec.Struct, forbid_unknown_fields=True):
    title: Title
    description: Text = ""
    private: bool = False


class TaskFields(msgspec.Struct, forbid_unknown_fields=True):
    story_id: Id
    title: Title
    project_id: Id | None = None
    status: Literal["todo", "inprogress", "review", "merged", "invalid"] = "todo"
    assignee_id: Id | None = None


class CommentFields(msgspec.Struct, forbid_unknown_fields=True):
    content: Content


class WorklistFields(msgspec.Struct, forbid_unknown_fields=True):
    title: Title
    private: bool = False


class ItemFields(msgspec.Struct, forbid_unknown_fields=True):
    item_type: Literal["story", "task"]
    item_id: Id


class PermissionFields(msgspec.Struct, forbid_unknown_fields=True):
    user_id: Id
    target_type: Literal["story", "worklist"]
    target_id: Id


class PreferenceFields(msgspec.Struct, forbid_unknown_fields=True):
    user_id: Id
    key: Literal["worklists"]
    value: bool


class SubscriptionFields(msgspec.Struct, forbid_unknown_fields=True):
    user_id: Id
    target_type: Literal["story", "task", "user", "project", "project_group", "worklist"]
    target_id: Id


def parsed(body: bytes, kind: type[T]) -> dict[str, Any]:
    """The fields of a new resource.

    :raises msgspec.ValidationError: with a sentence for the client.
    """
    return msgspec.structs.asdict(msgspec.json.decode(body, type=kind))


def merged(body: bytes, kind: type[T], present: dict[str, Any]) -> dict[str, Any]:
    """The fields of a changed resource: those sent, over those it has.

    :raises msgspec.ValidationError: with a sentence for the client.
    """
    sent = msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.structs.asdict(msgspec.convert({**present, **sent}, kind))
