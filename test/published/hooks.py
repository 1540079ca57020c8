"""What schemathesis must know of the formats of a document."""

import base64
import datetime
import json
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.jsonschema import make_validator
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance


def integers(low, high):
    return st.integers(low, high).map(str)


# Numbers in strings: the format says the range, as for numbers.
schemathesis.openapi.format("int64", integers(-(2**63), 2**63 - 1))
schemathesis.openapi.format("uint64", integers(0, 2**64 - 1))
schemathesis.openapi.format("byte", st.binary(max_size=20).map(lambda b: base64.b64encode(b).decode()))


def instants():
    """Times as ProtoJSON has them: no leap seconds, `T` and `Z` in upper case."""
    zone = st.sampled_from(["Z", "+02:00", "-23:59"])
    times = st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 12, 31))
    return st.builds(lambda t, z: t.isoformat() + z, times, zone)


schemathesis.openapi.format("date-time", instants())


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """One message of a stream."""
    return json.dumps(value).encode() + b"\n"


def without_nulls(value):
    """A body as ProtoJSON reads it: a member that is null is not set."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def errors_of(case, body):
    """What the document has against a body."""
    alternative = case.operation.get_body_for_media_type(case.media_type)
    validator_cls = case.operation.schema.adapter.jsonschema_validator_cls
    return list(make_validator(alternative.optimized_schema, validator_cls).iter_errors(body))


def is_valid_body(case, body):
    """Whether a body is one that the document allows."""
    return not errors_of(case, body)


def is_number_of_enum(case):
    """Whether a parameter has an enum's number: both names and numbers are taken."""
    for location in (ParameterLocation.QUERY, ParameterLocation.PATH):
        if case.meta.is_negative_at(location):
            value = case.get_container(location).get("kind")
            if re.fullmatch(r"-?\d+", str(value)):
                return True
    return False


def as_published(case, body):
    """A body as ProtoJSON reads it: null is not set, and a number stands for the string
    that is published for 64 bits, or for the name of an enum's value."""
    holder = [without_nulls(body)]
    for _ in range(100):
        wrong = [e for top in errors_of(case, holder[0]) for e in innermost(top)]
        numbers = [e for e in wrong if re.fullmatch(r"-?\d+(\.0)?", str(at(holder, [0, *e.instance_path])))]
        if not numbers:
            break
        path = [0, *numbers[0].instance_path]
        options = getattr(numbers[0].kind, "options", None)
        at(holder, path[:-1])[path[-1]] = options[0] if options else str(at(holder, path))
    return holder[0]


def innermost(error):
    """The errors within alternatives, of which none fits."""
    branches = getattr(error.kind, "context", None)
    if branches is None:
        return [error]
    return [inner for branch in branches for e in branch for inner in innermost(e)]


def at(value, path):
    for step in path:
        value = value[step]
    return value


def is_in_words(case, response):
    """Whether a request breaks what the document has no keyword for, and says in words."""
    return (
        {"left", "right"} <= set(case.query or {})  # members of a oneof
        or "expected the name of a known message type" in response.text  # Any
        or "IDEMPOTENCY_KEY_REUSED" in response.text  # a key names one call
        or "reason is required" in response.text  # an enum that must not be unspecified
        or "expected a number of at most 32 bits" in response.text  # the range of a format
        or "expected a map key that is an integer" in response.text  # the same
        or "ci: does not match" in response.text  # a regular expression of RE2 only
    )


@schemathesis.check
def forbidden_is_refused(ctx, response, case):
    """negative_data_rejection, but for what ProtoJSON takes besides what is published
    (docs/OPENAPI.md lists it), and for what HTTP cannot tell apart."""
    try:
        return negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        if case.meta.is_negative_at(ParameterLocation.BODY):
            if case.body is None or case.body is NOT_SET:
                return None  # null is not set; no body is an empty file or an empty stream
            if is_valid_body(case, as_published(case, case.body)):
                return None
        if is_number_of_enum(case):
            return None
        if "want warehouses/{warehouse}/stock/{product}" in response.text:
            return None  # the shop tells which messages of a stream it leaves out
        if (case.method, case.path) == ("PUT", "/v1/things/{thing}"):
            return None  # the request has a mask, so the service takes it for a PATCH
        raise


@schemathesis.check
def allowed_is_taken(ctx, response, case):
    """positive_data_acceptance, but for what is said in words, and for bodies that are said
    to be valid and are not: the generator gives up on some schemas that contain
    themselves, and sends a number."""
    try:
        return positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if is_in_words(case, response) or case.media_type == "application/json" and not is_valid_body(case, case.body):
            return None
        raise
