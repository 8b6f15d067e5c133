"""Whether somebody is in a roster group that a node admits (XEP-0060, section 4.5), in SQL.

It is the roster of the owner who has named the groups, as long as he is an owner: so nobody can ask
about another's roster by making him the owner of a node. A roster that is not known to be as it was
read, since it was read too long ago or cannot be read any more, admits nobody.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, exists

from eventworker.db import clock
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import (
    affiliation_table,
    node_table,
    roster_entry_table,
    roster_group_table,
    roster_table,
)

_admitting, _naming = node_table.alias("admitting"), affiliation_table.alias("naming")
_roster, _contact = roster_table.c, roster_entry_table.c


def is_in_group(node: Any, bare: Any) -> Any:
    """The condition.

    :param node: id of the node, or a column that has it.
    :param bare: address without resource, or a column that has it.
    """
    return there_is(
        _admitting.c.id == node,
        _naming.c.node_id == _admitting.c.id,
        _naming.c.jid == _admitting.c.roster_of,
        _naming.c.affiliation == Affiliation.OWNER,
        _roster.owner == _admitting.c.roster_of,
        _roster.good_until > clock(),
        _contact.roster_id == _roster.id,
        _contact.jid == bare,
        roster_group_table.c.node_id == _admitting.c.id,
        roster_group_table.c.name == _contact.group_name,
    )


def there_is(*where: Any) -> Any:
    """Whether there is such a row."""
    # In a CASE, so that it is looked up for each row of a page. PostgreSQL would else make a join
    # of it, and for some pages read all of the other table.
    return case((exists().where(*where), 1), else_=0) == 1
