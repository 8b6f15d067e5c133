"""Events and messages with no more said than the test is about."""

import json
from typing import Any

from hypothesis import strategies as st

from eventworker.event import Event
from eventworker.testing import make_event as make_event
from eventworker.transport import Message

#: The examples of W3C's Trace Context.
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACESTATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"


def make_message(**fields: Any) -> Message:
    return Message.of(make_event(**fields))


def numbered(count: int) -> list[Message]:
    """Messages whose resource_id counts from 0."""
    return [make_message(resource_id=number) for number in range(count)]


def number_of(body: bytes) -> Any:
    return json.loads(body)["resource_id"]


#: What StoryBoard's publisher sends today; `url` and `query_string` are ours to add.
STORYBOARD_FIELDS: dict[str, Any] = {
    "author_id": 1,
    "method": "PUT",
    "url": "http://localhost:9000/#!/story/12",
    "path": "/v1/stories/12",
    "query_string": "",
    "status": 200,
    "resource": "story",
    "resource_id": 12,
    "sub_resource": None,
    "sub_resource_id": None,
    "resource_before": {"id": 12, "title": "before"},
    "resource_after": {"id": 12, "title": "after"},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
images = st.none() | st.dictionaries(st.text(), json_values, max_size=4)
ids = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=60)
events = st.builds(
    Event,
    author_id=ids,
    method=st.sampled_from(["POST", "PUT", "DELETE"]),
    url=st.none() | st.text(),
    path=st.none() | st.text(),
    query_string=st.none() | st.text(),
    status=st.none() | st.integers(100, 599),
    resource=st.text(min_size=1, max_size=60),
    resource_id=ids,
    sub_resource=st.none() | st.text(max_size=60),
    sub_resource_id=ids,
    resource_before=images,
    resource_after=images,
)
