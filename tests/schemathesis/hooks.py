"""Bodies that schemathesis has no writer for."""

import schemathesis


@schemathesis.serializer("application/wasm", "application/x-ndjson", "application/x-protobuf")
def as_it_is(_context, value):
    value = getattr(value, "data", value)
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
