"""Records what real instrumentations send over OTLP.

The real openai SDK asks a model server that lives in this process; the real
exporters post to a collector that lives in this process; what arrives is
written beside this file as it came (only stack traces are taken out, because
they name the machine's folders). Tests of the host read the files.

    python -m venv new && new/bin/pip install \
        openai==3.57.0 \
        opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 \
        opentelemetry-instrumentation-genai-openai==1.3b0 opentelemetry-util-genai==1.3b0
    new/bin/python record.py genai
    python -m venv v2 && v2/bin/pip install \
        openai==2.54.0 httpx==0.28.1 \
        opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 \
        opentelemetry-instrumentation-openai-v2==2.4b0 opentelemetry-util-genai==1.1b0 \
        openinference-instrumentation-openai==0.1.66
    v2/bin/python record.py genai_events openinference
    python -m venv old && old/bin/pip install \
        openai==1.109.1 \
        opentelemetry-sdk==1.37.0 opentelemetry-exporter-otlp-proto-http==1.37.0 \
        opentelemetry-instrumentation==0.58b0 opentelemetry-instrumentation-openai-v2==2.1b0
    old/bin/python record.py genai_legacy
"""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).parent

# Today's conventions on spans and in events, in events alone, the older ones
# (v1.30) with one event a message, and OpenInference.
MODES = {
    "genai": {
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_and_event",
    },
    "genai_events": {
        "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "event_only",
    },
    "genai_legacy": {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    "openinference": {},
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]

USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 9,
    "total_tokens": 129,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


class Model(BaseHTTPRequestHandler):
    """Imitates chat completions, responses and embeddings."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            self.answer(200, {"object": "list", "model": asked["model"], "data": data, "usage": usage})
            return
        question = str(asked["messages"][-1].get("content"))
        if "fail with" in question:
            status = int(question.rsplit(" ", 1)[1])
            self.answer(status, {"error": {"message": "told to fail", "type": "server_error", "code": None}})
        elif asked.get("stream"):
            self.stream(asked)
        elif asked.get("tools") and asked["messages"][-1]["role"] == "user":
            call = {
                "id": "call_weather",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
            }
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
            self.answer(200, self.completion(message, "tool_calls"))
        else:
            message = {"role": "assistant", "content": f"You said: {question}"}
            self.answer(200, self.completion(message, "stop"))

    def completion(self, message, stopped):
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1767225600,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": message, "finish_reason": stopped}],
            "usage": USAGE,
        }

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, asked):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

        def send(choices, usage=None):
            chunk = {
                "id": "chatcmpl-2",
                "object": "chat.completion.chunk",
                "created": 1767225600,
                "model": "gpt-4o-mini-2024-07-18",
                "choices": choices,
                "usage": usage,
            }
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()

        try:
            time.sleep(0.05)
            for text in ["One", " two", " three"]:
                send([{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}])
                time.sleep(0.02)
            send([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            if (asked.get("stream_options") or {}).get("include_usage"):
                send([], USAGE)
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            pass


class Collector(BaseHTTPRequestHandler):
    """Keeps what exporters post."""

    got = []

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.path, self.headers.get("content-encoding"), body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()


def start(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def without_stack_traces(path, body):
    """The same message without what names this machine's folders."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    kind = ExportTraceServiceRequest if path.endswith("traces") else ExportLogsServiceRequest
    request = kind.FromString(body)
    holders = []
    if path.endswith("traces"):
        for group in request.resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    holders += [span, *span.events]
    else:
        for group in request.resource_logs:
            for scope in group.scope_logs:
                holders += scope.log_records
    for holder in holders:
        for attribute in holder.attributes:
            if attribute.key == "exception.stacktrace":
                attribute.value.string_value = "left out"
    return request.SerializeToString()


def record(mode):
    collector, collector_url = start(Collector)
    model, model_url = start(Model)

    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Not `Resource.create`, which adds the host and the process.
    resource = Resource(
        {
            "service.name": "weather-shop",
            "service.version": "1.4.2",
            "deployment.environment.name": "recorded",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
        }
    )
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{collector_url}/v1/traces"), schedule_delay_millis=60_000)
    )
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(f"{collector_url}/v1/logs"), schedule_delay_millis=60_000)
    )

    import openai

    client = openai.OpenAI(api_key="none", base_url=f"{model_url}/v1", max_retries=0)
    if mode == "openinference":
        openinference(client, tracers)
    else:
        genai(client, mode, tracers, loggers)

    tracers.force_flush()
    loggers.force_flush()
    tracers.shutdown()
    loggers.shutdown()
    for server in (collector, model):
        server.shutdown()
    for path, encoding, body in Collector.got:
        assert encoding is None, encoding
        file = FOLDER / f"{mode}_{path.rsplit('/', 1)[1]}.bin"
        assert (mode, path) not in SEEN, "more than one request of a kind"
        SEEN.add((mode, path))
        file.write_bytes(without_stack_traces(path, body))
        print(file.name, file.stat().st_size, "bytes")


SEEN = set()


def calls(client):
    """Every way of asking that a test wants to see, each in a trace of its own."""
    model = "gpt-4o-mini"
    client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "First question"},
            {"role": "assistant", "content": "First answer"},
            {"role": "user", "content": "Second question"},
        ],
        temperature=0.5,
        max_tokens=100,
    )
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Count to three"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for _ in stream:
        pass
    # The user goes away after the first word.
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Count, and be broken off"}], stream=True
    )
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    for status in (500, 429):
        try:
            client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": f"fail with {status}"}]
            )
        except Exception as error:  # noqa: BLE001, the instrumentation has seen it
            assert "told to fail" in str(error), error
        else:
            raise AssertionError("the call should have failed")
    client.embeddings.create(model="text-embedding-3-small", input="a text")


def weather(client, answer_tool):
    """A question that takes a tool: the model asks for it and gets its output."""
    messages = [
        {"role": "system", "content": "You may ask for the weather."},
        {"role": "user", "content": "What is the weather in Paris?"},
    ]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    call = first.choices[0].message.tool_calls[0]
    output = answer_tool(call)
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
    last = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    return last.choices[0].message.content


def genai(client, mode, tracers, loggers):
    if mode == "genai":
        # The official instrumentation under its new name.
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    else:
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    if mode == "genai_legacy":
        from opentelemetry.sdk._events import EventLoggerProvider

        events = EventLoggerProvider(logger_provider=loggers)
        OpenAIInstrumentor().instrument(tracer_provider=tracers, event_logger_provider=events)
        calls(client)
        with tracers.get_tracer("weather-shop").start_as_current_span("POST /ask"):
            weather(client, lambda _: "rainy, 14 degrees")
        return

    from opentelemetry.util.genai.handler import TelemetryHandler
    from opentelemetry.util.genai.types import InputMessage, OutputMessage, Text

    OpenAIInstrumentor().instrument(tracer_provider=tracers, logger_provider=loggers)
    calls(client)
    handler = TelemetryHandler(tracer_provider=tracers, logger_provider=loggers)

    def tool(call):
        with handler.tool(call.function.name, tool_type="function") as run:
            run.tool_call_id = call.id
            run.arguments = call.function.arguments
            run.tool_result = "rainy, 14 degrees"
        return "rainy, 14 degrees"

    with handler.invoke_local_agent(agent_name="Weather") as agent:
        agent.conversation_id = "conversation-1"
        agent.input_messages = [InputMessage(role="user", parts=[Text("What is the weather in Paris?")])]
        with handler.retrieval(data_source_id="cities", provider="local") as search:
            search.query_text = "weather Paris"
            search.documents = [{"id": "city-75", "score": 0.9, "content": "Paris lies on the Seine."}]
        answer = weather(client, tool)
        agent.output_messages = [
            OutputMessage(role="assistant", parts=[Text(answer)], finish_reason="stop")
        ]


def openinference(client, tracers):
    from openinference.instrumentation import OITracer, TraceConfig, using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=tracers)
    tracer = OITracer(tracers.get_tracer("weather-shop"), config=TraceConfig())
    calls(client)

    def tool(call):
        with tracer.start_as_current_span("get_weather", openinference_span_kind="tool") as span:
            span.set_tool(name=call.function.name, description="Tells the weather", parameters={"city": "string"})
            span.set_input(call.function.arguments, mime_type="application/json")
            span.set_output("rainy, 14 degrees")
        return "rainy, 14 degrees"

    with using_attributes(
        session_id="session-1",
        user_id="user-1",
        metadata={"plan": "free", "seats": 3},
        tags=["beta", "weather"],
        prompt_template="What is the weather in {city}?",
        prompt_template_version="v3",
        prompt_template_variables={"city": "Paris"},
    ):
        with tracer.start_as_current_span("answer", openinference_span_kind="agent") as agent:
            agent.set_input("What is the weather in Paris?")
            with tracer.start_as_current_span("search", openinference_span_kind="retriever") as search:
                search.set_input("weather Paris")
                search.set_attributes(
                    {
                        "retrieval.documents.0.document.id": "city-75",
                        "retrieval.documents.0.document.content": "Paris lies on the Seine.",
                        "retrieval.documents.0.document.score": 0.9,
                        "retrieval.documents.0.document.metadata": json.dumps({"title": "Paris"}),
                        "retrieval.documents.1.document.content": "It rains 111 days a year.",
                    }
                )
            agent.set_output(weather(client, tool))


if __name__ == "__main__":
    if sys.argv[1] == "in-this-process":
        record(sys.argv[2])
    else:
        for mode in sys.argv[1:]:
            plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
            command = [sys.executable, __file__, "in-this-process", mode]
            subprocess.run(command, env=plain | MODES[mode], check=True)
