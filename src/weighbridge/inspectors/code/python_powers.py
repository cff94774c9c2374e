"""What functions of the standard library and of well-known packages can do, by their full names.

A name that ends with a dot stands for everything below it. The longest name that fits decides.
"""

from __future__ import annotations

import re
from typing import Final


def _table(**powers: str) -> dict[str, str]:
    return {name: power.replace("_", "-") for power, names in powers.items() for name in names.split()}


POWERS: Final = _table(
    process=(
        "os.system os.popen os.popen2 os.popen3 os.popen4 os.spawnl os.spawnle os.spawnlp os.spawnv os.spawnve os.spawnvp "
        "os.spawnlpe os.spawnvpe os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe "
        "os.posix_spawn os.posix_spawnp os.startfile os.fork os.forkpty posix.system nt.system posix.popen subprocess.run "
        "subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen subprocess.getoutput "
        "subprocess.getstatusoutput subprocess.os.system commands.getoutput commands.getstatusoutput pty.spawn pty.fork "
        "pexpect. plumbum. sh. popen2. asyncio.create_subprocess_exec asyncio.create_subprocess_shell webbrowser.open "
        "multiprocessing.util.spawnv_passfds _posixsubprocess. fabric. invoke.run platform.popen timeit.timeit timeit.main "
        "cProfile.run profile.run trace.Trace pdb.run bdb.Bdb.run distutils.spawn. setuptools.distutils.spawn. "
        "IPython.get_ipython().system IPython.get_ipython().run_line_magic IPython.get_ipython().getoutput "
        "nvidia_smi. timeit.repeat timeit.Timer cProfile.runctx profile.runctx pdb.run pdb.runeval pdb.runctx pdb.runcall bdb. trace. doctest.testmod doctest.testfile doctest.run_docstring_examples psutil.Popen ptyprocess. anyio.run_process "
        "anyio.open_process trio.run_process trio.open_process pip.main pip._internal. ensurepip. os.kill os.killpg "
        "setuptools.sandbox. distutils.core.run_setup IPython.get_ipython().run_cell IPython.get_ipython().magic "
        "PIL.ImageMath.eval PIL.ImageMath.unsafe_eval subprocess.Popen().never os.posix_spawn posix. nt. _posixsubprocess. "
        "torch.distributed.run. torch.distributed.launch. test.support.script_helper."
    ),
    network=(
        "requests. urllib.request. urllib2. urllib3. urllib.urlopen urllib.urlretrieve http.client. httplib. httplib2. "
        "httpx. aiohttp. socket.socket socket.create_connection socket.create_server socket.gethostbyname "
        "socket.getaddrinfo socket.gethostbyname_ex socketserver. ftplib. smtplib. telnetlib. poplib. imaplib. nntplib. "
        "xmlrpc. paramiko. asyncssh. pycurl. websocket. websockets. ssl.wrap_socket wget. gdown. boto3. botocore. minio. "
        "google.cloud. azure.storage. huggingface_hub.hf_hub_download huggingface_hub.snapshot_download "
        "huggingface_hub.upload_file huggingface_hub.upload_folder huggingface_hub.HfApi huggingface_hub.login "
        "huggingface_hub.InferenceClient huggingface_hub.cached_download huggingface_hub.hf_hub_url "
        "transformers.utils.cached_file transformers.utils.hub.cached_file transformers.file_utils.cached_path "
        "torch.hub.load_state_dict_from_url torch.hub.download_url_to_file torch.utils.model_zoo. "
        "torchvision.datasets.utils. dns. scapy. discord. telegram. telebot. tweepy. slack_sdk. openai. anthropic. "
        "asyncio.open_connection asyncio.start_server http.server. twisted. zmq. pika. redis. pymongo. psycopg2. "
        "mechanize. selenium. playwright. tldextract. multiprocessing.connection. concurrent.futures.interpreter. git.Repo. "
        "logging.handlers.HTTPHandler logging.handlers.SocketHandler logging.handlers.DatagramHandler logging.handlers.SMTPHandler "
        "logging.handlers.SysLogHandler datasets.load_dataset evaluate.load gradio.load "
        "cloudscraper. curl_cffi. grpc. kaggle. mlflow. wandb. clearml. comet_ml. gradio_client. pyngrok. miniupnpc. "
        "fsspec.open smart_open. tensorflow.keras.utils.get_file keras.utils.get_file nltk.download spacy.cli.download "
        "asyncio.get_event_loop().create_connection ssl.get_server_certificate aiodns. uvicorn. flask.Flask"
    ),
    settings=(
        "gradio_client.documentation. httpx.Limits httpx.Timeout httpx.HTTPTransport httpx.AsyncHTTPTransport "
        "httpx.Headers requests.exceptions. requests.adapters. requests.structures. urllib3.exceptions. "
        "urllib3.disable_warnings urllib3.util.retry.Retry urllib3.util.Retry aiohttp.ClientTimeout wandb.errors."
    ),
    dynamic=(
        "builtins.exec builtins.eval builtins.compile builtins.execfile types.FunctionType types.CodeType types.LambdaType "
        "marshal.loads marshal.load code.interact code.InteractiveInterpreter code.InteractiveConsole runpy. "
        "codeop. imp.load_source imp.load_compiled imp.load_dynamic imp.load_module importlib.machinery. "
        "importlib.util.spec_from_file_location importlib.util.module_from_spec importlib.util.source_from_cache "
        "importlib.util.spec_from_loader zipimport. ast.literal_eval.never numpy.testing.measure "
        "pandas.eval numexpr.evaluate sympy.parsing.sympy_parser.parse_expr sympy.sympify sympy.lambdify "
        "torch._dynamo.eval_frame. builtins.__build_class__ new.code new.function torch.fx.GraphModule.never "
        "torch.hub.load transformers.dynamic_module_utils. sympy.S kernels. cython.inline Cython. pyximport. "
        "jinja2.Template jinja2.Environment mako. transformers.integrations.hub_kernels. hydra.utils.instantiate _frozen_importlib."
    ),
    dynamic_import="builtins.__import__ importlib.import_module importlib.__import__ importlib.reload pkgutil.get_loader pydoc.locate pkgutil.resolve_name django.utils.module_loading. hydra.utils. werkzeug.utils.import_string "
    "omegaconf.OmegaConf.register_new_resolver",
    deserialises=(
        "pickle.load pickle.loads pickle.Unpickler pickle._Unpickler _pickle.loads _pickle.load _pickle.Unpickler "
        "cPickle.load cPickle.loads dill.load dill.loads cloudpickle.load cloudpickle.loads joblib.load jsonpickle.decode "
        "jsonpickle.unpickler. shelve.open pandas.read_pickle sklearn.externals.joblib.load skops.io.load torch.load "
        "torch.jit.load yaml.load yaml.load_all yaml.unsafe_load yaml.full_load yaml.UnsafeLoader ruamel.yaml.load "
        "numpy.load tensorflow.keras.models.load_model keras.models.load_model tensorflow.saved_model.load xmlrpc.client.loads "
        "copyreg. torch.serialization.load torch.package. torch.serialization.add_safe_globals multiprocessing.reduction."
    ),
    native=(
        "ctypes.CDLL ctypes.cdll. ctypes.cdll ctypes.WinDLL ctypes.windll. ctypes.windll ctypes.OleDLL ctypes.PyDLL "
        "ctypes.pythonapi ctypes.pythonapi. ctypes.util.find_library ctypes.LibraryLoader cffi. torch.ops.load_library "
        "torch.utils.cpp_extension. torch.classes.load_library _ctypes. cupy.RawKernel cupy.RawModule pycuda. "
        "triton.runtime.build. numpy.f2py. triton.language.inline_asm_elementwise deepspeed.ops.op_builder. numpy.ctypeslib.load_library tensorflow.load_op_library tensorflow.load_library "
        "cppyy. win32api. win32com. comtypes. winreg. _winreg. mmap.mmap cupy.cuda. llvmlite. tvm."
    ),
    delete=(
        "os.remove os.unlink os.rmdir os.removedirs shutil.rmtree shutil.move pathlib.Path().unlink pathlib.Path().rmdir "
        "send2trash. os.truncate os.rename os.replace"
    ),
    write=(
        "shutil.copy shutil.copyfile shutil.copytree shutil.copy2 os.chmod os.chown os.symlink os.link os.mkfifo os.mknod "
        "zipfile.ZipFile().extractall tarfile.open().extractall shutil.unpack_archive os.putenv pathlib.Path().write_text "
        "pathlib.Path().write_bytes os.write pathlib.Path().chmod pathlib.Path().symlink_to os.setuid os.setgid os.setsid"
    ),
    recon=(
        "platform.node platform.uname socket.gethostname socket.getfqdn getpass.getuser os.getlogin uuid.getnode pwd. "
        "psutil. os.uname netifaces. platform.platform getmac. GPUtil. os.getuid"
    ),
    secrets=(
        "keyring. netrc. browser_cookie3. win32crypt. getpass.getpass huggingface_hub.get_token "
        "huggingface_hub.HfFolder.get_token huggingface_hub.utils.get_token secretstorage. pyperclip.paste pynput. "
        "keyboard. mss. pyautogui.screenshot PIL.ImageGrab.grab ImageGrab.grab sqlcipher3. cv2.VideoCapture.never"
    ),
    decode=(
        "base64. binascii. codecs.decode codecs.getdecoder zlib.decompress zlib.decompressobj bz2.decompress lzma.decompress "
        "gzip.decompress bytes.fromhex builtins.bytes.fromhex bytearray.fromhex builtins.bytearray.fromhex "
        "cryptography.fernet. Crypto.Cipher. Cryptodome.Cipher. urllib.parse.unquote builtins.chr html.unescape quopri. "
        "uu.decode nacl. zstandard. brotli. lz4. marshal.loads rc4. pyaes. cryptography.hazmat. base58. base91. "
        "builtins.int.to_bytes codecs.encode"
    ),
)  # fmt: skip

SENDING: Final = re.compile(
    r"(?:requests|httpx|aiohttp)\.(?:\w+\(\)\.)*(?:post|put|patch|request)$|\.(?:sendall|sendto|sendmail|send_message|storbinary|"
    r"storlines|send_webhook|putrequest|upload_file|upload_folder|upload_fileobj|put_object|upload_from_filename)$|"
    r"^socket\.(?:gethostbyname|getaddrinfo)$|^huggingface_hub\.(?:upload|HfApi\(\)\.(?:upload|create))|urlopen$|"
    r"http\.client\.\w+\(\)\.request$|^(?:discord|telegram|telebot|smtplib|ftplib|dns|paramiko|slack_sdk)\.|socket\.socket\(\)\.send$|"
    r"(?:requests|httpx|urllib3)\.(?:\w+\(\)\.)*(?:get|request)$"
)
"""Calls by which data can leave, by full name."""

PLAIN_SENDING: Final = re.compile(
    r"(?:requests|httpx|urllib3)\.(?:\w+\(\)\.)*(?:get|request)$|urlopen$|^socket\.(?:gethostbyname|getaddrinfo)$"
)
"""Those of them that only fetch, unless what they fetch is named by what is to leave."""

SECRET_FILES: Final = re.compile(
    r"(?:^|[/\\~])\.(?:ssh|aws|azure|gnupg|kube|docker|netrc|pypirc|npmrc|git-credentials|bash_history|zsh_history|python_history|"
    r"config[/\\](?:gcloud|gh|rclone)|electrum|bitcoin|ethereum|huggingface[/\\](?:token|stored_tokens)|pgpass|my\.cnf)\b|\bid_(?:rsa|ed25519|"
    r"ecdsa|dsa)\b|(?:^|/)etc/(?:passwd|shadow|sudoers)|Login Data\b|Local State$|\bcookies\.sqlite|\bkey[34]\.db|logins\.json|"
    r"wallet\.dat|MetaMask|\bnkbihfbeogaeaoehlefnkodbefgpgknn\b|\.cache/huggingface/token|Local Storage[/\\]leveldb|"
    r"/proc/(?:self|\d+)/(?:environ|mem|maps)|169\.254\.169\.254|metadata\.google\.internal|/var/run/secrets|/run/secrets|"
    r"discord(?:canary|ptb)?[/\\]Local Storage|\bexodus\.wallet|Telegram Desktop[/\\]tdata|\.config/google-chrome",
    re.IGNORECASE,
)
SECRET_NAMES: Final = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY(?:_ID)?|PRIVATE_KEY|CREDENTIALS?|SESSION_KEY)(?:$|_)",
    re.IGNORECASE,
)
PERSISTENCE: Final = re.compile(
    r"(?:^|[/\\~])\.(?:bashrc|bash_profile|profile|zshrc|zprofile|bash_login|config/(?:autostart|fish|systemd))\b|authorized_keys|"
    r"/etc/(?:cron|systemd|rc\.local|profile|init\.d|ld\.so\.preload)|\bcrontab\b|Startup[/\\]|Start Menu[/\\]Programs[/\\]Startup|"
    r"CurrentVersion[/\\]+Run|LaunchAgents|LaunchDaemons|(?:site|user)customize\.py|\bsystemctl\s+(?:--user\s+)?enable|schtasks|"
    r"/etc/cron|\.git[/\\]hooks|site-packages[/\\][^'\"]*\.pth|"
    r"\bLD_PRELOAD=(?!/(?:usr|opt|lib)[\w./-]{0,120}/lib(?:tcmalloc|jemalloc|iomp5|gomp|mimalloc)[\w-]{0,30}\.so)",
    re.IGNORECASE,
)
DROP_SITES: Final = re.compile(
    r"discord(?:app)?\.com/api/webhooks|api\.telegram\.org/bot|pastebin\.com/raw|paste\.ee/|rentry\.co|hastebin|ghostbin|transfer\.sh|"
    r"file\.io|anonfiles|gofile\.io|0x0\.st|catbox\.moe|ngrok(?:-free)?\.(?:io|app|dev)|trycloudflare\.com|serveo\.net|localtunnel|webhook\.site|"
    r"requestbin|pipedream\.net|burpcollaborator|oastify\.com|\boast\.(?:fun|pro|live|site|me)|interact\.sh|canarytokens|\.onion\b|hooks\.slack\.com/"
    r"services|ipinfo\.io|api\.ipify\.org|ifconfig\.me|checkip\.amazonaws|beeceptor|dnslog|ceye\.io|duckdns\.org|no-ip\.|grabify|iplogger|"
    r"(?:https?|tcp|ftp)://(?!127\.|0\.0\.0\.0|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.)\d{1,3}(?:\.\d{1,3}){3}\b|stratum\+tcp",
    re.IGNORECASE,
)
COMMANDS: Final = re.compile(
    r"(?:curl|wget)\b[^|;&\n]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b|(?:curl|wget)\b[^\n]{0,300}(?:&&|;)\s*(?:chmod|sh|bash|python|\./)|"
    r"base64\s+(?:-d|-D|--decode)[^|\n]{0,200}\|\s*(?:ba|z)?sh|/dev/(?:tcp|udp)/|\b(?:nc|ncat|netcat)\b[^\n]{0,80}\s-[a-z]*[ec]\b|"
    r"bash\s+-i\s*>&|(?<!\w)(?:ba|z|da|k|c)?sh\s+-i\b|mkfifo\s+/tmp|powershell(?:\.exe)?\s[^\n]{0,120}-(?:e|en|enc|encodedcommand|w\s+hidden)\b|"
    r"\bIEX\b|Invoke-Expression|DownloadString|Invoke-WebRequest[^\n]{0,120}\.exe|\brm\s+-[a-z]*r[a-z]*\s+(?:-\w+\s+)*(?:/|~|\$HOME|\*)(?:\s|$|\*|\")|"
    r":\(\)\s*\{\s*:\|:|\bdd\s+if=\S+\s+of=/dev/|mkfs\.|>\s*/dev/sd|\bcrontab\s+(?:-|\S)|certutil\b[^\n]{0,80}-(?:urlcache|decode)|"
    r"bitsadmin|mshta\s|regsvr32\s|rundll32\s|\bxmrig\b|minerd\b|stratum\+tcp|openssl\s+s_client|socat\s[^\n]{0,80}exec|"
    r"chmod\s+(?:\+x|[0-7]*7[0-7]*)\s+/tmp|history\s+-c|iptables\s+-F|setenforce\s+0|python3?\s+-c\s+['\"][^'\"]*(?:socket|exec|b64decode)|"
    r"perl\s+-e|ruby\s+-rsocket|php\s+-r|insmod\s|/bin/(?:ba)?sh\s+-i|schtasks\s+/create|reg\s+add\s|net\s+user\s|vssadmin\s+delete|nohup\s+/tmp|"
    r"\|\s*base64\s[^\n]{0,80}(?:curl|wget)|(?:cat|tar)\b[^\n|]{0,120}(?:\.ssh|\.aws|/etc/shadow)",
    re.IGNORECASE,
)
PRIMITIVE_DESTROYED: Final = re.compile(r"^(?:/|~|/home|/etc|/usr|/var|/boot|[A-Z]:[/\\]*|/root|\$HOME|/\*)$")


def power_of(name: str) -> str:
    """What a function of that full name can do; "" when it is on no list."""
    power = POWERS.get(name)
    if power is not None:
        return power
    end = name.rfind(".")
    while end > 0:
        power = POWERS.get(name[: end + 1])
        if power is not None:
            return power
        end = name.rfind(".", 0, end)
    return ""
