"""What operators see: events and counts; it imports nothing that it observes."""

from sluicegate.monitoring.instruments import Counters
from sluicegate.monitoring.logger import Logger, NullLogger, StandardLogger, StructlogLogger
from sluicegate.monitoring.structlog_lines import structlog_logger

__all__ = ["Counters", "Logger", "NullLogger", "StandardLogger", "StructlogLogger", "structlog_logger"]
