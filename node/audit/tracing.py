"""OpenTelemetry traces of computations, for sites with a collector; nothing happens where tracing is off.

There is one trace for each job: its id is derived from the job's id, so that spans of node, workers and delivery belong
together and messages of the broker need no field for it. Spans contain UIDs, job ids and steps.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from config.errors import SettingsError
from config.settings import Settings


class Tracer:
    """Sends spans to a collector; without a provider it does nothing."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider

    @contextmanager
    def span(self, name: str, job_id: str | None = None, **attributes: str | int | float | bool) -> Iterator[None]:
        """Return a span around the block; an exception marks it as failed, by its type only.

        An exception's message may contain what a file said, so it is not recorded.

        Parameters
        ----------
        job_id : str, optional
            Job whose trace it belongs to; None: a trace of its own.
        **attributes
            Recorded as ``cptdn.<name>``.
        """
        if self._provider is None:
            yield
            return
        from opentelemetry import trace

        tracer = self._provider.get_tracer("cptdn")
        context = _context_of(job_id) if job_id else None
        labels = {f"cptdn.{key}": value for key, value in attributes.items()}
        if job_id:
            labels["cptdn.job"] = job_id
        with tracer.start_as_current_span(
            name, context=context, attributes=labels, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
                raise

    def record(
        self, name: str, job_id: str, begun: datetime, ended: datetime, **attributes: str | int | float | bool
    ) -> None:
        """Send a span of something that has ended.

        Parameters
        ----------
        begun, ended : datetime
            Aware; an end before the beginning (after a jump of the clock) becomes the beginning.
        """
        if self._provider is None:
            return
        labels = {f"cptdn.{key}": value for key, value in attributes.items()} | {"cptdn.job": job_id}
        # Nanoseconds since 1970, as OpenTelemetry takes them.
        begun_ns, ended_ns = (int(when.timestamp() * 1e9) for when in (begun, max(begun, ended)))
        tracer = self._provider.get_tracer("cptdn")
        span = tracer.start_span(name, context=_context_of(job_id), attributes=labels, start_time=begun_ns)
        span.end(end_time=ended_ns)

    def close(self) -> None:
        """Send what waits, and end the threads of the exporter."""
        if self._provider is not None:
            self._provider.shutdown()


def open_tracer(settings: Settings, process: str) -> Tracer:
    """Return the tracer of a process.

    Raises
    ------
    SettingsError
        When tracing is on and its libraries are not installed.
    """
    if not settings.tracing.enabled:
        return Tracer()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("[tracing] is on and its libraries are not: pip install cptdn-node[tracing]") from error
    resource = Resource.create({"service.name": f"{settings.tracing.service_name}-{process}"})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=settings.tracing.endpoint, timeout=10)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return Tracer(provider)


def trace_id_of(job_id: str) -> int:
    """Return the trace id of a job.

    Returns
    -------
    int
        128 bits: the job's UUID, or the beginning of the SHA-256 digest of another id.
    """
    try:
        return uuid.UUID(job_id).int
    except ValueError:
        return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:16], "big")


def _context_of(job_id: str) -> Any:
    """Return a context whose spans join the job's trace.

    OpenTelemetry takes the trace id from a parent only, so there is a remote parent, whose span is never sent.
    """
    from opentelemetry import trace

    trace_id = trace_id_of(job_id)
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    # A span id of zero is invalid in OpenTelemetry, hence `or 1`.
    parent = trace.SpanContext(trace_id, (trace_id & (2**64 - 1)) or 1, is_remote=True, trace_flags=sampled)
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))
