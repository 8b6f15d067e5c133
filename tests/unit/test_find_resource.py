"""From an event's id to a record: what is no id of that class finds nobody."""

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from eventworker import config
from eventworker.plugin import find_resource
from tests.helpers.people import Base, Membership, Person


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        opened.add_all([Person(id=10), Membership(person=10, team=1)])
        opened.flush()
        yield opened
    engine.dispose()


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    config.register(made)
    made([], project="eventworker-test", default_config_files=[])
    classes = {name.lower(): f"tests.helpers.people:{name}" for name in ("Person", "Membership")}
    made.set_override("resource_classes", classes, group="plugins")
    return made


@pytest.mark.parametrize("key", [10, "10"])
def test_a_number_and_its_digits_find_the_same_record(
    conf: cfg.ConfigOpts, session: Session, key: Any
) -> None:
    assert find_resource(conf, session, "person", key) is session.get(Person, 10)


@pytest.mark.parametrize("key", [None, "1_0", " 10 ", "\u0661\u0660", "ten", 2**40, "9" * 30, 11])
def test_what_is_no_id_of_the_class_finds_nobody(
    conf: cfg.ConfigOpts, session: Session, key: Any
) -> None:
    assert find_resource(conf, session, "person", key) is None


@pytest.mark.parametrize("name", ["membership", "stranger"])
def test_a_class_with_two_keys_and_an_unknown_name_find_nobody(
    conf: cfg.ConfigOpts, session: Session, name: str
) -> None:
    assert find_resource(conf, session, name, 10) is None
