#!/usr/bin/env python3
"""Every documented operation, asked what its description allows and what it forbids.

    cargo xtask test && python3 tests/schemathesis/run.py

Starts a daemon over a temporary folder, with an evaluation and a finished run
in it, and runs schemathesis over its `/openapi.json` with all checks. Whatever
follows `--` goes to schemathesis. Ends with its status: 0 when no
answer was a 5xx or against the description. schemathesis itself is installed
into `target/schemathesis-tools` the first time.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCHEMATHESIS = "schemathesis==4.32.5"


def schemathesis():
    tools = ROOT / "target/schemathesis-tools"
    program = tools / "bin/schemathesis"
    if not program.is_file():
        subprocess.run([sys.executable, "-m", "venv", tools], check=True)
        subprocess.run([tools / "bin/pip", "install", "--quiet", SCHEMATHESIS], check=True)
    return program


def ask(base, method, path, body=None):
    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(base + path, data if method == "POST" else None, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


def fill(base):
    """What the operations can find."""
    ask(base, "POST", "/v1/plugins", (ROOT / "target/plugins/text.wasm").read_bytes())
    ask(base, "POST", "/v1/reference-sets/set/versions", b'{"query":"q","expected":"a","actual":"a"}\n')
    definition = {
        "name": "evaluation",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
        "completion": {"output": "equals", "at_least": 1},
    }
    evaluation = ask(base, "POST", "/v1/evaluations", definition)["id"]
    run = ask(base, "POST", f"/v1/evaluations/{evaluation}/runs")["id"]
    while ask(base, "GET", f"/v1/runs/{run}")["state"] in ("queued", "running"):
        time.sleep(0.05)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--binary", default=str(ROOT / "target/debug/assay"))
    arguments.add_argument("--examples", type=int, default=50, help="for each operation and phase")
    arguments.add_argument("more", nargs="*", help="passed on to schemathesis")
    arguments = arguments.parse_args()
    program = schemathesis()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "ASSAY_ARTIFACT_DIR": str(ROOT / "target/test-artifacts"),
            "ASSAY_LOG__FILTER": "error",
        }
        command = [arguments.binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        try:
            base = daemon.stdout.readline().strip().removeprefix("listening on ")
            fill(base)
            run = [program, "--config-file", HERE / "schemathesis.toml", "run", f"{base}/openapi.json"]
            run += ["--max-examples", str(arguments.examples), *arguments.more]
            hooks = {**os.environ, "PYTHONPATH": str(HERE)}
            status = subprocess.run(run, cwd=folder, env=hooks).returncode
            # Whatever was asked of it, it still works.
            assert ask(base, "GET", "/readyz")["ready"]
            sys.exit(status)
        finally:
            daemon.terminate()
            daemon.wait(20)


if __name__ == "__main__":
    main()
