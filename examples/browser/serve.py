"""A small product that reports to Assay: a page that asks, a server that answers and passes events on.

    python3 serve.py [--assay http://127.0.0.1:7717] [--token TOKEN] [--port 8000]

There is no model in it: an answer takes a second and repeats the question.
"""

import argparse
import http.server
import json
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python-client"))

import assay_client  # noqa: E402  (it is found only now)

#: Members of an event that a browser may set. Who the user is, a server knows better.
FROM_BROWSERS = ("id", "kind", "interaction", "session", "at", "value")
#: Kinds that this page reports.
KINDS = ("copied", "reported", "retried", "abandoned", "rated", "left")
BODY_BYTES_MAX = 16 << 10


class Product(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            page = (HERE / "index.html").read_text().replace("SESSION", str(uuid.uuid4()))
            self.reply(200, page.encode(), "text/html; charset=utf-8")
        elif self.path == "/assay-events.js":
            self.reply(200, (HERE / "assay-events.js").read_bytes(), "text/javascript; charset=utf-8")
        else:
            self.reply(404, b"", "text/plain")

    def do_POST(self):
        try:
            size = int(self.headers["content-length"])
            if size > BODY_BYTES_MAX:
                return self.reply(413, b"", "text/plain")
            asked = json.loads(self.rfile.read(size))
            if self.path == "/ask":
                answer = self.answer(asked["id"], asked["query"], asked["session"])
                self.reply(200, json.dumps({"answer": answer}).encode(), "application/json")
            elif self.path == "/assay/events" and asked["kind"] in KINDS:
                given = {name: asked[name] for name in FROM_BROWSERS if name in asked}
                self.server.assay.event(given.pop("kind"), **given)
                self.reply(204, b"", "text/plain")
            else:
                self.reply(404, b"", "text/plain")
        except (KeyError, TypeError, ValueError):
            self.reply(400, b"", "text/plain")

    def answer(self, id, query, session):
        with self.server.assay.answering(query, id=id, session=session, template="demo") as answer:
            time.sleep(1)
            answer.actual = f"You asked: {query}"
        return answer.actual

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            pass  # The page is gone.

    def log_message(self, *_):
        pass


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--assay", default="http://127.0.0.1:7717", help="where Assay is")
    options.add_argument("--token", help="a token with the role `ingest`")
    options.add_argument("--port", type=int, default=8000)
    given = options.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", given.port), Product)
    server.assay = assay_client.Assay(given.assay, given.token)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
