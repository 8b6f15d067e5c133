"""A small Erlang node that stays connected to a broker, for what rabbitmqctl is too slow for.

rabbitmqctl starts a virtual machine for every call, which takes one to two seconds; this one
starts a single time and then evaluates an expression inside the broker in milliseconds.
"""

import base64
import select
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.servers.process import ServerError, identity

# It reads a line, evaluates it at the broker and answers with one line: ok or error, and a term
# in base64. It ends with its standard input, so it cannot outlive the tests.
LOOP = """
Broker = list_to_atom("%(broker)s"),
Answer = fun(Word, Term) ->
    Text = unicode:characters_to_binary(io_lib:format("~0tp", [Term])),
    io:format("~s ~s~n", [Word, base64:encode(Text)])
end,
Evaluate = fun(Line) ->
    Source = unicode:characters_to_list(base64:decode(string:trim(Line))),
    {ok, Tokens, _} = erl_scan:string(Source),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    case rpc:call(Broker, erl_eval, exprs, [Expressions, []], %(timeout)d) of
        {value, Value, _} -> Answer("ok", Value);
        {badrpc, Reason} -> Answer("error", Reason)
    end
end,
Loop = fun Again() ->
    case io:get_line("") of
        eof -> halt();
        {error, _} -> halt();
        Line -> try Evaluate(Line) catch _:Problem -> Answer("error", Problem) end, Again()
    end
end,
Loop().
"""

OPTIONS = ["-noshell", "-hidden", "-start_epmd", "false"]
LOOPBACK_ONLY = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
SMALL = ["+S", "1:1", "+sbwt", "none"]


class BrokerShell:
    """Evaluates Erlang expressions at a running broker; reconnects by itself when that restarts."""

    def __init__(
        self, erl: str, broker: str, *, home: Path, env: Mapping[str, str], timeout: float = 30
    ) -> None:
        # Several brokers may share a port mapper.
        options = [*OPTIONS, "-sname", f"tests-{broker}", *LOOPBACK_ONLY, *SMALL]
        loop = LOOP % {"broker": broker, "timeout": timeout * 1000}
        self._lock = threading.Lock()
        self._answers_within = timeout + 10
        self._popen = subprocess.Popen(
            [erl, *options, "-eval", " ".join(loop.split())],
            cwd=home,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **identity(),
        )

    def evaluate(self, expression: str) -> str:
        """The value as Erlang prints it, on one line."""
        assert self._popen.stdin
        assert self._popen.stdout
        line = base64.b64encode(expression.rstrip(". \n").encode() + b".").decode()
        with self._lock:
            with suppress(BrokenPipeError):  # what it said before it ended is read below
                self._popen.stdin.write(line + "\n")
                self._popen.stdin.flush()
            ready, _, _ = select.select([self._popen.stdout], [], [], self._answers_within)
            answer = self._popen.stdout.readline() if ready else ""
        word, _, encoded = answer.strip().partition(" ")
        if word not in ("ok", "error"):
            raise ServerError(f"the Erlang node for tests said: {answer or '(nothing)'}")
        term = base64.b64decode(encoded).decode()
        if word == "error":
            raise ServerError(f"{expression}: {term}")
        return term

    def close(self) -> None:
        """End of input is its signal to go."""
        assert self._popen.stdin
        assert self._popen.stdout
        with suppress(BrokenPipeError):
            self._popen.stdin.close()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()
