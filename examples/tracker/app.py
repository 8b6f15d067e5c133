"""The tracker's web API, with transactional capture: what is done for eventworker stands in
:func:`create_app`, and in ``parts.py`` for what is no object of its own.

The author of a change is whoever the header ``X-User-Id`` says. That is enough for an example, and
for nothing else: a real application takes it from its own authentication.
"""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Flask, Response, current_app, request
from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from eventworker.capture.sqlalchemy import Resource, capture
from eventworker.capture.wsgi import EventMiddleware
from eventworker.db import first_line
from examples.tracker import fields, parts
from examples.tracker.models import (
    Base,
    Comment,
    Notification,
    Permission,
    Preference,
    Project,
    ProjectGroup,
    Story,
    Subscription,
    Task,
    User,
    Worklist,
    WorklistItem,
)

#: What is captured, and under which name it appears in events.
RESOURCES: dict[type, str | Resource] = {
    User: "user",
    Story: "story",
    Task: "task",
    Comment: Resource("comment", parent=("story", "story_id")),
    Project: "project",
    ProjectGroup: "project_group",
    Worklist: "worklist",
    WorklistItem: Resource("item", parent=("worklist", "worklist_id")),
}
#: Collection in the path, class, and fields.
COLLECTIONS: dict[str, tuple[type[Any], type[msgspec.Struct]]] = {
    "users": (User, fields.NamedFields),
    "stories": (Story, fields.StoryFields),
    "tasks": (Task, fields.TaskFields),
    "projects": (Project, fields.NamedFields),
    "project_groups": (ProjectGroup, fields.NamedFields),
    "worklists": (Worklist, fields.WorklistFields),
    "permissions": (Permission, fields.PermissionFields),
    "preferences": (Preference, fields.PreferenceFields),
}
#: Where a client names a record, and the class it must be of.
REFERENCES: dict[str, type[Any]] = {
    "story_id": Story,
    "project_id": Project,
    "assignee_id": User,
    "user_id": User,
    "X-User-Id": User,
}
#: What somebody may follow, see, or put into a worklist.
TARGETS: dict[str, type[Any]] = {
    "story": Story,
    "task": Task,
    "user": User,
    "project": Project,
    "project_group": ProjectGroup,
    "worklist": Worklist,
}
PAGE = 100

api = Blueprint("tracker", __name__, url_prefix="/v1")


def create_app(database_url: str) -> Flask:
    """The application on a database; its own tables are made here, eventworker's are not."""
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        # SQLite checks foreign keys only if it is told so, connection by connection.
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    capture(sessions, RESOURCES, images=parts.image, source="tracker")

    app = Flask(__name__)
    app.extensions["sessions"] = sessions
    app.register_blueprint(api)
    app.register_error_handler(HTTPException, _as_json)
    app.register_error_handler(msgspec.MsgspecError, _bad_body)
    app.register_error_handler(UnicodeDecodeError, _bad_body)
    app.register_error_handler(IntegrityError, _conflict)
    # No sink: the session records the events, the middleware only tells it of the request.
    app.wsgi_app = EventMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, None, author=_author, source="tracker"
    )
    return app


def _author(environ: dict[str, Any]) -> int | None:
    return _number(environ.get("HTTP_X_USER_ID", ""))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _known_author(session: Session) -> int | None:
    author = _author(request.environ)
    if author is not None:
        _check_references(session, {"X-User-Id": author})
    return author


def _session() -> Session:
    session: Session = current_app.extensions["sessions"]()
    return session


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, mimetype="application/json")


def _as_json(error: HTTPException) -> Response:
    return _json({"error": error.description}, error.code or 500)


def _bad_body(error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _conflict(error: IntegrityError) -> Response:
    return _json({"error": f"it conflicts with what is there: {first_line(error)}"}, 409)


def _as_dict(record: Base) -> dict[str, Any]:
    return {column.key: getattr(record, column.key) for column in record.__table__.columns}


def _collection(name: str) -> tuple[type[Any], type[msgspec.Struct]]:
    if name not in COLLECTIONS:
        raise NotFound(f"there is no {name}; there are {', '.join(COLLECTIONS)}")
    return COLLECTIONS[name]


def _found(session: Session, kind: type[Any], key: int) -> Any:
    record = session.get(kind, key) if key <= fields.MAX_ID else None
    if record is None:
        raise NotFound(f"there is no {kind.__name__.lower()} {key}")
    return record


def _check_references(session: Session, values: dict[str, Any]) -> None:
    for name, kind in REFERENCES.items():
        if values.get(name) is not None:
            try:
                _found(session, kind, values[name])
            except NotFound as error:
                raise BadRequest(f"{name}: {error.description}") from None
    for kind_of, key in (("target_type", "target_id"), ("item_type", "item_id")):
        if kind_of in values:
            _found(session, TARGETS[values[kind_of]], values[key])


@api.get("/<name>")
def listing(name: str) -> Response:
    """The newest hundred of a collection."""
    kind, _ = _collection(name)
    with _session() as session:
        found = session.scalars(select(kind).order_by(kind.id.desc()).limit(PAGE))
        return _json([_as_dict(record) for record in found])


@api.post("/<name>")
def create(name: str) -> Response:
    """Make one of a collection."""
    kind, accepted = _collection(name)
    values = fields.parsed(request.get_data(), accepted)
    with _session() as session:
        _check_references(session, values)
        if kind is Story:
            values["creator_id"] = _known_author(session)
        record = kind(**values)
        session.add(record)
        session.commit()
        return _json(_as_dict(record), 201)


@api.get("/<name>/<int:key>")
def show(name: str, key: int) -> Response:
    """One of a collection."""
    kind, _ = _collection(name)
    with _session() as session:
        return _json(_as_dict(_found(session, kind, key)))


@api.route("/<name>/<int:key>", methods=["PUT", "PATCH"])
def change(name: str, key: int) -> Response:
    """Change the fields that were sent."""
    kind, accepted = _collection(name)
    with _session() as session:
        record = _found(session, kind, key)
        present = {field: getattr(record, field) for field in accepted.__struct_fields__}
        values = fields.merged(request.get_data(), accepted, present)
        _check_references(session, values)
        for field, value in values.items():
            setattr(record, field, value)
        session.commit()
        return _json(_as_dict(record))


@api.delete("/<name>/<int:key>")
def remove(name: str, key: int) -> Response:
    """Delete it; a story goes with its tasks and comments, an event for each part."""
    kind, _ = _collection(name)
    with _session() as session:
        record = _found(session, kind, key)
        parts.remove_parts(session, record)
        session.delete(record)
        session.commit()
        return Response(status=204)


@api.post("/stories/<int:key>/comments")
def comment(key: int) -> Response:
    """Say something about a story."""
    values = fields.parsed(request.get_data(), fields.CommentFields)
    with _session() as session:
        _found(session, Story, key)
        said = Comment(story_id=key, author_id=_known_author(session), **values)
        session.add(said)
        session.commit()
        return _json(_as_dict(said), 201)


@api.get("/stories/<int:key>/comments")
def comments(key: int) -> Response:
    """What was said about a story, in order."""
    with _session() as session:
        _found(session, Story, key)
        said = select(Comment).where(Comment.story_id == key).order_by(Comment.id)
        return _json([_as_dict(each) for each in session.scalars(said)])


@api.route("/project_groups/<int:key>/projects/<int:project>", methods=["PUT", "DELETE"])
def membership(key: int, project: int) -> Response:
    """Put a project into a group, or take it out."""
    with _session() as session:
        _found(session, ProjectGroup, key)
        _found(session, Project, project)
        change = parts.add if request.method == "PUT" else parts.take_out
        change(session, key, project)
        session.commit()
        return Response(status=204)


@api.post("/worklists/<int:key>/items")
def put_on_list(key: int) -> Response:
    """Put a story or a task on a worklist."""
    values = fields.parsed(request.get_data(), fields.ItemFields)
    with _session() as session:
        _found(session, Worklist, key)
        _check_references(session, values)
        item = WorklistItem(worklist_id=key, **values)
        session.add(item)
        session.commit()
        return _json(_as_dict(item), 201)


@api.delete("/worklists/<int:key>/items/<int:item>")
def take_off_list(key: int, item: int) -> Response:
    """Take it off the worklist."""
    with _session() as session:
        found = _found(session, WorklistItem, item)
        if found.worklist_id != key:
            raise NotFound(f"there is no item {item} on worklist {key}")
        session.delete(found)
        session.commit()
        return Response(status=204)


@api.post("/subscriptions")
def follow(*_: Any) -> Response:
    """Follow a story, a task, a project, a group, a worklist or a user."""
    values = fields.parsed(request.get_data(), fields.SubscriptionFields)
    with _session() as session:
        _check_references(session, values)
        subscription = Subscription(**values)
        session.add(subscription)
        session.commit()
        return _json(_as_dict(subscription), 201)


@api.get("/subscriptions")
def following() -> Response:
    """Who follows what; ``?user_id=`` for one user."""
    return _of_user(Subscription, Subscription.user_id)


@api.delete("/subscriptions/<int:key>")
def unfollow(key: int) -> Response:
    """Follow it no more."""
    with _session() as session:
        session.delete(_found(session, Subscription, key))
        session.commit()
        return Response(status=204)


@api.get("/notifications")
def notifications() -> Response:
    """What users were told, the newest first; ``?user_id=`` for one user."""
    return _of_user(Notification, Notification.subscriber_id)


def _of_user(kind: type[Any], column: Any) -> Response:
    text = request.args.get("user_id")
    user = None if text is None else _number(text)
    if text is not None and user is None:
        raise BadRequest(f"user_id: {text!r} is no user's id")
    found = select(kind).order_by(kind.id.desc()).limit(PAGE)
    with _session() as session:
        records = session.scalars(found if user is None else found.where(column == user))
        return _json([_as_dict(record) for record in records])
