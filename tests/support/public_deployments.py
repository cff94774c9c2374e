"""Deployments as people publish them, shortened: examples of vLLM, TGI, LMI, KServe, SageMaker, llama.cpp, and neighbours that serve nothing.

Each was written down anew after public examples of its kind; `must` are rules that it has to break, `may` those that it may break
besides. Nothing else may be found in it. Where both are empty it is honest, or none of lint's business.
"""

from __future__ import annotations

from dataclasses import dataclass

HUB = "hub-model model-unpinned"
OPEN = "egress-open mutable-image"


@dataclass(frozen=True)
class Published:
    """A deployment, what has to be found in it, and what may be."""

    name: str
    file: str
    text: str
    must: str = ""
    may: str = ""


def _deployment(
    container: str, *, volumes: str = "", kind: str = "Deployment", api: str = "apps/v1", init: str = ""
) -> str:
    def indented(text: str, depth: int) -> str:
        return "".join(f"{' ' * depth}{line}\n" for line in text.strip().splitlines())

    first = indented(container, 10).replace(" " * 10, " " * 8 + "- ", 1)
    parts = f"apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: llm\n  labels: {{app: llm}}\nspec:\n  template:\n    metadata:\n      labels: {{app: llm}}\n    spec:\n"
    if init:
        parts += "      initContainers:\n" + indented(init, 10).replace(" " * 10, " " * 8 + "- ", 1)
    parts += "      containers:\n" + first
    return parts + ("      volumes:\n" + indented(volumes, 6) if volumes else "")


_TOKEN_ENV = """\
env:
  - name: HUGGING_FACE_HUB_TOKEN
    valueFrom:
      secretKeyRef: {name: hf-token-secret, key: token}
"""
_CACHE = "volumeMounts:\n  - {name: cache, mountPath: /var/cache/huggingface}\n"
_CACHE_VOLUME = "- name: cache\n  persistentVolumeClaim: {claimName: vllm-models}\n"

PUBLISHED: tuple[Published, ...] = (
    # --- vLLM in Kubernetes
    Published(
        "vllm docs, GPU",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\ncommand: ['/bin/sh', '-c']\nargs: ['vllm serve mistralai/Mistral-7B-Instruct-v0.3 --trust-remote-code --enable-chunked-prefill --max_num_batched_tokens 1024']\n"
            + _TOKEN_ENV
            + _CACHE,
            volumes=_CACHE_VOLUME,
        ),
        f"{HUB} {OPEN} remote-code hub-token-given",
    ),
    Published(
        "vllm docs, CPU",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai-cpu:v0.6.3\ncommand: ['/bin/sh', '-c']\nargs: ['vllm serve meta-llama/Llama-3.2-1B-Instruct']\n"
            + _TOKEN_ENV
            + _CACHE,
            volumes=_CACHE_VOLUME,
        ),
        f"{HUB} {OPEN} hub-token-given",
        "vulnerable-engine",
    ),
    Published(
        "module form",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: quay.io/people/vllm_dra\ncommand: [python, -m, vllm.entrypoints.openai.api_server, --model, facebook/opt-125m]\n"
            + _TOKEN_ENV
        ),
        f"{HUB} {OPEN} hub-token-given",
    ),
    Published(
        "tool choice",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:v0.8.4\nargs: ['--model', meta-llama/Llama-3.2-3B-Instruct, '--enable-auto-tool-choice', '--chat-template', /vllm-workspace/examples/tool_chat_template_llama3.2_json.jinja, '--tool-call-parser', llama3_json]\n"
            + _TOKEN_ENV
        ),
        f"{HUB} {OPEN} hub-token-given vulnerable-engine",
    ),
    Published(
        "envsubst",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\ncommand: [python3, -m, vllm.entrypoints.openai.api_server, --model, '${MODEL_REASONING}', --served-model-name, '${MODEL_REASONING}']\n"
            + _TOKEN_ENV
        ),
        f"{OPEN} hub-token-given not-read",
    ),
    Published(
        "quantised, many flags",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:v0.33.0\nargs: [--model=Qwen/Qwen2.5-72B-Instruct-AWQ, --quantization=awq, --tensor-parallel-size=4, --gpu-memory-utilization=0.95, --max-model-len=32768, --port=8000]\n"
        ),
        f"{HUB} {OPEN}",
        "vulnerable-engine",
    ),
    Published(
        "a claim with the model",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: registry.example/vllm@sha256:"
            + "0" * 64
            + "\nargs: [--model, /models/llama]\nenv:\n  - {name: HF_HUB_OFFLINE, value: '1'}\n  - {name: TRANSFORMERS_OFFLINE, value: '1'}\nvolumeMounts:\n  - {name: m, mountPath: /models, readOnly: true}\n",
            volumes="- name: m\n  persistentVolumeClaim: {claimName: m}\n",
        ),
        "egress-open",
    ),
    Published(
        "a claim, writable",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\nargs: [--model, /data/models/llama]\nvolumeMounts:\n  - {name: m, mountPath: /data/models}\n",
            volumes="- name: m\n  persistentVolumeClaim: {claimName: m}\n",
        ),
        f"{OPEN} not-offline writable-model",
    ),
    Published(
        "download directory",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\nargs: [--model, Qwen/Qwen3-8B, --download-dir, /models]\nvolumeMounts:\n  - {name: m, mountPath: /models}\n",
            volumes="- name: m\n  persistentVolumeClaim: {claimName: m}\n",
        ),
        f"{HUB} {OPEN}",
    ),
    Published(
        "host network, leader",
        "v.yaml",
        "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: vllm}\nspec:\n  leaderWorkerTemplate:\n    leaderTemplate:\n      metadata: {labels: {role: leader}}\n      spec:\n        hostNetwork: true\n        containers:\n          - name: leader\n            image: vllm/vllm-openai:latest\n            command: [sh, -c, 'bash /vllm-workspace/examples/online_serving/multi-node-serving.sh leader --ray_cluster_size=$(LWS_GROUP_SIZE); python3 -m vllm.entrypoints.openai.api_server --port 8080 --model meta-llama/Llama-3.1-405B-Instruct --tensor-parallel-size 8 --pipeline_parallel_size 2']\n            env: [{name: HUGGING_FACE_HUB_TOKEN, value: '<your-hf-token>'}]\n",
        f"{HUB} {OPEN} hub-token-given host-namespace",
    ),
    Published(
        "privileged for devices",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai-rocm:latest\nargs: [--model, mistralai/Mistral-7B-v0.3]\nsecurityContext: {privileged: true}\n"
        ),
        f"{HUB} {OPEN} privileged",
    ),
    Published(
        "mirror in China",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\nargs: [--model, Qwen/Qwen2.5-7B-Instruct]\nenv:\n  - {name: HF_ENDPOINT, value: 'https://hf-mirror.com'}\n"
        ),
        f"{HUB} {OPEN} hub-endpoint",
    ),
    Published(
        "modelscope",
        "v.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\nargs: [--model, Qwen/Qwen2.5-7B-Instruct, --trust-remote-code]\nenv:\n  - {name: VLLM_USE_MODELSCOPE, value: 'True'}\n"
        ),
        f"{HUB} {OPEN} other-hub remote-code",
    ),
    Published(
        "production stack values",
        "values.yaml",
        "servingEngineSpec:\n  runtimeClassName: ''\n  modelSpec:\n  - name: opt125m\n    repository: vllm/vllm-openai\n    tag: latest\n    modelURL: facebook/opt-125m\n    replicaCount: 1\n    hf_token: <YOUR HF TOKEN>\n",
        "not-read hub-model",
    ),
    Published(
        "KubeAI",
        "k.yaml",
        "apiVersion: kubeai.org/v1\nkind: Model\nmetadata: {name: llama}\nspec:\n  features: [TextGeneration]\n  owner: meta-llama\n  url: hf://meta-llama/Llama-3.1-8B-Instruct\n  engine: VLLM\n  args: [--max-model-len=16384]\n  resourceProfile: nvidia-gpu-l4:1\n",
        "hub-model",
    ),
    Published(
        "Ray",
        "r.yaml",
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: llm}\nspec:\n  serveConfigV2: |\n    applications: []\n  rayClusterConfig:\n    headGroupSpec:\n      template:\n        spec:\n          containers:\n            - name: ray-head\n              image: rayproject/ray-llm:2.46.0-py311-cu124\n              env:\n                - name: HUGGING_FACE_HUB_TOKEN\n                  valueFrom: {secretKeyRef: {name: hf, key: t}}\n",
        "mutable-image vulnerable-engine egress-open hub-token-given",
    ),
    Published(
        "Ray, an application",
        "r.yaml",
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: llm}\nspec:\n  serveConfigV2: |\n    applications:\n      - import_path: ray.serve.llm:build_openai_app\n        args:\n          llm_configs:\n            - model_loading_config: {model_id: qwen, model_source: Qwen/Qwen2.5-7B-Instruct}\n              engine_kwargs: {trust_remote_code: true}\n",
        "hub-model remote-code",
    ),
    Published(
        "Ray, an application with a mounted model",
        "r.yaml",
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: llm}\nspec:\n  serveConfigV2: |\n    applications:\n      - import_path: ray.serve.llm:build_openai_app\n        args:\n          llm_configs:\n            - model_loading_config: {model_id: qwen, model_source: /models/qwen}\n              engine_kwargs: {trust_remote_code: false}\n",
    ),
    Published(
        "options of vLLM in a ConfigMap",
        "c.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vllm}\ndata:\n  config.yaml: |\n    model: Qwen/Qwen3-8B\n    max-model-len: 8192\n    trust-remote-code: true\n",
        "hub-model remote-code",
    ),
    Published(
        "a router's models in a ConfigMap",
        "c.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: router}\ndata:\n  config.yaml: |\n    model_list:\n      - model_name: chat\n        litellm_params:\n          model: openai/chat\n          api_base: http://vllm:8000/v1\n",
    ),
    Published(
        "NIM operator",
        "n.yaml",
        "apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMService\nmetadata: {name: llama}\nspec:\n  image: {repository: nvcr.io/nim/nvidia/llm-nim, tag: 1.13.0}\n  env:\n    - {name: NIM_MODEL_NAME, value: 'hf://meta-llama/Llama-3.1-8B'}\n",
        f"{HUB} {OPEN}",
    ),
    # --- TGI, TEI
    Published(
        "tgi",
        "t.yaml",
        _deployment(
            "name: tgi\nimage: ghcr.io/huggingface/text-generation-inference:1.4.2\nargs: ['--model-id', google/gemma-2b, '--num-shard', '1']\nenv:\n  - {name: HUGGING_FACE_HUB_TOKEN, value: insert-your-huggingface-token-here}\nvolumeMounts:\n  - {name: d, mountPath: /data}\n",
            volumes="- name: d\n  emptyDir: {}\n",
        ),
        f"{HUB} {OPEN} hub-token-given vulnerable-engine",
    ),
    Published(
        "tgi by variable",
        "t.yaml",
        _deployment(
            "name: tgi\nimage: ghcr.io/huggingface/text-generation-inference:3.3.7\nenv:\n  - {name: MODEL_ID, value: bigscience/bloom-560m}\n  - {name: PORT, value: '8080'}\n"
        ),
        f"{HUB} {OPEN}",
    ),
    Published(
        "tgi on a data set",
        "t.yaml",
        _deployment(
            "name: tgi\nimage: ghcr.io/huggingface/text-generation-inference:1.3.4\ncommand: [text-generation-launcher, --model-id, /mnt/datasets/model-weights/my-model/]\n"
        ),
        f"{OPEN} not-offline vulnerable-engine",
    ),
    Published(
        "tei",
        "t.yaml",
        _deployment(
            "name: tei\nimage: ghcr.io/huggingface/text-embeddings-inference:cpu-1.5\nargs: [--model-id, BAAI/bge-base-en-v1.5, --auto-truncate]\n"
        ),
        f"{HUB} {OPEN}",
    ),
    # --- KServe
    Published(
        "kserve s3",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: vllm}\nspec:\n  predictor:\n    serviceAccountName: s3-read-only\n    containers:\n      - name: kserve-container\n        args: [--trust-remote-code, --port, '8080', --model, /mnt/models, --dtype, bfloat16]\n        command: [python3, -m, vllm.entrypoints.api_server]\n        env: [{name: STORAGE_URI, value: 's3://bucket/model'}]\n        image: someone/ksvllm:latest\n",
        f"{OPEN} remote-code not-offline prefix-without-slash",
    ),
    Published(
        "kserve s3, one object and a prefix",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: iris}\nspec:\n  predictor:\n    model:\n      modelFormat: {name: sklearn}\n      storageUri: s3://models/iris/model.joblib\n  transformer:\n    model:\n      modelFormat: {name: huggingface}\n      storageUri: s3://models/llama-3.1-8b/\n",
        "",
        "egress-open not-offline",
    ),
    Published(
        "kserve s3 without the slash",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: llama}\nspec:\n  predictor:\n    model:\n      modelFormat: {name: huggingface}\n      storageUri: s3://models/llama-3.1-8b\n",
        "prefix-without-slash",
        "egress-open not-offline",
    ),
    Published(
        "kserve pvc",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: demo, namespace: default}\nspec:\n  predictor:\n    containers:\n      - name: kserve-container\n        args: [--port, '8080', --model, /mnt/models]\n        command: [python3, -m, vllm.entrypoints.openai.api_server]\n        env: [{name: STORAGE_URI, value: 'pvc://demo-claim/model_files/'}]\n        image: docker.io/kserve/vllmserver:latest\n",
        f"{OPEN} not-offline",
    ),
    Published(
        "kserve hf",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: llama}\nspec:\n  predictor:\n    model:\n      modelFormat: {name: huggingface}\n      args: [--model_name=llama3, --model_id=meta-llama/meta-llama-3-8b-instruct]\n      env:\n        - name: HF_TOKEN\n          valueFrom: {secretKeyRef: {name: hf-secret, key: HF_TOKEN}}\n",
        "",
        "hub-model model-unpinned egress-open hub-token-given",
    ),
    Published(
        "kserve storageUri hf",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: llama}\nspec:\n  predictor:\n    model:\n      modelFormat: {name: huggingface}\n      storageUri: hf://meta-llama/meta-llama-3-8b-instruct\n",
        "hub-model egress-open",
    ),
    Published(
        "serving runtime",
        "k.yaml",
        "apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: vllm-runtime}\nspec:\n  builtInAdapter: {modelLoadingTimeoutMillis: 90000}\n  containers:\n    - name: kserve-container\n      args: ['--port=8080', '--distributed-executor-backend=mp', '--model=/mnt/models']\n      image: quay.io/modh/vllm:rhoai-2.20-cuda\n      env: [{name: HF_HUB_OFFLINE, value: '1'}, {name: HF_HOME, value: /tmp/hf_home}]\n",
        OPEN,
    ),
    # --- llama.cpp, ollama, downloads
    Published(
        "llama.cpp, wget",
        "l.yaml",
        _deployment(
            "name: llama\nimage: ghcr.io/ggml-org/llama.cpp:server\nargs: [-m, /models/m.gguf, --host, 0.0.0.0]\nvolumeMounts:\n  - {name: models, mountPath: /models}\n",
            init="name: get\nimage: busybox\ncommand: [wget, -O, /models/m.gguf, 'https://huggingface.co/TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF/resolve/main/m.gguf']\n",
            volumes="- name: models\n  emptyDir: {}\n",
        ),
        f"{OPEN} download-at-start writable-model",
    ),
    Published(
        "llama.cpp, curl in a shell",
        "l.yaml",
        _deployment(
            "name: llama\nimage: ghcr.io/ggml-org/llama.cpp:server-b6000\nargs: [--model, /models/m.gguf]\nvolumeMounts:\n  - {name: models, mountPath: /models}\n",
            init="name: fetch-model-data\nimage: ubi8\ncommand:\n  - sh\n  - '-c'\n  - |\n    if [ ! -f /models/m.gguf ] ; then\n      curl -L https://huggingface.co/bartowski/granite-3.1-2b-instruct-GGUF/resolve/main/m.gguf --output /models/m.gguf\n    fi\n",
            volumes="- name: models\n  persistentVolumeClaim: {claimName: m}\n",
        ),
        f"{OPEN} download-at-start writable-model",
        "vulnerable-engine",
    ),
    Published(
        "llama.cpp -hf",
        "l.yaml",
        _deployment(
            "name: llama\nimage: ghcr.io/ggml-org/llama.cpp:server\nargs: [-hf, 'ggml-org/gemma-3-4b-it-GGUF:Q4_K_M']\n"
        ),
        f"{HUB} {OPEN}",
    ),
    Published(
        "init image with weights",
        "l.yaml",
        _deployment(
            "name: vllm\nimage: vllm/vllm-openai:latest\nargs: [--model, /shared/gemma]\nvolumeMounts:\n  - {name: models, mountPath: /shared, readOnly: true}\n",
            init="name: model-loader\nimage: ghcr.io/doublewordai/bit-harbor:gemma-3-2b\ncommand: [sh, -c, 'cp -r /models/* /shared/']\n",
            volumes="- name: models\n  emptyDir: {}\n",
        ),
        f"{OPEN} not-offline",
    ),
    Published(
        "ollama",
        "o.yaml",
        _deployment(
            "name: ollama\nimage: ollama/ollama:0.6.0\nports: [{containerPort: 11434}]\nlifecycle: {postStart: {exec: {command: [ollama, pull, llama3]}}}\n"
        ),
        f"{OPEN} download-at-start",
        "vulnerable-engine",
    ),
    Published(
        "job that fills a claim",
        "j.yaml",
        _deployment(
            "name: download\nimage: python:3.12-slim\ncommand: [/bin/bash, -c]\nargs:\n  - |\n    pip install -U huggingface_hub\n    huggingface-cli download deepseek-ai/DeepSeek-R1 --local-dir /mnt/models/r1\n"
            + _TOKEN_ENV,
            kind="Job",
            api="batch/v1",
        ),
        "download-at-start",
    ),
    Published(
        "sglang",
        "s.yaml",
        _deployment(
            "name: sglang\nimage: lmsysorg/sglang:latest\ncommand: [python3, -m, sglang.launch_server]\nargs: [--model-path, deepseek-ai/DeepSeek-V3, --tp, '8', --trust-remote-code]\n"
        ),
        f"{HUB} {OPEN} remote-code",
    ),
    # --- compose, docker
    Published(
        "compose",
        "docker-compose.yml",
        "version: '2.3'\nservices:\n  vllm:\n    image: vllm/vllm-openai:latest\n    volumes: ['${HF_HOME:-~/.cache/huggingface}:/var/cache/huggingface']\n    environment: ['HUGGING_FACE_HUB_TOKEN=${HUGGING_FACE_HUB_TOKEN}']\n    command: --model ${MODEL:-google/gemma-2-9b-it} --tensor-parallel-size ${TP:-4}\n    ipc: host\n",
        f"{HUB} {OPEN} hub-token-given",
    ),
    Published(
        "compose with models",
        "docker-compose.yml",
        "version: '3'\nservices:\n  vllm-openai:\n    volumes: ['~/.cache/huggingface:/var/cache/huggingface', './models:/models']\n    image: vllm/vllm-openai:latest\n    command: --trust-remote-code --model allenai/Molmo-7B-D-0924\n",
        f"hub-beside-mount {OPEN} remote-code writable-model",
    ),
    Published(
        "docker run",
        "run.sh",
        'docker run --runtime nvidia --gpus all \\\n    -v ~/.cache/huggingface:/var/cache/huggingface \\\n    --env "HF_TOKEN=$HF_TOKEN" \\\n    -p 8000:8000 --ipc=host vllm/vllm-openai:v0.6.6.post1 \\\n    --model deepseek-ai/DeepSeek-V3 --trust-remote-code\n',
        f"{HUB} mutable-image remote-code hub-token-given vulnerable-engine",
    ),
    Published(
        "docker run on the host's network",
        "run.sh",
        '#!/bin/bash\ndocker run --gpus all --network=host -e VLLM_GPU_MEMORY_UTILIZATION=0.9 --name vllm vllm/vllm-openai:latest --model="NousResearch/Meta-Llama-3-8B-Instruct"\n',
        f"{HUB} mutable-image host-namespace",
    ),
    Published(
        "Dockerfile",
        "Dockerfile",
        'FROM vllm/vllm-openai:latest\nENV HUGGING_FACE_HUB_TOKEN=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\nEXPOSE 8000\nCMD ["--host", "0.0.0.0", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--tensor_parallel_size", "4"]\n',
        f"{HUB} mutable-image hub-token",
    ),
    Published(
        "entrypoint that clones",
        "entrypoint.sh",
        '#!/bin/sh\necho "Getting model"\ngit lfs install\ngit clone "https://huggingface.co/${HF_MODEL}" /srv/${NAME}\nexec "$@"\n',
        "download-at-start",
    ),
    Published(
        "script of a cluster",
        "start.sh",
        '#!/bin/bash\nset -euo pipefail\nexport HF_HOME="${HF_HOME:-/scratch/hf}"\nMODEL="${VLLM_MODEL:-Qwen/Qwen2.5-32B-Instruct}"\npython -m vllm.entrypoints.openai.api_server --model "$MODEL" --port 8001\n',
        HUB,
    ),
    Published(
        "script with a local model",
        "serve.sh",
        "CUDA_VISIBLE_DEVICES=1 python -m vllm.entrypoints.openai.api_server \\\n  --model $HOME/models/DeepSeek-R1-Distill-Qwen-1.5B --max-model-len 2048\n",
        "",
        "not-read not-offline",
    ),
    Published(
        "systemd",
        "vllm.service",
        '[Unit]\nDescription=vLLM\nAfter=network.target\n\n[Service]\nUser=vllm\nEnvironment="HF_HOME=/opt/vllm/.cache/huggingface"\nExecStart=/opt/vllm/venv/bin/vllm serve Qwen/Qwen2.5-7B-Instruct --port 8000\nRestart=always\n\n[Install]\nWantedBy=multi-user.target\n',
        HUB,
    ),
    # --- LMI, SageMaker
    Published(
        "lmi falcon",
        "serving.properties",
        "engine=MPI\noption.model_id=tiiuae/falcon-40b\noption.entryPoint=djl_python.transformersneuronx\noption.trust_remote_code=true\noption.tensor_parallel_degree=4\noption.rolling_batch=auto\n",
        f"{HUB} remote-code",
    ),
    Published(
        "lmi s3",
        "serving.properties",
        "engine=Python\noption.model_id=s3://sagemaker-us-east-1/llama/\noption.rolling_batch=vllm\noption.tensor_parallel_degree=max\n",
        "unverified-copy",
    ),
    Published("djl, no LLM", "serving.properties", "engine=PyTorch\nbatchSize=4\nmaxWorkers=2\n"),
    Published(
        "terraform, TGI",
        "main.tf",
        'variable "id" {\n  default = "fdtn-ai/Foundation-Sec-8B-Instruct"\n}\nresource "aws_sagemaker_model" "llm" {\n  name               = "llm"\n  execution_role_arn = var.role\n\n  primary_container {\n    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.7.0-tgi3.3.4-gpu-py311-cu124-ubuntu22.04"\n    environment = {\n      HF_MODEL_ID = var.id\n      HF_TOKEN    = var.hf_token\n      SM_NUM_GPUS = local.num_gpus\n    }\n  }\n}\n',
        f"{HUB} hub-token-given mutable-image vulnerable-engine no-network-isolation no-vpc",
    ),
    Published(
        "terraform, xgboost",
        "main.tf",
        'resource "aws_sagemaker_model" "x" {\n  name = var.name\n  execution_role_arn = var.role_arn\n  primary_container {\n    image          = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"\n    model_data_url = "s3://${var.bucket}/model.tar.gz"\n  }\n}\n',
        "no-network-isolation no-vpc compressed-model",
        "mutable-image not-offline",
    ),
    Published(
        "cloudformation, hosting",
        "hosting.yaml",
        "Description: hosting\nResources:\n  EndpointConfig:\n    Type: AWS::SageMaker::EndpointConfig\n    Properties:\n      ProductionVariants:\n        - InitialInstanceCount: 1\n          InstanceType: ml.t2.large\n          ModelName: !GetAtt Model.ModelName\n          VariantName: all\n  Model:\n    Type: AWS::SageMaker::Model\n    Properties:\n      PrimaryContainer: {Image: !Ref Image}\n      ExecutionRoleArn: !GetAtt ExecutionRole.Arn\n",
        "no-network-isolation no-vpc no-kms not-read",
    ),
    # --- none of lint's business, or honest
    Published(
        "chat interface",
        "ui.yaml",
        _deployment(
            "name: ui\nimage: ghcr.io/open-webui/open-webui:main\nenv:\n  - {name: OPENAI_API_BASE_URL, value: 'http://vllm:8000/v1'}\n  - {name: MODEL, value: meta-llama/Llama-3.1-8B-Instruct}\n  - {name: MODEL_ID, value: meta-llama/Llama-3.1-8B-Instruct}\n"
        ),
    ),
    Published(
        "benchmark client",
        "b.yaml",
        _deployment(
            "name: bench\nimage: registry.example/bench:1\ncommand: [python, bench.py, --url, 'http://vllm:8000', --served-model-name, meta-llama/Llama-3.1-8B-Instruct]\n",
            kind="Job",
            api="batch/v1",
        ),
    ),
    Published(
        "device plug-in",
        "d.yaml",
        _deployment(
            "name: nvidia-device-plugin\nimage: nvcr.io/nvidia/k8s-device-plugin:v0.17.1\nsecurityContext: {privileged: true}\nvolumeMounts:\n  - {name: p, mountPath: /var/lib/kubelet/device-plugins}\n",
            kind="DaemonSet",
            volumes="- name: p\n  hostPath: {path: /var/lib/kubelet/device-plugins}\n",
        ),
    ),
    Published("web server", "n.yaml", _deployment("name: nginx\nimage: nginx:1.27\nports: [{containerPort: 80}]\n")),
    Published(
        "service",
        "s.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: vllm}\nspec: {selector: {app: vllm}, ports: [{port: 80, targetPort: 8000}]}\n",
    ),
    Published(
        "ingress",
        "i.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: vllm, annotations: {kubernetes.io/ingress.class: nginx}}\nspec: {rules: [{host: llm.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: vllm, port: {number: 80}}}}]}}]}\n",
    ),
    Published(
        "autoscaler",
        "h.yaml",
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: vllm}\nspec: {scaleTargetRef: {name: vllm}, triggers: [{type: prometheus, metadata: {query: 'sum(vllm:num_requests_waiting)'}}]}\n",
    ),
    Published(
        "databases",
        "compose.yaml",
        "services:\n  redis: {image: 'redis:7', volumes: ['data:/data']}\n  db:\n    image: postgres:16\n    environment: {POSTGRES_PASSWORD: '${DB_PASSWORD}'}\nvolumes: {data: {}}\n",
    ),
    Published(
        "an application's models folder",
        "compose.yaml",
        "services:\n  api:\n    image: registry.example/api:3\n    command: [uvicorn, app.main:app]\n    volumes: ['./app/models:/app/models']\n    environment: {MODEL: gpt-4o}\n",
    ),
    Published(
        "network",
        "vpc.tf",
        'resource "aws_vpc" "main" {\n  cidr_block = "10.0.0.0/16"\n  tags = merge(var.tags, { Name = "main" })\n}\n\nresource "aws_subnet" "a" {\n  for_each   = toset(["a", "b"])\n  vpc_id     = aws_vpc.main.id\n  cidr_block = cidrsubnet(aws_vpc.main.cidr_block, 8, each.key == "a" ? 1 : 2)\n  dynamic "x" {\n    for_each = { for k, v in var.m : k => v if v != null }\n    content { y = x.value }\n  }\n}\n\noutput "ids" { value = [for s in aws_subnet.a : s.id] }\n',
    ),
    Published(
        "function",
        "lambda.yaml",
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {Handler: app.handler, Runtime: python3.12, CodeUri: ., Environment: {Variables: {TABLE: !Ref T}}}\n",
    ),
    Published(
        "application's Dockerfile",
        "Dockerfile",
        '# syntax=docker/dockerfile:1\nFROM python:3.12-slim AS build\nWORKDIR /app\nCOPY requirements.txt .\nRUN --mount=type=cache,target=/var/cache pip install -r requirements.txt && \\\n    rm -rf /tmp/*\nFROM python:3.12-slim\nCOPY --from=build /app /app\nCMD ["python", "-m", "app"]\n',
    ),
    Published(
        "web unit",
        "nginx.service",
        "[Unit]\nDescription=web\n[Service]\nType=forking\nExecStartPre=/usr/sbin/nginx -t -q\nExecStart=/usr/sbin/nginx\n",
    ),
    Published(
        "application's variables",
        ".env",
        '# settings\nDATABASE_URL=postgres://db/app\nexport DEBUG=false\nOPENAI_MODEL="gpt-4o"\n',
    ),
    Published(
        "cleaning up",
        "clean.sh",
        '#!/usr/bin/env bash\nset -euo pipefail\nfor pod in $(kubectl get pods -o name | grep vllm); do\n  kubectl delete "$pod" --wait=false || true\ndone\n',
    ),
)
