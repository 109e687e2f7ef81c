"""Uses the library as a generator of bindings does: the preprocessed headers, cut
to the project's own lines with regular expressions, are all that cffi sees.

    python bindings.py PREFIX CC

Prints one line of TAP for each check.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cffi import FFI

PREFIX = Path(sys.argv[1])
CC = sys.argv[2]
failures = 0


def ok(holds, name):
    global failures
    failures += not holds
    print(f"{'ok' if holds else 'not ok'} - {name}", flush=True)


def declarations():
    """The lines of the headers themselves, without bodies and attributes."""
    include = PREFIX / "include"
    source = "#include <vaccel.h>\n#include <vaccel/plugin.h>\n"
    text = subprocess.run(
        [CC, "-E", "-I", str(include), "-"], input=source, capture_output=True, text=True, check=True
    ).stdout
    ours, lines = False, []
    for line in text.splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            ours = "/vaccel" in marker[1] or marker[1].endswith("/slog.h")
        elif ours and line.strip() and not line.startswith("#"):
            lines.append(line)
    text = "\n".join(lines)
    # `static inline` functions are for C alone: their bodies are at most nested braces.
    text = re.sub(r"static inline [^;{]*\n?\{.*?\n\}", "", text, flags=re.S)
    return text.replace("__attribute__((deprecated))", "")


def size_of_mutex():
    """Bytes of pthread_mutex_t, from where the compiler puts the end of an array of that size."""
    source = "#include <pthread.h>\nchar size_is[sizeof(pthread_mutex_t)];\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "size.o"
        subprocess.run([CC, "-x", "c", "-c", "-o", str(path), "-"], input=source, text=True, check=True)
        table = subprocess.run(["nm", "-S", str(path)], capture_output=True, text=True, check=True)
    return int(re.search(r"^\S+ (\S+) \S size_is$", table.stdout, re.M)[1], 16)


def main():
    text = declarations()
    for word in ("static", "extern", "__attribute__", "__extension__", "_Static_assert"):
        ok(not re.search(rf"\b{word}\b", text), f"the declarations hold no {word}")
    ffi = FFI()
    # What the structures hold of the platform: a generator names them too.
    ffi.cdef(f"typedef struct {{ long parts[{size_of_mutex() // ffi.sizeof('long')}]; }} pthread_mutex_t;")
    ffi.cdef("typedef unsigned int atomic_uint;")
    ffi.cdef(text)
    ok(True, "cffi parses the headers")
    lib = ffi.dlopen(str(PREFIX / "lib/libvaccel.so.0"))

    functions = sorted(set(re.findall(r"\b((?:vaccel|slog)_\w+|fs_file_read)\s*\(", text)))
    functions = [name for name in functions if not name.endswith("_t")]
    missing = []
    for name in functions:
        try:
            getattr(lib, name)
        except AttributeError:
            missing.append(name)
    ok(len(functions) >= 273, f"{len(functions)} functions are declared")
    ok(not missing, f"all of them are found in the library {missing or ''}")

    sizes = {
        "struct vaccel_session": 4264,
        "struct vaccel_resource": 152,
        "struct vaccel_arg": 32,
        "struct vaccel_plugin": 224,
        "struct vaccel_plugin_info": 96,
        "struct vaccel_torch_tensor": 48,
    }
    wrong = {name: ffi.sizeof(name) for name, size in sizes.items() if ffi.sizeof(name) != size}
    ok(not wrong, f"structures have the sizes of the C library {wrong or ''}")

    sess = ffi.new("struct vaccel_session *")
    ok(lib.vaccel_session_init(sess, 0) == 0, "a session is opened")
    ok(sess.id > 0, "its fields are read")
    ok(ffi.string(sess.plugin.info.name) == b"noop", "and those of its plugin")
    ok(lib.vaccel_noop(sess) == 0, "an operation is called")
    data = ffi.from_buffer(bytearray(b"bytes of Python"))
    res = ffi.new("struct vaccel_resource *")
    kind = lib.VACCEL_RESOURCE_MODEL
    ok(
        lib.vaccel_resource_init_from_buf(res, data, len(data), kind, ffi.NULL, True) == 0
        and lib.vaccel_resource_register(res, sess) == 0,
        "a resource of Python's memory is registered",
    )
    head = ffi.addressof(sess.resources[kind])
    ok(head.next != head and sess.resource_counts[kind] == 1, "the session's list shows it")
    text = ffi.new("unsigned char[64]")
    ok(
        lib.vaccel_image_classification(sess, data, text, ffi.NULL, len(data), 64, 0) == 0
        and ffi.string(text).startswith(b"This is a dummy"),
        "a picture is classified",
    )
    ok(lib.vaccel_noop(ffi.NULL) == lib.VACCEL_EINVAL, "an error is a number")
    ok(ffi.string(lib.vaccel_error_message()) != b"", "with a message")
    ok(lib.vaccel_resource_release(res) == 0 and res.id == 0, "the resource is released")
    ok(lib.vaccel_session_release(sess) == 0 and sess.id == 0, "the session is closed")
    return 1 if failures else 0


sys.exit(main())
