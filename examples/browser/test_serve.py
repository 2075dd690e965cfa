"""`python3 -m unittest` in this folder: what a browser sends reaches Assay, and no more than it may say."""

import http.server
import json
import sys
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python-client"))

import serve  # noqa: E402
from assay_client import Assay  # noqa: E402
from test_assay_client import Server  # noqa: E402


def post(url, body):
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as response:
        return response.status, response.read()


class Tests(unittest.TestCase):
    def setUp(self):
        self.assay = self.enterContext(Server())
        self.product = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve.Product)
        self.product.assay = Assay(self.assay.url)
        self.url = f"http://127.0.0.1:{self.product.server_port}"
        threading.Thread(target=self.product.serve_forever, daemon=True).start()
        self.addCleanup(self.product.server_close)
        self.addCleanup(self.product.shutdown)

    def test_a_question_and_what_follows_arrive(self):
        with urllib.request.urlopen(self.url, timeout=10) as page:
            self.assertNotIn("SESSION", page.read().decode())
        status, body = post(self.url + "/ask", {"id": "i", "query": "Why?", "session": "s"})
        self.assertEqual((status, json.loads(body)), (200, {"answer": "You asked: Why?"}))
        event = {"kind": "rated", "interaction": "i", "session": "s", "value": "up", "user": "someone else"}
        self.assertEqual(post(self.url + "/assay/events", event)[0], 204)
        self.assertTrue(self.product.assay.close())
        [interaction] = self.assay.lines("/v1/interactions")
        self.assertEqual((interaction["id"], interaction["session"]), ("i", "s"))
        self.assertGreater(interaction["timing"]["total_us"], 900_000)
        [rated] = self.assay.lines("/v1/events")
        self.assertEqual((rated["interaction"], rated["value"]), ("i", "up"))
        self.assertNotIn("user", rated, "who the user is, a server knows better")

    def test_what_is_no_event_of_this_page_is_refused(self):
        for body, status in [({"kind": "paid"}, 404), ({}, 400), ([], 400), ({"kind": "x" * 20_000}, 413)]:
            with self.assertRaises(urllib.error.HTTPError) as refused:
                post(self.url + "/assay/events", body)
            refused.exception.close()
            self.assertEqual(refused.exception.code, status)


if __name__ == "__main__":
    unittest.main()
