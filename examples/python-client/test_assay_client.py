"""`python3 -m unittest` in this folder: the client against a server on loopback."""

import http.server
import json
import logging
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import assay_client
from assay_client import Assay


class Server(http.server.ThreadingHTTPServer):
    """Answers with the planned statuses, then 200, and keeps what it was sent."""

    def __init__(self, *plan):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = list(plan)
        self.received = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc):
        self.shutdown()
        super().__exit__(*exc)

    def lines(self, path):
        return [line for at, _, lines in self.received if at == path for line in lines]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers, answer = self.server.plan.pop(0) if self.server.plan else (200, {}, {"rejected": []})
        if status == 200:
            lines = [json.loads(line) for line in body.split(b"\n")]
            self.server.received.append((self.path, self.headers, lines))
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Tests(unittest.TestCase):
    def setUp(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def test_interactions_and_events_arrive_with_ids_and_the_token(self):
        with Server() as server:
            assay = Assay(server.url, token="secret")
            id = assay.interaction("Where is my parcel?", "On its way.", session="s", usage={"output": 4})
            assay.event("rated", interaction=id, user="u", value=False)
            assay.event("copied", session="s", at="2026-03-01T10:00:00Z")
            self.assertTrue(assay.close())
            [interaction] = server.lines("/v1/interactions")
            expected = {"id": id, "query": "Where is my parcel?", "actual": "On its way.", "session": "s"}
            self.assertEqual(interaction, {**expected, "usage": {"output": 4}})
            rated, copied = server.lines("/v1/events")
            self.assertEqual((rated["interaction"], rated["user"], rated["value"]), (id, "u", False))
            self.assertEqual(copied["at"], "2026-03-01T10:00:00Z")
            self.assertNotIn("value", copied)
            self.assertNotEqual(rated["id"], copied["id"])
            self.assertEqual(server.received[0][1]["authorization"], "Bearer secret")

    def test_an_answer_is_measured_and_its_failure_is_reported(self):
        with Server() as server:
            assay = Assay(server.url)
            with assay.answering("q", session="s") as answer:
                answer.first_token()
                answer.actual = "a"
                answer.fields["model"] = "m"
            with self.assertRaises(KeyError), assay.answering("q"):
                raise KeyError("secret detail")
            assay.close()
            good, bad = server.lines("/v1/interactions")
            timing = good["timing"]
            self.assertEqual((good["id"], good["actual"], good["model"]), (answer.id, "a", "m"))
            self.assertLessEqual(timing["first_token_us"], timing["total_us"])
            self.assertLess(abs(timing["started_at_us"] - assay_client.now_us()), 60_000_000)
            self.assertEqual((bad["error"], bad["actual"]), ("KeyError", ""))
            self.assertNotIn("first_token_us", bad["timing"])

    def test_what_failed_is_sent_again_and_nothing_is_lost_or_doubled(self):
        with Server((503, {"retry-after": "1"}, {}), (500, {}, {})) as server:
            assay = Assay(server.url)
            for index in range(1200):
                assay.event("copied", session=str(index))
            self.assertTrue(assay.close(10))
            sent = [line["session"] for line in server.lines("/v1/events")]
            self.assertEqual(sent, [str(index) for index in range(1200)])
            self.assertGreaterEqual(len(server.received), 3, "500 lines are the most of one request")
            self.assertEqual(assay.dropped, 0)

    def test_what_is_refused_is_counted_and_the_rest_goes_on(self):
        some = {"accepted": 1, "rejected": [{"line": 1, "reason": "no"}]}
        with Server((422, {}, {"detail": "not one line can be used"}), (200, {}, some)) as server:
            assay = Assay(server.url)
            assay.event("copied")
            self.assertTrue(assay.flush())
            self.assertEqual(assay.dropped, 1)
            assay.event("copied", session="s")
            self.assertTrue(assay.close())
            self.assertEqual(assay.dropped, 2)

    def test_large_lines_go_in_several_requests(self):
        with Server() as server:
            assay = Assay(server.url)
            for _ in range(5):
                assay.interaction("q" * 400_000)
            self.assertTrue(assay.close())
            self.assertEqual(len(server.lines("/v1/interactions")), 5)
            self.assertGreaterEqual(len(server.received), 3)

    def test_without_assay_the_oldest_is_dropped_and_nobody_waits_or_fails(self):
        with Server() as server:
            nobody = server.url
        server.server_close()
        assay = Assay(nobody, queue_max=10)
        for index in range(600):
            assay.event("copied", session=str(index))
        self.assertGreaterEqual(assay.dropped, 600 - 10 - assay_client.LINES_MAX)
        self.assertFalse(assay.close(0.2))

    def test_what_waits_is_sent_at_exit(self):
        with Server() as server:
            program = f"import assay_client; assay_client.Assay({server.url!r}).interaction('q', 'a', id='last')"
            here = Path(__file__).parent
            subprocess.run([sys.executable, "-c", program], cwd=here, check=True, timeout=30)
            self.assertEqual([line["id"] for line in server.lines("/v1/interactions")], ["last"])


if __name__ == "__main__":
    unittest.main()
