"""Brings limits into web frameworks: translates requests and answers, and decides nothing itself."""

from sluicegate.integrations.asgi import DECISIONS_KEY, RateLimitMiddleware
from sluicegate.integrations.client_address import UNKNOWN_CLIENT, ClientAddress
from sluicegate.integrations.headers import RATELIMIT_DRAFT, limit_headers, policy_name
from sluicegate.integrations.json_form import decision_json
from sluicegate.integrations.problem import PROBLEM_MEDIA_TYPE, Problem, denial_problem

__all__ = [
    "DECISIONS_KEY",
    "PROBLEM_MEDIA_TYPE",
    "RATELIMIT_DRAFT",
    "UNKNOWN_CLIENT",
    "ClientAddress",
    "Problem",
    "RateLimitMiddleware",
    "decision_json",
    "denial_problem",
    "limit_headers",
    "policy_name",
]
