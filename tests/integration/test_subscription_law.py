"""For every graph, every event and every set of rules: the one INSERT tells those whom a walk in
Python finds, step by step and user by user."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Engine, Integer, MetaData, String, Table, insert, select
from sqlalchemy.orm import Session

from eventworker.db import metadata
from eventworker.event import Event
from eventworker.workers.subscription.options import GROUP
from eventworker.workers.subscription.rules import (
    KeyRule,
    Rules,
    Step,
    TableRule,
    VisibleRule,
    rules_of,
)
from eventworker.workers.subscription.tables import notification_table, subscription_table
from tests.helpers.events import make_event
from tests.helpers.subscriptions import worker

GRAPH = MetaData()
TABLES = {
    name: Table(name, GRAPH, *columns)
    for name, columns in {
        "links": (
            Column("what", String(2)),
            Column("child", Integer),
            Column("parent", String(9)),
        ),
        "flags": (Column("kind", String(1)), Column("id", Integer), Column("private", Boolean)),
        "grants": (Column("kind", String(1)), Column("id", String(9)), Column("person", Integer)),
        "team_grants": (Column("id", Integer), Column("team", Integer)),
        "members": (Column("team", String(9)), Column("person", String(9))),
        "wishes": (Column("person", Integer), Column("kind", String(1)), Column("on", String(9))),
    }.items()
}
#: Options and rules; every example leaves some out. There are circles among them.
POOL = [
    ("part_of", "b:links(child,parent,what=ba):a"),
    ("part_of", "b:a_id:a"),
    ("part_of", "a:links(child,parent,what=ac):c"),
    ("belongs_to", "a:links(child,parent,what=ab):b"),
    ("belongs_to", "b:c_id:c"),
    ("belongs_to", "b:links(child,parent,what=bc):c"),
    ("belongs_to", "c:links(child,parent,what=ca):a"),
    ("private", "a:flags(id,private,kind=a):a_private"),
    ("private", "b:flags(id,private,kind=b)"),
    ("private", "c:flags(id,private=true,kind=c)"),
    ("visible_to", "a:grants(id,person,kind=a)"),
    ("visible_to", "a:team_grants(id,team):members(team,person)"),
    ("visible_to", "b:owner"),
    ("visible_to", "c:grants(id,person,kind=c)"),
    ("preference", "b:wishes(person,on,kind=b)"),
    ("preference", "c:wishes(person,on,kind=c):no"),
]
USERS = range(1, 4)
ids = st.integers(1, 2)
users = st.sampled_from(USERS)
kinds = st.sampled_from("abc")
images = st.fixed_dictionaries(
    {"a_id": ids | st.lists(ids, max_size=2), "c_id": ids | st.none()},
    optional={
        "owner": users | st.lists(users, max_size=2),
        "private": st.booleans(),
        "a_private": st.booleans(),
    },
)
events = st.builds(
    make_event,
    method=st.sampled_from(["POST", "PUT", "DELETE"]),
    resource=kinds,
    resource_id=ids,
    sub_resource=st.none() | st.none() | kinds,
    sub_resource_id=ids,
    author_id=st.none() | users,
    resource_before=st.none() | images,
    resource_after=images | st.none(),
).filter(lambda event: event.resource != event.sub_resource)


def rows_of(**columns: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(columns), max_size=6)


graphs = st.fixed_dictionaries(
    {
        "links": rows_of(
            what=st.sampled_from(["ba", "ac", "ab", "bc", "ca"]), child=ids, parent=ids.map(str)
        ),
        "flags": st.lists(
            st.fixed_dictionaries({"kind": kinds, "id": ids, "private": st.booleans() | st.none()}),
            max_size=9,
            unique_by=lambda row: (row["kind"], row["id"]),
        ),
        "grants": rows_of(kind=kinds, id=ids.map(str), person=users),
        "team_grants": rows_of(id=ids, team=ids),
        "members": rows_of(team=ids.map(str), person=users.map(str)),
        "wishes": st.lists(
            st.fixed_dictionaries(
                {"person": users, "kind": kinds, "on": st.sampled_from(["yes", "False", "1", "x"])}
            ),
            max_size=6,
            unique_by=lambda row: (row["person"], row["kind"]),
        ),
        "follows": st.lists(st.tuples(users, kinds, ids), min_size=6, max_size=12, unique=True),
    }
)


class Walk:
    """Who is told of an event, found by looking at one row after the other."""

    def __init__(self, graph: dict[str, Any], rules: Rules, event: Event) -> None:
        self.graph = graph
        self.rules = rules
        self.event = event
        self.changed = event.sub_resource or event.resource
        self.image = event.resource_after or event.resource_before or {}
        self.own = [(event.resource, event.resource_id)]
        if event.sub_resource:
            self.own.append((event.sub_resource, event.sub_resource_id))

    def receivers(self) -> set[str]:
        if self.event.resource_id is None:
            return set()
        return {str(user) for user in USERS if self.is_told(user)}

    def is_told(self, user: int) -> bool:
        if user == self.event.author_id:
            return False
        about = [*self.own, *self.by_key(self.image, only_parts=True)]
        if not all(self.may_hear(user, kind, own_id, (kind,), True) for kind, own_id in about):
            return False
        passed = tuple(kind for kind, _ in self.own)
        before = self.by_key(self.event.resource_before or {})
        parents = {*before, *self.by_key(self.image)} - {*self.own}
        return any(self.follows(user, kind, own_id, passed) for kind, own_id in self.own) or any(
            self.may_hear(user, kind, own_id, (kind,), (kind, own_id) in about)
            and self.follows(user, kind, own_id, (*passed, kind))
            for kind, own_id in parents
        )

    def by_key(
        self, image: dict[str, Any], *, only_parts: bool = False
    ) -> Iterator[tuple[str, Any]]:
        for rule in self.rules.parents:
            if isinstance(rule, KeyRule) and rule.child == self.changed:
                value = image.get(rule.key)
                for each in value if isinstance(value, list) else [value]:
                    if each is not None and (rule.is_part or not only_parts):
                        yield rule.parent, each

    def follows(self, user: int, kind: str, own_id: Any, passed: tuple[str, ...]) -> bool:
        if (user, kind, int(own_id)) in self.graph["follows"]:
            return True
        return any(
            self.may_hear(user, rule.parent, parent, (rule.parent,), False)
            and self.follows(user, rule.parent, parent, (*passed, rule.parent))
            for rule in self.rules.parents
            if isinstance(rule, TableRule) and rule.child == kind and rule.parent not in passed
            for parent in self.step(rule.step, own_id)
        )

    def step(self, step: Step, value: Any) -> list[Any]:
        return [
            row[step.target]
            for row in self.graph[step.table]
            if str(row[step.origin]) == str(value)
            and all(str(row[column]) == wanted for column, wanted in step.where)
        ]

    def may_hear(
        self, user: int, kind: str, own_id: Any, passed: tuple[str, ...], is_about: bool
    ) -> bool:
        for wish in self.rules.preferences.get(kind, ()):
            found = self.step(wish.step, user)
            if not (found[0] in ("yes", "1") if found else wish.unless_set):
                return False
        if not self.may_see(user, kind, own_id, is_about):
            return False
        return all(
            self.may_hear(user, rule.parent, parent, (*passed, rule.parent), False)
            for rule in self.rules.parents
            if isinstance(rule, TableRule)
            and rule.is_part
            and rule.child == kind
            and rule.parent not in passed
            for parent in self.step(rule.step, own_id)
        )

    def may_see(self, user: int, kind: str, own_id: Any, is_about: bool) -> bool:
        private, visible = self.rules.private.get(kind), self.rules.visible.get(kind, ())
        if private is None and not visible:
            return True
        row = next(
            (r for r in self.graph["flags"] if r["kind"] == kind and r["id"] == int(own_id)), None
        )
        is_own = is_about and kind == self.changed and (kind, own_id) in self.own
        said = None
        if private is not None and is_about:
            said = self.image.get("private" if is_own else private.part_key)
        if private is not None and said is not True:
            if row is not None and not row["private"]:
                return True
            if row is None and said is False and self.event.method == "DELETE":
                return True
        return any(
            self.leads_to(user, rule, own_id, is_own and (private is None or row is None))
            for rule in visible
        )

    def leads_to(self, user: int, rule: VisibleRule, own_id: Any, use_image: bool) -> bool:
        if rule.key is not None:
            value = self.image.get(rule.key) if use_image else None
            found = value if isinstance(value, list) else [value]
        else:
            found = [own_id]
        for step in rule.steps:
            found = [target for origin in found for target in self.step(step, origin)]
        return str(user) in map(str, found)


@pytest.fixture
def engine(shared_engine: Callable[..., Engine]) -> Engine:
    return shared_engine("subscription", metadata, GRAPH)


unhurried = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
with_examples = given(
    graph=graphs,
    left_out=st.sets(st.sampled_from(POOL), max_size=8),
    happened=st.lists(events, min_size=2, max_size=6),
)


def obeys_the_law(
    engine: Engine, graph: dict[str, Any], left_out: set[tuple[str, str]], happened: list[Event]
) -> None:
    options: dict[str, list[str]] = {}
    for option, rule in (each for each in POOL if each not in left_out):
        options.setdefault(option, []).append(rule)
    plugin = worker(**options)
    rules = rules_of(plugin.config[GROUP], GROUP)
    with Session(engine) as session:  # and nothing of it stays
        fill(session, graph)
        for event in happened:  # the plugin keeps its statements from one to the next
            with session.begin_nested() as savepoint:
                plugin.handle(session=session, event=event)
                told = set(session.scalars(select(notification_table.c.subscriber_id)))
                savepoint.rollback()
            assert told == Walk(graph, rules, event).receivers()


@pytest.mark.parametrize("shared_engine", ["sqlite"], indirect=True)
@settings(unhurried, max_examples=40)
@with_examples
def test_the_insert_tells_those_whom_a_walk_finds(engine: Engine, **example: Any) -> None:
    obeys_the_law(engine, **example)


@pytest.mark.parametrize("shared_engine", ["postgres", "maria"], indirect=True)
@settings(unhurried, max_examples=12)
@with_examples
def test_so_it_does_on_servers(engine: Engine, **example: Any) -> None:
    obeys_the_law(engine, **example)


@pytest.mark.long
@settings(unhurried, max_examples=100)
@with_examples
def test_so_it_does_in_many_more_cases(engine: Engine, **example: Any) -> None:
    obeys_the_law(engine, **example)


def fill(session: Session, graph: dict[str, Any]) -> None:
    for name, table in TABLES.items():
        if graph[name]:
            session.execute(insert(table), graph[name])
    rows = [
        {"user_id": str(user), "target_type": kind, "target_id": str(own_id)}
        for user, kind, own_id in graph["follows"]
    ]
    session.execute(insert(subscription_table), rows)
