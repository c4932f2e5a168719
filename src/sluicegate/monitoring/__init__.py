"""What operators see: events and counts; it imports nothing that it observes."""

from sluicegate.monitoring.instruments import Counters
from sluicegate.monitoring.logger import Logger, NullLogger, StandardLogger, StructlogLogger

__all__ = ["Counters", "Logger", "NullLogger", "StandardLogger", "StructlogLogger"]
