"""A scorer in Python. What it tries depends on each item's query."""

import os
import socket
import subprocess
import time

from componentize_py_types import Err, Ok
from wit_world.exports.lifecycle import Capability, Descriptor, Direction, Output, OutputKind_Boolean, Problem
from wit_world.imports import log
from wit_world.imports.types import PluginError_Unsupported, Score, Value_Boolean


def attempt(query):
    """What happened, in this language's own words."""
    try:
        if query == "open":
            open("/etc/passwd").read()
        elif query == "environment":
            return repr(dict(os.environ))
        elif query == "socket":
            socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 80))
        elif query == "subprocess":
            subprocess.run(["/bin/true"], check=True)
        elif query == "system":
            os.system("true")
        elif query == "fork":
            os.fork()
        elif query == "print":
            print("printed by python")
        elif query == "time":
            return f"{time.time()} {os.urandom(4).hex()}"
        elif query == "log":
            log.write(log.Level.WARN, "logged by python")
        elif query == "loop":
            while True:
                pass
        elif query == "allocate":
            hoard = []
            while True:
                hoard.append(bytearray(1 << 20))
        return "done"
    except (AttributeError, OSError) as error:
        return f"{type(error).__name__}: {error}"


class Lifecycle:
    def describe(self):
        return Descriptor("in-python", "0.1.0", "A scorer in Python", True, '{"type":"object"}', 500)

    def configure(self, config_json):
        if "broken" in config_json:
            raise Err([Problem("/broken", "this is refused")])
        return [Output("good", Capability.SCORE, OutputKind_Boolean(), Direction.HIGHER_IS_BETTER, None)]


class Scoring:
    def score_batch(self, config_json, items):
        answers = []
        for item in items:
            if item.query == "skip":
                answers.append(Err(PluginError_Unsupported("not for me")))
                continue
            value = Value_Boolean("good" in item.actual)
            answers.append(Ok([Score("good", value, attempt(item.query), [], None)]))
        return answers
