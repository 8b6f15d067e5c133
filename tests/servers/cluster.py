"""Three brokers that are one, as far as quorum queues are concerned."""

from __future__ import annotations

import re
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.servers.rabbit import RabbitServer, Vhost
from tests.servers.waiting import wait_until

#: Seconds without a sign of life after which Erlang takes another node for dead, instead of 60.
_TICK_SECONDS = 5
_JOINED = 60.0


class RabbitCluster:
    """Nodes on loopback with a port mapper and a cookie in common.

    A node in the minority pauses, as an operator would have it: whoever is connected there is cut,
    and finds nobody that listens.

    :ivar nodes: the servers; each can be stopped, killed and started by itself.
    """

    def __init__(self, size: int = 3) -> None:
        self._stack = ExitStack()
        self.nodes: list[RabbitServer] = []
        self._size = size

    def __enter__(self) -> Self:
        try:
            for number in range(1, self._size + 1):
                self.nodes.append(self._stack.enter_context(self._node(number)))
            wait_until(self.is_whole, _JOINED, "the nodes do not find each other")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _node(self, number: int) -> RabbitServer:
        names = [f"node{each}@localhost" for each in range(1, number + 1)]
        discovery = "cluster_formation.classic_config.nodes"
        settings = {
            "cluster_formation.peer_discovery_backend": "classic_config",
            "cluster_formation.discovery_retry_limit": "20",
            "cluster_partition_handling": "pause_minority",
            "net_ticktime": str(_TICK_SECONDS),
            **{f"{discovery}.{index}": name for index, name in enumerate(names, 1)},
        }
        # A node that is alone on its list forms the cluster, and the others find it there.
        kin = self.nodes[0] if self.nodes else None
        return RabbitServer(settings=settings, node=names[-1], kin=kin, schedulers=1)

    def is_whole(self) -> bool:
        """Whether every node sees all of them."""
        running = "length(rabbit_nodes:all_running())"
        return all(node.evaluate(running) == str(self._size) for node in self.nodes)

    def heal(self) -> None:
        """Start what is stopped, resume what hangs, and wait until it is one cluster again."""
        for node in self.nodes:
            if not node.runs():
                node.start()
        wait_until(self.is_whole, _JOINED, "the nodes do not find each other again")

    def leader(self, vhost: Vhost, queue: str) -> RabbitServer:
        """The node that leads a quorum queue."""
        found = self.nodes[0].evaluate(
            f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost.vhost}">>, queue,'
            f' <<"{queue}">>)), amqqueue:get_pid(Q)'
        )
        match = re.search(r"(node\d+@localhost)", found)
        assert match, found
        return next(node for node in self.nodes if node.node == match[1])

    def isolate(self, node: RabbitServer) -> None:
        """Cut a node off from the others: it refuses their cookie and forgets their connections."""
        others = ", ".join(f"'{each.node}'" for each in self.nodes if each is not node)
        node.evaluate(
            "[begin erlang:set_cookie(N, cut_off), erlang:disconnect_node(N) end"
            f" || N <- [{others}]]"
        )

    def rejoin(self, node: RabbitServer) -> None:
        """End what :meth:`isolate` began."""
        others = ", ".join(f"'{each.node}'" for each in self.nodes if each is not node)
        node.evaluate(
            f"[begin erlang:set_cookie(N, '{node.cookie}'), net_kernel:connect_node(N) end"
            f" || N <- [{others}]]"
        )
