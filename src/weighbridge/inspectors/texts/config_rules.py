"""The rules of the inspector `configurations`: what a JSON file can make a loader do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Severity
from weighbridge.inspectors.rule import Rule

NAME: Final = "configurations"

_REVIEW = "Have the code reviewed and pin it, or use an architecture that the engine has built in and remove the key."
_REMOVE = "Do not load the model with this file. Remove the key, or ask the publisher why it is there."
_REPAIR = "Ask the publisher for a sound file; do not guess which reading is meant."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REMOVE) -> Rule:
    return Rule(f"config-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "remote-code",
        "Names code of the repository to be run",
        Severity.MEDIUM,
        "A loader that is told to trust remote code (some versions of vLLM and diffusers: any loader) imports and runs "
        "this Python module (CVE-2025-66448, CVE-2026-22807, CVE-2026-44513).",
        _REVIEW,
    ),
    _rule(
        "remote-code-elsewhere",
        "Names code of another repository to be run",
        Severity.HIGH,
        "What runs is whatever the other repository holds on the day of loading; pinning this one pins nothing.",
        "Copy the code into the repository, have it reviewed and name it locally; or remove the key.",
    ),
    _rule(
        "code-reference-escape",
        "Reference to code that leads out of the repository",
        Severity.HIGH,
        "It is none of the documented forms (module.Class); loaders join it to a path or import it as it stands.",
    ),
    _rule(
        "callable",
        "Names a class or function to be imported",
        Severity.MEDIUM,
        "A loader that instantiates configurations (hydra, PEFT, sentence-transformers, LangChain, MLServer, OpenMMLab) "
        "imports it and calls it with arguments from the file.",
        "Make sure that the named package is one you install and trust, or remove the key.",
    ),
    _rule(
        "dangerous-callable",
        "Names a callable that runs code",
        Severity.CRITICAL,
        "A loader that instantiates configurations calls it with arguments from the file (CVE-2025-23304, "
        "CVE-2026-22584, PAIT-EXDIR-101).",
    ),
    _rule(
        "native-library",
        "Names a native library to be loaded",
        Severity.MEDIUM,
        "The runtime loads the library into its own process, from the repository or from the machine it runs on "
        "(`custom_ops_library` of ONNX Runtime GenAI, `op_library_filename` of Triton).",
        "Make sure that the named library is one you build or install yourself, or remove the key.",
    ),
    _rule(
        "regex",
        "Expression that may run for ever",
        Severity.MEDIUM,
        "What the model answers is matched with it; the time grows exponentially with the answer's length "
        "(`response_template` of transformers 5).",
        _REPAIR,
    ),
    _rule(
        "pickled-object",
        "Serialised Python object in JSON",
        Severity.HIGH,
        "jsonpickle and its like rebuild any object from such keys, running code on the way.",
    ),
    _rule(
        "keras-lambda",
        "Keras layer with code inside",
        Severity.HIGH,
        "A Lambda layer carries marshalled bytecode or names a function; loading the architecture runs it "
        "(CVE-2025-1550, CVE-2024-3660).",
        "Ask for an architecture without Lambda layers.",
    ),
    _rule(
        "trust-remote-code",
        "Switches on trust in remote code by itself",
        Severity.HIGH,
        "Whether code is trusted is the user's decision; loaders have taken it from the file (CVE-2026-5241).",
    ),
    _rule(
        "trust-mentioned",
        "Was made with remote code trusted",
        Severity.LOW,
        "No loader reads this file, but the model was trained or measured with remote code trusted.",
        "Find out which code that was.",
    ),
    _rule(
        "hub-kernel",
        "Fetches compiled code from another repository",
        Severity.CRITICAL,
        "transformers 4.56 to 5.2 download and import the named kernel at loading, also when remote code is not "
        "trusted (CVE-2026-4372).",
    ),
    _rule(
        "hub-kernel-community",
        "Fetches a kernel of the kernels community",
        Severity.MEDIUM,
        "Compiled code is downloaded at loading from the repositories that the transformers team keeps.",
        "Choose the attention implementation where the model is served, not in the file.",
    ),
    _rule(
        "kernels",
        "Switches on kernels from the Hub",
        Severity.MEDIUM,
        "Layers are replaced by compiled code that is downloaded at loading.",
        "Choose kernels where the model is served, not in the file.",
    ),
    _rule(
        "path-escape",
        "Names a file outside of the repository",
        Severity.HIGH,
        "The loader reads or fetches a file of the machine it runs on, or of the net, in place of the repository's.",
    ),
    _rule(
        "absolute-path",
        "Names a file by an absolute path",
        Severity.LOW,
        "Left over from the publisher's machine; where such a file exists, it is read in place of the repository's.",
        "Remove the key.",
    ),
    _rule(
        "pickle-reference",
        "Names a pickle to be loaded",
        Severity.MEDIUM,
        "Unpickling runs code (CVE-2023-6730, CVE-2023-7018).",
        "Use a tokenizer or an index in another format.",
    ),
    _rule(
        "allow-pickle",
        "Allows pickles by itself",
        Severity.MEDIUM,
        "Whether pickles may be loaded is the user's decision, not the file's.",
    ),
    _rule(
        "index-escape",
        "Index names a file outside of the repository",
        Severity.HIGH,
        "The index of a sharded model leads the loader to a file elsewhere.",
    ),
    _rule(
        "index-malformed",
        "Index of a sharded model is not one",
        Severity.MEDIUM,
        "Every tensor must name the file that holds it.",
        _REPAIR,
    ),
    _rule(
        "evaluated-text",
        "Text that a loader evaluates holds more than numbers",
        Severity.HIGH,
        "Conversion scripts evaluate this value as Python (CVE-2025-14926, CVE-2025-14928).",
    ),
    _rule(
        "code-text",
        "Program text where a value belongs",
        Severity.HIGH,
        "The value holds Python or shell code that imports, evaluates or runs something.",
    ),
    _rule(
        "interpolation",
        "Value that reads the environment",
        Severity.MEDIUM,
        "OmegaConf replaces such texts when the file is read; the environment often holds secrets.",
    ),
    _rule(
        "odd-name",
        "Name that is none",
        Severity.MEDIUM,
        "Loaders look up classes and files by this name; a path, a URL or an expression does not belong here.",
        _REPAIR,
    ),
    _rule(
        "dtype",
        "Unknown number type",
        Severity.LOW,
        "Loaders take an attribute of this name from torch.",
        _REPAIR,
    ),
    _rule(
        "hidden-text",
        "Invisible or reordering characters",
        Severity.MEDIUM,
        "A reviewer sees another text than the loader reads.",
        _REPAIR,
    ),
    _rule(
        "duplicate-key",
        "Key given twice",
        Severity.MEDIUM,
        "Readers keep the first or the last, so reviewer and loader may see different values.",
        _REPAIR,
    ),
    _rule(
        "byte-order-mark",
        "Begins with a byte order mark",
        Severity.LOW,
        "Python's reader refuses such files, others pass the mark by.",
        _REPAIR,
    ),
    _rule(
        "not-understood",
        "Not JSON that can be judged",
        Severity.MEDIUM,
        "The text is not one JSON value in UTF-8, or nested beyond reason; nothing is known about what readers make "
        "of it.",
        _REPAIR,
    ),
    _rule(
        "trailing-data",
        "Something after the JSON value",
        Severity.MEDIUM,
        "A reader that stops early takes the first value, others refuse the file; a payload hides there.",
        _REPAIR,
    ),
)
BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
