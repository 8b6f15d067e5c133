"""The service as the sum of its parts."""

from collections import Counter

from eventworker.pubsub.desk import Desk
from eventworker.pubsub.service import PubSubService


def test_no_part_of_the_service_hides_what_another_one_defines() -> None:
    parts = [each for each in PubSubService.__mro__ if issubclass(each, Desk)]
    names = Counter(name for each in parts for name in vars(each) if not name.startswith("__"))
    assert [name for name, times in names.items() if times > 1] == []
