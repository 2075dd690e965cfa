"""In a real browser: what somebody does on the page reaches Assay.

Needs the package `playwright` and a Chromium that is on the PATH or named by `CHROMIUM`; skipped without.
"""

import http.server
import os
import shutil
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python-client"))

import serve  # noqa: E402
from assay_client import Assay  # noqa: E402
from test_assay_client import Server  # noqa: E402

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@unittest.skipUnless(sync_playwright and CHROMIUM, "skipped: playwright or Chromium is not installed")
class Tests(unittest.TestCase):
    def setUp(self):
        self.assay = self.enterContext(Server())
        self.product = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve.Product)
        self.product.assay = Assay(self.assay.url)
        threading.Thread(target=self.product.serve_forever, daemon=True).start()
        self.addCleanup(self.product.server_close)
        self.addCleanup(self.product.shutdown)

    def test_copies_clicks_and_leaving_are_reported(self):
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_context().new_page()
            page.goto(f"http://127.0.0.1:{self.product.server_port}/")
            page.get_by_label("Question").fill("Why?")
            page.get_by_role("button", name="Ask").click()
            page.get_by_text("You asked: Why?").wait_for()
            page.get_by_role("button", name="Good").click()
            page.get_by_role("button", name="Report").click()
            page.get_by_text("You asked: Why?").dblclick()
            page.keyboard.press("Control+C")
            if screenshot := os.environ.get("SCREENSHOT"):
                page.screenshot(path=screenshot)
            # Asked once more, and gone before the answer came.
            page.get_by_label("Question").fill("And now?")
            page.get_by_role("button", name="Ask").click()
            page.goto("about:blank")
            browser.close()
        time.sleep(1.5)
        self.assertTrue(self.product.assay.close())
        events = self.assay.lines("/v1/events")
        kinds = [event["kind"] for event in events]
        self.assertEqual(kinds, ["rated", "reported", "copied", "abandoned"])
        first, last = events[0]["interaction"], events[-1]["interaction"]
        self.assertEqual([event["interaction"] for event in events[:3]], [first] * 3)
        self.assertNotEqual(first, last)
        self.assertEqual(events[0]["value"], "up")
        asked = {interaction["id"]: interaction["query"] for interaction in self.assay.lines("/v1/interactions")}
        self.assertEqual((asked[first], asked[last]), ("Why?", "And now?"))


if __name__ == "__main__":
    unittest.main()
