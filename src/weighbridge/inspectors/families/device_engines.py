"""What would this compiled model run on a device: ExecuTorch programs, TensorRT engines?

An ExecuTorch program (`ET12`) is a FlatBuffer of operators and of what backends made of parts of the model. Operators of the
framework and of its known backends pass; others need code that the application brings. Backends whose part is native
code are bad. Segments must lie behind the program and inside the file.

A TensorRT engine is native code for one GPU with plug-ins inside. Nobody outside of the library can judge it.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats.flat_tables import FlatBuffer, FlatTable
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "device-engines"


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Build the engine yourself from the model's weights, on the machine that runs it."
    return Rule(name, title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "tensorrt-engine",
        "TensorRT engine",
        Severity.MEDIUM,
        "Native GPU code and plug-ins, which nobody else can judge.",
    ),
    _rule(
        "executorch-broken",
        "ExecuTorch program that breaks its format",
        Severity.HIGH,
        "Offsets lead out of the program.",
    ),
    _rule(
        "executorch-operator",
        "ExecuTorch operator that is not the framework's",
        Severity.MEDIUM,
        "The application must bring its code; what that does is not known.",
    ),
    _rule(
        "executorch-backend",
        "ExecuTorch backend that is not known",
        Severity.MEDIUM,
        "The program hands it bytes that only the backend can read.",
    ),
    _rule(
        "executorch-native-backend",
        "ExecuTorch backend that loads native code",
        Severity.HIGH,
        "The bytes handed to it are a library, which it loads.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_ENGINES: Final = frozenset((".engine", ".plan", ".trt"))
_OPERATOR: Final = re.compile(
    r"(?:aten|dim_order_ops|executorch_prim|et_prim|quantized_decomposed|llama|prims|et_vk|cadence|cortex_m|torchao)::\w+\Z"
)
_BACKENDS: Final = re.compile(
    r"(?:XnnpackBackend|VulkanBackend|CoreMLBackend|MPSBackend|QnnBackend|EthosUBackend|ArmBackend|NeuropilotBackend"
    r"|OpenvinoBackend|VgfBackend|EnnBackend|NXPBackend|NeutronBackend|SamsungBackend)\Z"
)
_NATIVE: Final = re.compile(r"(?:Aoti|AOTI|Cuda|Metal|AotInductor)\w*Backend\Z")


class DeviceEngines:
    """The inspector `device-engines`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean for ExecuTorch programs of known operators; unknown for engines; None for what is neither.

        Raises:
            LimitExceeded: the program has more tables than are followed.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind, notes = subject.kind.name, Notes(subject, _BY_ID)
        if kind == "tensorrt" or (subject.suffix in _ENGINES and kind == "unrecognised"):
            notes.say("tensorrt-engine", "the file is a serialised TensorRT engine")
            return notes.report(NAME, 0)
        if kind != "executorch":
            return None
        try:
            covered = _program(subject, notes)
        except Malformed as problem:
            notes.say("executorch-broken", problem.message)
            covered = 0
        return notes.report(NAME, covered)


def _program(subject: Subject, notes: Notes) -> int:
    size, end, after = subject.size_bytes, subject.size_bytes, subject.size_bytes
    header = subject.head[8:40]
    if header[:4] == b"eh00":
        end = int.from_bytes(header[8:16], "little")
        base, length = int.from_bytes(header[16:24], "little"), int.from_bytes(header[24:32], "little")
        length = length if int.from_bytes(header[4:8], "little") >= 32 else 0
        if end > size or (base and (base < end or base > size or base + length > size)):
            raise Malformed(
                f"the program ends at {end}, its segments lie at {base} to {base + length}, in {size} bytes"
            )
        # Headers of the first version do not say how long the segments are; they reach the end.
        after = base + length if base and length else size
        if base:
            subject.inert(base, after)
    program = FlatBuffer(subject, 0, end).root()
    for plan in program.tables(1):
        for operator in plan.tables(6):
            name = operator.text(0)
            if not _OPERATOR.match(name):
                notes.say("executorch-operator", f"an operator is {shown(name)}")
        for delegate in plan.tables(7):
            _backend(delegate, notes)
    return min(size, after)


def _backend(delegate: FlatTable, notes: Notes) -> None:
    name = delegate.text(0)
    if _NATIVE.match(name):
        notes.say("executorch-native-backend", f"a part is for {shown(name)}")
    elif not _BACKENDS.match(name):
        notes.say("executorch-backend", f"a part is for {shown(name)}")
