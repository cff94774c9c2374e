"""IAM policies: read strictly, evaluated by AWS's logic without guessing, and explained: who may do what to a bucket."""

from weighbridge.deploy.iam.access import BucketAccess, explain, opened, unproved
from weighbridge.deploy.iam.conditions import Condition, Context
from weighbridge.deploy.iam.document import Effect, Element, PolicyDocument, PolicyKind, Principals, Statement
from weighbridge.deploy.iam.evaluation import NOT_SEEN, Decision, Outcome, Request, evaluate
from weighbridge.deploy.iam.patterns import Truth
from weighbridge.deploy.iam.principals import Principal

__all__ = [
    "NOT_SEEN",
    "BucketAccess",
    "Condition",
    "Context",
    "Decision",
    "Effect",
    "Element",
    "Outcome",
    "PolicyDocument",
    "PolicyKind",
    "Principal",
    "Principals",
    "Request",
    "Statement",
    "Truth",
    "evaluate",
    "explain",
    "opened",
    "unproved",
]
