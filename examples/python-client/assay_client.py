"""Sends interactions and events to Assay. One file, nothing but the standard library.

    import assay_client

    assay = assay_client.Assay("http://127.0.0.1:7717", token=None)
    with assay.answering("Where is my parcel?", session="visit-7", user="u-3") as answer:
        answer.actual = my_model(answer.query)
    assay.event("copied", interaction=answer.id)

What is given is put into a queue and sent by a thread, so that the product never waits for Assay and
never fails with it. What is sent twice counts once, because everything has an id. The queue has a limit:
while Assay cannot be reached, the oldest lines are dropped beyond it, and `dropped` counts them.
"""

import atexit
import collections
import contextlib
import json
import logging
import threading
import time
import urllib.error
import urllib.request
import uuid

log = logging.getLogger("assay")

#: A request holds at most so many lines and about so many bytes.
LINES_MAX = 500
BYTES_MAX = 1 << 20
#: How long it is waited after a request that failed: doubled each time up to the last, in seconds.
PAUSE_S = (0.5, 30.0)

_MISSING = object()


class Assay:
    """A connection to one Assay. Safe to use from several threads; made once in each process."""

    def __init__(self, url="http://127.0.0.1:7717", token=None, *, queue_max=10_000, timeout_s=10.0):
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/x-ndjson"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._queue_max = queue_max
        self._timeout_s = timeout_s
        #: Lines that were given up: the queue was full, or Assay refused them.
        self.dropped = 0
        self._queue = collections.deque()
        self._under_way = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="assay", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def interaction(self, query, actual="", *, id=None, **fields):
        """Reports a request and its answer, and returns its id, which events name.

        `fields` are those of Assay's interaction, such as session, conversation, user, tenant, model,
        template, template_version, request_class, error, usage, timing, documents, partial, cost.
        """
        id = id or str(uuid.uuid4())
        self._put("/v1/interactions", {"id": id, "query": query, "actual": actual, **fields})
        return id

    @contextlib.contextmanager
    def answering(self, query, *, id=None, **fields):
        """Measures an answer, and reports it at the end. An exception becomes its `error`."""
        answer = Answer(query, id or str(uuid.uuid4()), fields)
        try:
            yield answer
        except BaseException as error:
            answer.fields["error"] = type(error).__name__
            raise
        finally:
            self.interaction(query, answer.actual, id=answer.id, **answer.finished())

    def event(self, kind, *, interaction=None, session=None, user=None, at=None, value=_MISSING, id=None):
        """Reports what a user did: `copied`, `reported`, `retried`, `abandoned`, `rated`, or your own kind.

        It names an interaction or a session. `at` is RFC 3339 or microseconds UTC; now where it is missing.
        """
        event = {"id": id or str(uuid.uuid4()), "kind": kind, "at": at or now_us()}
        named = {"interaction": interaction, "session": session, "user": user}
        event.update((name, given) for name, given in named.items() if given is not None)
        if value is not _MISSING:
            event["value"] = value
        self._put("/v1/events", event)

    def flush(self, timeout_s=5.0):
        """Waits until all is sent; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._under_way, timeout_s)

    def close(self, timeout_s=5.0):
        """Sends what waits, for at most so long, and stops. Called by itself at exit."""
        atexit.unregister(self.close)
        sent = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            left = len(self._queue) + self._under_way
            self._changed.notify_all()
        if not sent:
            log.warning("%d lines for Assay were not sent", left)
        return sent

    def _put(self, path, line):
        line = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
        with self._changed:
            self._queue.append((path, line))
            while len(self._queue) > self._queue_max:
                self._queue.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def _take(self):
        """The lines of the next request; waits for them. None when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if self._closing:
                return None
            path, lines, size = self._queue[0][0], [], 0
            while self._queue and self._queue[0][0] == path and len(lines) < LINES_MAX:
                size += len(self._queue[0][1]) + 1
                if lines and size > BYTES_MAX:
                    break
                lines.append(self._queue.popleft()[1])
            self._under_way = len(lines)
            return path, lines

    def _run(self):
        while (taken := self._take()) is not None:
            path, lines = taken
            pause_s = PAUSE_S[0]
            while (wait_s := self._send(path, lines)) is not None:
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, wait_s or pause_s):
                        return
                pause_s = min(2 * pause_s, PAUSE_S[1])
            with self._changed:
                self._under_way = 0
                self._changed.notify_all()

    def _send(self, path, lines):
        """None when it is done with, however it ended; else the seconds to wait before another attempt, or 0."""
        request = urllib.request.Request(self._url + path, b"\n".join(lines), self._headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                rejected = json.load(response).get("rejected", [])
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (408, 429) or error.code >= 500:
                    wait = error.headers.get("retry-after", "")
                    log.info("Assay answered %d; sending again", error.code)
                    return min(int(wait), PAUSE_S[1]) if wait.isdigit() else 0
                told = error.read(2_000).decode(errors="replace")
            log.error("Assay refused %d lines (%d): %s", len(lines), error.code, told)
            self.dropped += len(lines)
        except (OSError, ValueError) as error:
            log.info("Assay was not reached; sending again: %s", error)
            return 0
        else:
            if rejected:
                log.error("Assay refused %d of %d lines, such as: %s", len(rejected), len(lines), rejected[0])
                self.dropped += len(rejected)
        return None


class Answer:
    """What is known of an answer that is under way."""

    def __init__(self, query, id, fields):
        self.id = id
        self.query = query
        #: The answer: to be set.
        self.actual = ""
        #: Anything else, as for `Assay.interaction`.
        self.fields = dict(fields)
        self._started_at_us = now_us()
        self._started = time.monotonic()
        self._first_token_us = None

    def first_token(self):
        """To be called when a streamed answer begins."""
        if self._first_token_us is None:
            self._first_token_us = self._elapsed_us()

    def finished(self):
        """The fields with the timing."""
        timing = {"started_at_us": self._started_at_us, "total_us": self._elapsed_us()}
        if self._first_token_us is not None:
            timing.update(first_token_us=self._first_token_us, streamed=True)
        return {"timing": timing, **self.fields}

    def _elapsed_us(self):
        return round((time.monotonic() - self._started) * 1e6)


def now_us():
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1_000
