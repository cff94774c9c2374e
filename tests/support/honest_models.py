"""Honest files of the smaller families, as the real programs write them: a name, a path, the bytes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

from tests.support import model_bytes as b
from tests.support.real_models import HONEST

Case = tuple[str, str, bytes]

NEMO = b"""\
name: FastConformer-CTC
model:
  sample_rate: 16000
  train_ds:
    manifest_filepath: ???
  preprocessor:
    _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor
    window: hann
  encoder:
    _target_: nemo.collections.asr.modules.ConformerEncoder
    d_model: 512
    att_context_size: [-1, -1]
  decoder:
    _target_: nemo.collections.asr.modules.ConvASRDecoder
    vocabulary: [a, b, "'", "\\u2581the"]
  optim:
    name: adamw
    lr: ${model.lr}
    betas: [0.9, 0.98]
"""
SPEECHBRAIN = b"""\
sample_rate: 16000
emb_dim: 192
seed: 1986
__set_seed: !apply:torch.manual_seed [!ref <seed>]
compute_features: !new:speechbrain.lobes.features.Fbank
  n_mels: 80
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
  input_size: 80
  activation: !name:torch.nn.LeakyReLU
  channels: [1024, 1024]
modules:
  embedding_model: !ref <embedding_model>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    embedding_model: !ref <embedding_model>
output: !PLACEHOLDER
"""
DIFFUSION = b"""\
model:
  base_learning_rate: 1.0e-04
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: {image_size: 32, use_spatial_transformer: True}
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
"""
YAMLS = {
    "nemo": NEMO,
    "speechbrain": SPEECHBRAIN,
    "latent diffusion": DIFFUSION,
    "cosyvoice": b"__set_seed1: !apply:random.seed [1986]\n__set_seed2: !apply:numpy.random.seed [1986]\n"
    b"__set_seed4: !apply:torch.cuda.manual_seed_all [1986]\nllm: !new:cosyvoice.llm.llm.CosyVoice3LM\n  speech_token_size: 6561\n"
    b"  sampling: !name:cosyvoice.utils.common.ras_sampling\n    top_p: 0.8\n",
    "speechbrain asr": b"tokenizer: !new:sentencepiece.SentencePieceProcessor\nmean: !new:speechbrain.processing.features.InputNormalization\n"
    b"opt_class: !name:torch.optim.Adam\n  lr: !ref <lr>\nchannels: (64, 128)\nsave: !ref <output_folder>/save\n",
    "targets that are none": b"target: www.example.com\ncallable: main.py\nother: {target: all}\n",
    "plain": b"learning_rate: 0.0001\nepochs: 3\nnames: [a, b]\n",
    "anchors": b"base: &base {lr: 1}\nrun:\n  <<: *base\n  wd: 0.1\n",
    "exclamations and stars": b"prompt: 'Say **hi**!'\nnote: \"a \\n b\"\nglob: '*.txt'\n",
    "block text": b"text: |\n  #!/bin/sh\n  echo $HOME & wait\nother: >-\n  a\n  b\n",
    "yolo network": b"nc: 80\nactivation: nn.SiLU()\nbackbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n  - [-1, 1, nn.Upsample, [None, 2, nearest]]\n",
    "yolo data fetched": b"path: coco8\ntrain: a\nnames: [a]\ndownload: https://github.com/x/y/releases/download/v1/coco8.zip\n",
    "words about code": b"description: never call eval() or os.system() on it\nnotes: curl http://x | sh is bad\nurl: download\n",
    "yolo data": b"train: images/train\nval: images/val\nnc: 2\nnames:\n  0: cat\n  1: dog\n",
    "axolotl": b"base_model: meta-llama/Llama-3\nload_in_8bit: true\ndatasets:\n  - path: a/b\n    type: alpaca\ntarget: all\n",
    "dvc lock": b"schema: '2.0'\nstages:\n  a:\n    cmd: python train.py\n    deps:\n    - path: a\n      md5: x\n",
    "standard tags": b"a: !!str 1\nb: !!int '2'\nc: !!float 3\nd: !!set {x, y}\ne: !!binary aGk=\n",
    "merge kit": b"slices:\n  - sources:\n      - model: a/b\n        layer_range: [0, 32]\nmerge_method: slerp\ndtype: bfloat16\n",
    "conda": b"name: env\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip:\n    - torch\n",
    "two documents": b"---\na: 1\n---\nb: 2\n",
    "comments that warn": b"# never use !!python/object tags or os.system\na: 1\n",
    "open questions": b"text: '??? !!!'\nlist:\n- '- a'\n- \"b: c\"\n",
    "interpolated": b"a: 1\nb: ${a}\nc: ${model.d}/x\n",
    "model card data": b"license: mit\ntags:\n- text-generation\nmodel-index:\n- name: a\n  results: []\n",
}


def _yaml() -> Iterator[Case]:
    for name, data in YAMLS.items():
        yield f"yaml {name}", "config.yaml", data


def _vocabularies() -> Iterator[Case]:
    yield "sentencepiece by hand", "tokenizer.model", b.sentencepiece("<unk>", "<s>", "\u2581a", "x" * 100)
    leaf = 0x80000000
    yield "sentencepiece with a map", "spiece.model", b.sentencepiece("<unk>", "a", charsmap=b.trie(1 << 10, leaf))
    ranks = b"".join(base64.b64encode(bytes([n])) + b" %d\n" % n for n in range(256))
    yield "tiktoken", "qwen.tiktoken", ranks
    yield "tiktoken as a model", "original/tokenizer.model", ranks
    yield "tiktoken without a last newline", "x.tiktoken", ranks[:-1]
    yield "merges", "merges.txt", "#version: 0.2\nĠ t\nĠ a\nh e\n".encode()
    yield "merges without a version", "merges.txt", b"i n\nt h</w>\n"
    yield "bpe", "vocab.bpe", "#version: 0.2\nĠ t\n".encode()
    yield "bpe codes", "bpe.codes", b"e n 1234\nt h 99\n"
    yield "bert vocabulary", "vocab.txt", "[PAD]\n[UNK]\n##ing\nos.system\n中\n".encode()
    yield "vocabulary of pieces", "sentencepiece.vocab", "<unk>\t0\n▁the\t-3.5\n".encode()
    yield "vocabulary of windows", "vocab.txt", b"[PAD]\r\n[UNK]\r\n"


def _boosters() -> Iterator[Case]:
    two = b"tree\nversion=v3\nnum_class=1\nmax_feature_idx=0\nobjective=regression\nfeature_names=a\nfeature_infos=[0:1]\ntree_sizes=1\n\n"
    tree = (
        b"Tree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nshrinkage=1\n\n\nend of trees\n\npandas_categorical:null\n"
    )
    yield "lightgbm stump", "lightgbm.model", two + tree
    model = json.loads(HONEST["xgboost tree json"][1])
    model["learner"]["attributes"] = {"scikit_learn": '{"_estimator_type": "classifier"}', "best_iteration": "3"}
    yield "xgboost with attributes", "model.json", json.dumps(model, indent=1).encode()
    tables = b.flat_buffer({0: "FlabuffersModel_v1", 1: {0: 1}, 2: [{0: "params", 1: "{}"}]})
    yield "catboost by hand", "model.cbm", b"CBM1" + struct.pack("<I", len(tables)) + tables


def _xml() -> Iterator[Case]:
    pmml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header><Application'
        ' name="SkLearn2PMML package" version="0.1"/></Header>%s</PMML>'
    )
    function = '<TransformationDictionary><DefineFunction name="f" optype="continuous"><Apply function="+"/></DefineFunction></TransformationDictionary>'
    yield "pmml function", "m.pmml", (pmml % function).encode()
    extension = '<Extension name="repr">PMMLPipeline(steps=[(&quot;c&quot;, LogisticRegression())])</Extension>'
    yield "pmml extension", "m.pmml", (pmml % extension).encode()
    yield "pmml as xml", "m.xml", (pmml % "<!-- a comment --><![CDATA[text]]>").encode()
    yield "pmml of utf-16", "m.pmml", (pmml % "").replace("UTF-8", "UTF-16").encode("utf-16")
    layers = "".join(
        f'<layer id="{n}" name="l{n}" type="{kind}" version="{version}">{data}<output/></layer>'
        for n, (kind, version, data) in enumerate((
            ("Parameter", "opset1", '<data shape="?,?" element_type="i64"/>'),
            ("Const", "opset1", '<data element_type="f32" shape="2" offset="0" size="8"/>'),
            ("ScaledDotProductAttention", "opset13", ""), ("Result", "opset1", "")))
    )  # fmt: skip
    net = '<?xml version="1.0"?>\n<net name="Model0" version="11"><layers>%s</layers><edges/><rt_info/></net>'
    yield "openvino", "openvino_model.xml", (net % layers).encode()
    tokenizer = '<layer id="0" name="t" type="BPETokenizer" version="extension"><data unk_token=""/></layer>'
    yield "openvino tokenizer", "openvino_tokenizer.xml", (net % tokenizer).encode()


def _coreml() -> Iterator[Case]:
    described = b.number(1, 4) + b.message(
        2, b.message(100, b.message(1, "Reads https://example.org, evaluates nothing"))
    )
    layer = b.message(1, b.message(1, "dense"), b.message(2, "x"), b.message(140, b.number(1, 4)))
    yield "core ml network", "m.mlmodel", described + b.message(500, layer)
    pipeline = b.message(202, b.message(1, described + b.message(604, b"")), b.message(2, "scaler"))
    yield "core ml pipeline", "m.mlmodel", described + pipeline
    const = b.message(1, "const") + b.message(
        5, b.message(1, "val"), b.message(2, b.message(5, b.message(1, "@model_path/weights/weight.bin")))
    )
    block = b.message(3, const) + b.message(3, b.message(1, "conv"))
    function = b.message(1, "main"), b.message(2, b.message(3, b.message(1, "CoreML7"), b.message(2, block)))
    yield (
        "core ml program",
        "Data/com.apple.CoreML/model.mlmodel",
        described + b.message(502, b.number(1, 1), b.message(2, *function)),
    )
    item = {"author": "com.apple.CoreML", "path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel"}
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": {"A": item}, "rootModelIdentifier": "A"}
    yield "core ml package", "m.mlpackage/Manifest.json", json.dumps(manifest, indent=1).encode()


def _r_objects() -> Iterator[Case]:
    numbers = b.r_reals(1.5, 2.5)
    frame = b.r_with_attributes(
        b.r_list(b.r_integers(1, 2), b.r_texts("x", "y")),
        b.r_pairs(
            ("names", b.r_texts("a", "b")),
            ("class", b.r_texts("data.frame")),
            ("row.names", b.r_integers(-(1 << 31), -2)),
        ),
    )
    for name, item in {"numbers": numbers, "texts": b.r_texts("system", "eval"), "list": b.r_list(numbers, b.NIL), "data frame": frame,
                       "raw": b.word(24, 3) + b"abc", "logical": b.word(10, 2, 1, 0), "nothing": b.NIL}.items():  # fmt: skip
        yield f"r {name}", "x.rds", b.r_data(item)
        yield f"r {name}, version 3", "x.rds", b.r_data_3(item)
    yield "r workspace", "w.RData", b.r_workspace(b.r_pairs(("x", numbers), ("y", frame)))
    yield "r text", "x.rds", b"A\n2\n262912\n131840\n14\n2\n1.5\nNA\n"
    sequence = b.word(238) + b.r_pairs(("c", b.r_symbol("compact_intseq"))) + b.r_reals(3, 1, 1) + b.NIL
    yield "r compact sequence", "x.rds", b.r_data_3(sequence)


def _others() -> Iterator[Case]:
    block = b.message(
        1, b.number(1, 0), b.number(2, 0), b.message(4, b.message(3, "conv2d")), b.message(4, b.message(3, "fetch"))
    )
    yield "paddle program", "inference.pdmodel", block + b.message(4, b.number(1, 0))
    yield (
        "paddle parameters",
        "inference.pdiparams",
        b.paddle_tensor([2, 3], bytes(24)) + b.paddle_tensor([1], bytes(8), kind=3),
    )
    pir = {"base_code": {"magic": "pir", "version": 1}, "program": {"regions": [{"ops": [{"#": "1.conv2d"}]}]}}
    yield "paddle pir", "inference.json", json.dumps(pir).encode()
    node = {"op": "Convolution", "name": "c", "attrs": {"kernel": "(3, 3)"}, "inputs": [[0, 0, 0]]}
    symbol = {"nodes": [{"op": "null", "name": "data", "inputs": []}, node], "arg_nodes": [0], "heads": [[1, 0, 0]]}
    yield (
        "mxnet symbol",
        "resnet-symbol.json",
        json.dumps(symbol | {"attrs": {"mxnet_version": ["int", 10700]}}).encode(),
    )
    yield (
        "mxnet parameters",
        "resnet-0000.params",
        b.mxnet_params(([2, 2], bytes(16)), ([3], bytes(12)), names=["arg:w", "aux:m"]),
    )
    caffe = b'name: "LeNet" # python\nlayer {\n name: "conv" type: "Convolution"\n convolution_param { num_output: 20 kernel_size: 5 }\n}\n'
    yield "caffe network", "deploy.prototxt", caffe
    yield (
        "caffe model",
        "m.caffemodel",
        b.message(1, "net") + b.message(100, b.message(1, "c"), b.message(2, "Convolution"), b.message(7, b"xx")),
    )
    yield (
        "darknet",
        "yolov3.cfg",
        b"# a\n[net]\nbatch=1\n\n[convolutional]\nfilters=32\nactivation=leaky\n[yolo]\nmask = 0,1\n",
    )
    yield "darknet weights", "yolov3.weights", struct.pack("<3iQ", 0, 2, 0, 32013312) + bytes(40)
    yield (
        "ncnn",
        "m.param",
        b"7767517\n2 2\nInput data 0 1 data\nConvolution conv1 1 1 data conv1 0=16 1=3 -23330=4,3,1,1,1\n",
    )
    plan: dict[int, b.Flat] = {0: "forward", 6: [{0: "aten::add", 1: "out"}], 7: [{0: "XnnpackBackend"}]}
    yield "executorch", "m.pte", b.flat_buffer({0: 1, 1: [plan]}, b"ET12")
    array = {
        "chunks": [2],
        "compressor": {"id": "blosc", "cname": "lz4"},
        "dtype": "<f4",
        "filters": None,
        "shape": [2],
        "zarr_format": 2,
    }
    yield "zarr array", "a/.zarray", json.dumps(array).encode()
    yield "zarr group", "a/.zgroup", b'{"zarr_format": 2}'
    yield "zarr attributes", "a/.zattrs", b'{"id": "pickle", "source": "https://example.org"}'
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 3}}]
    three = {
        "zarr_format": 3,
        "node_type": "array",
        "codecs": codecs,
        "chunk_grid": {"name": "regular", "configuration": {}},
    }
    yield "zarr 3", "a/zarr.json", json.dumps(three).encode()
    yield "fasttext", "cc.en.bin", b.fasttext(["the", "of", "</s>"])
    yield "fasttext quantised", "lid.176.ftz", b.fasttext(["the", "of", "</s>"], columns=4, quantised=True)
    yield "crfsuite", "tagger.crfsuite", b.crfsuite()
    yield "coreml weights", "weights/weight.bin", b.coreml_weights(b"abc", b"d" * 70, b"")
    yield "tiktoken of Whisper", "multilingual.tiktoken", b"IQ== 0\nIg== 1\n= 50256\n"
    spacy = b'[nlp]\nlang = "en"\n\n[components.tok2vec.model]\n@architectures = "spacy.Tok2Vec.v2"\n\n[training.batcher]\n@schedules = "compounding.v1"\n'
    yield "spacy", "config.cfg", spacy


def honest() -> list[Case]:
    """All of them."""
    real = [(name, path, data) for name, (path, data) in HONEST.items()]
    families = (_yaml, _vocabularies, _boosters, _xml, _coreml, _r_objects, _others)
    return [*real, *(case for family in families for case in family())]
