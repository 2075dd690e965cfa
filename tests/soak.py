#!/usr/bin/env python3
"""Mixed load: good evaluations all the time, a hostile one every other minute.

    cargo build -p assay && cargo xtask plugins && python3 tests/soak.py --minutes 60

Starts a daemon over a temporary folder. In turns of one minute each, two good
evaluations run back to back, first by themselves, then beside a plugin that
loops, allocates, recurses, traps, floods or overfills its answer, one run
after another without a pause. Every
finished run is checked: each item has exactly one outcome, and the good ones
are all scored. Prints the memory of daemon and workers as it goes, and at the
end the good evaluations' throughput beside the hostile one as a share of that
without it. Ends with status 1 when a result was lost or doubled.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ITEMS = 20_000
TURN_S = 15
MISBEHAVIOUR = ["loop", "allocate", "recurse", "panic", "huge", "log", "nan", "undeclared"]


class Client:
    def __init__(self, base):
        self.base = base

    def ask(self, method, path, body=None):
        data = body.encode() if isinstance(body, str) else body and json.dumps(body).encode()
        if method == "POST" and body is None:
            data = b"{}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.read().decode()}")


def memory_mib(pid):
    """(shared or not, private writable) memory of a process."""
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup.readlines()[1:]:
            name, value = line.split(":")
            fields[name] = int(value.split()[0]) / 1024
    return fields["Rss"], fields["Private_Dirty"]


def workers_of(pid):
    children = pathlib.Path(f"/proc/{pid}/task")
    found = []
    for task in children.iterdir():
        try:
            found += (task / "children").read_text().split()
        except OSError:
            pass
    return [int(child) for child in found]


class Load:
    """One evaluation whose next run starts when the last is over."""

    def __init__(self, client, definition, items):
        self.client, self.items = client, items
        self.name = definition["name"]
        self.evaluation = client.ask("POST", "/v1/evaluations", definition)["id"]
        self.run, self.before, self.done_now, self.runs = None, 0, 0, 0
        self.faults = []

    def poll(self, start_next=True):
        """Answers done since the beginning."""
        if self.run:
            run = self.client.ask("GET", f"/v1/runs/{self.run}")
            self.done_now = run["progress"]["done"]
            if run["state"] not in ("queued", "running"):
                self.check(run)
                self.before += self.done_now
                self.run, self.done_now = None, 0
        if not self.run and start_next:
            self.run = self.client.ask("POST", f"/v1/evaluations/{self.evaluation}/runs")["id"]
        return self.before + self.done_now

    def check(self, run):
        self.runs += 1
        if run["state"] != "finished" or run["progress"]["done"] != self.items:
            self.faults.append(f"{self.name}: {run}")
            return
        result = self.client.ask("GET", f"/v1/runs/{run['id']}/result")
        for scorer in result["scorers"]:
            without = sum(row["count"] for row in scorer["failed"] + scorer["skipped"])
            for output in scorer["outputs"]:
                counted = output["scored"] + without
                good = not self.name.startswith("hostile")
                if counted != self.items or (good and output["scored"] != self.items):
                    self.faults.append(f"{self.name}: {counted} outcomes of {self.items}: {json.dumps(scorer)[:600]}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--minutes", type=int, default=60)
    arguments.add_argument("--binary", default=str(ROOT / "target/debug/assay"))
    arguments = arguments.parse_args()
    folder = tempfile.TemporaryDirectory()
    environment = {
        **os.environ,
        "ASSAY_ARTIFACT_DIR": str(ROOT / "target/test-artifacts"),
        "ASSAY_LOG__FILTER": "error",
    }
    command = [arguments.binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder.name]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        base = daemon.stdout.readline().strip().removeprefix("listening on ")
        sys.exit(soak(Client(base), daemon.pid, folder.name, arguments.minutes))
    finally:
        daemon.terminate()
        daemon.wait(20)


def soak(client, daemon, folder, minutes):
    components = [ROOT / "target/guests/hostile.wasm", ROOT / "target/plugins/text.wasm"]
    for component in components:
        staging = pathlib.Path(folder) / f".{component.name}"
        staging.write_bytes(component.read_bytes())
        staging.rename(pathlib.Path(folder) / "plugins" / component.name)
    while len(client.ask("GET", "/v1/plugins")["files"]) < len(components):
        time.sleep(0.1)
    line = '{"key":"%d","query":"%s","actual":"the answer is 42","expected":"42"}'
    good_lines = "\n".join(line % (index, "q") for index in range(ITEMS))
    client.ask("POST", "/v1/reference-sets/good/versions", good_lines)
    hostile_lines = "\n".join(line % (index, "poison" if index % 100 == 7 else "q") for index in range(2000))
    client.ask("POST", "/v1/reference-sets/bad/versions", hostile_lines)
    good = [
        Load(client, {"name": "good-text", "source": {"reference_set": "good"}, "scorers": [
            {"plugin": "text", "config": {"checks": [{"kind": "contains", "any": ["42"]}]}}]}, ITEMS),
        Load(client, {"name": "good-paced", "source": {"reference_set": "good"}, "scorers": [
            {"plugin": "hostile", "config": {"on": "nothing", "rounds": 100_000}}]}, ITEMS),
    ]
    bad = [
        Load(client, {"name": f"hostile-{how}", "source": {"reference_set": "bad"}, "scorers": [
            {"plugin": "hostile", "config": {"on": "poison", "how": how}}]}, 2000)
        for how in MISBEHAVIOUR
    ]
    rates = {"alone": [], "beside": []}
    started = time.monotonic()
    turn = 0
    while time.monotonic() - started < minutes * 60:
        beside = turn % 2 == 1
        turn_started, before = time.monotonic(), sum(load.poll() for load in good)
        while time.monotonic() - turn_started < TURN_S:
            for load in good:
                load.poll()
            current = next((load for load in bad if load.run), None)
            if current is None and beside:
                current = bad.pop(0)
                bad.append(current)
            if current is not None:
                current.poll(start_next=beside)
            time.sleep(0.1)
        done = sum(load.poll() for load in good) - before
        rate = done / (time.monotonic() - turn_started)
        rates["beside" if beside else "alone"].append(rate)
        rss, private = memory_mib(daemon)
        workers = [memory_mib(worker) for worker in workers_of(daemon)]
        print(
            f"{(time.monotonic() - started) / 60:5.1f} min  {'beside' if beside else 'alone '}  {rate:8.0f} answers/s"
            f"  daemon {rss:.0f} MiB ({private:.0f} private)  workers "
            + " ".join(f"{worker:.0f} ({own:.0f})" for worker, own in workers),
            flush=True,
        )
        turn += 1
    faults = [fault for load in good + bad for fault in load.faults]
    ratios = [with_it / without for without, with_it in zip(rates["alone"], rates["beside"])]
    print(f"runs: {sum(load.runs for load in good)} good, {sum(load.runs for load in bad)} hostile")
    print(f"throughput beside the hostile plugin: {statistics.median(ratios):.2f} of that without it (median of "
          f"{len(ratios)} pairs of turns; least {min(ratios):.2f})")
    print(f"faults: {len(faults)}")
    for fault in faults[:10]:
        print(" ", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    main()
