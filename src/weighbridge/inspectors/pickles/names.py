"""The names by which Python 3 knows what Python 2 called otherwise: CPython's own table (`Lib/_compat_pickle.py`).

A loader renames in streams of protocol 0 to 2 only. Without a protocol, `canonical_name` answers for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.formats.pickle_values import Global

RENAMING_PROTOCOLS: Final = 3
"""Streams of this protocol and above mean what they say."""

_MODULES: Final[Mapping[str, str]] = dict(
    pair.split(":")
    for pair in [
        "BaseHTTPServer:http.server",
        "CGIHTTPServer:http.server",
        "ConfigParser:configparser",
        "Cookie:http.cookies",
        "Dialog:tkinter.dialog",
        "DocXMLRPCServer:xmlrpc.server",
        "FileDialog:tkinter.filedialog",
        "HTMLParser:html.parser",
        "Queue:queue",
        "ScrolledText:tkinter.scrolledtext",
        "SimpleDialog:tkinter.simpledialog",
        "SimpleHTTPServer:http.server",
        "SimpleXMLRPCServer:xmlrpc.server",
        "SocketServer:socketserver",
        "StringIO:io",
        "Tix:tkinter.tix",
        "Tkconstants:tkinter.constants",
        "Tkdnd:tkinter.dnd",
        "Tkinter:tkinter",
        "UserDict:collections",
        "UserList:collections",
        "UserString:collections",
        "__builtin__:builtins",
        "_abcoll:collections.abc",
        "_elementtree:xml.etree.ElementTree",
        "_winreg:winreg",
        "anydbm:dbm",
        "cPickle:pickle",
        "cStringIO:io",
        "commands:subprocess",
        "cookielib:http.cookiejar",
        "copy_reg:copyreg",
        "dbhash:dbm.bsd",
        "dbm:dbm.ndbm",
        "dumbdbm:dbm.dumb",
        "dummy_thread:_dummy_thread",
        "gdbm:dbm.gnu",
        "htmlentitydefs:html.entities",
        "httplib:http.client",
        "markupbase:_markupbase",
        "repr:reprlib",
        "robotparser:urllib.robotparser",
        "test.test_support:test.support",
        "thread:_thread",
        "tkColorChooser:tkinter.colorchooser",
        "tkCommonDialog:tkinter.commondialog",
        "tkFileDialog:tkinter.filedialog",
        "tkFont:tkinter.font",
        "tkMessageBox:tkinter.messagebox",
        "tkSimpleDialog:tkinter.simpledialog",
        "ttk:tkinter.ttk",
        "urllib2:urllib.request",
        "urlparse:urllib.parse",
        "whichdb:dbm",
        "xmlrpclib:xmlrpc.client",
    ]
)
_NAMES: Final[Mapping[str, str]] = dict(
    pair.split(":")
    for pair in [
        "UserDict.IterableUserDict:collections.UserDict",
        "UserDict.UserDict:collections.UserDict",
        "UserList.UserList:collections.UserList",
        "UserString.UserString:collections.UserString",
        "__builtin__.basestring:builtins.str",
        "__builtin__.intern:sys.intern",
        "__builtin__.long:builtins.int",
        "__builtin__.reduce:functools.reduce",
        "__builtin__.unichr:builtins.chr",
        "__builtin__.unicode:builtins.str",
        "__builtin__.xrange:builtins.range",
        "_multiprocessing.Connection:multiprocessing.connection.Connection",
        "_socket.fromfd:socket.fromfd",
        "exceptions.StandardError:builtins.Exception",
        "itertools.ifilter:builtins.filter",
        "itertools.ifilterfalse:itertools.filterfalse",
        "itertools.imap:builtins.map",
        "itertools.izip:builtins.zip",
        "itertools.izip_longest:itertools.zip_longest",
        "multiprocessing.forking.Popen:multiprocessing.popen_fork.Popen",
        "multiprocessing.process.Process:multiprocessing.context.Process",
        "socket._socketobject:socket.SocketType",
        "urllib.getproxies:urllib.request.getproxies",
        "urllib.pathname2url:urllib.request.pathname2url",
        "urllib.quote:urllib.parse.quote",
        "urllib.quote_plus:urllib.parse.quote_plus",
        "urllib.unquote:urllib.parse.unquote",
        "urllib.unquote_plus:urllib.parse.unquote_plus",
        "urllib.url2pathname:urllib.request.url2pathname",
        "urllib.urlcleanup:urllib.request.urlcleanup",
        "urllib.urlencode:urllib.parse.urlencode",
        "urllib.urlopen:urllib.request.urlopen",
        "urllib.urlretrieve:urllib.request.urlretrieve",
        "urllib2.HTTPError:urllib.error.HTTPError",
        "urllib2.URLError:urllib.error.URLError",
        "whichdb.whichdb:dbm.whichdb",
    ]
)
# Not CPython's, but the name of what these were before Python 3; a loader of those days runs them.
_ANCIENT: Final[Mapping[str, str]] = {
    "__builtin__.execfile": "builtins.exec",
    "__builtin__.apply": "builtins.apply",
    "popen2": "subprocess",
}


def canonical_name(value: Global, protocol: int = 0) -> str:
    """The full name under which Python 3 finds a global in a stream of that protocol."""
    full = f"{value.module}.{value.name}"
    if protocol >= RENAMING_PROTOCOLS:
        return full
    if full in _NAMES:
        return _NAMES[full]
    if full in _ANCIENT:
        return _ANCIENT[full]
    if value.module == "exceptions":
        return f"builtins.{value.name}"
    module = _MODULES.get(value.module) or _ANCIENT.get(value.module)
    return full if module is None else f"{module}.{value.name}"
