#!/usr/bin/env python3
"""tools/pth2safetensors.py, given as the first argument: files that PyTorch has saved (the second, tests/pth, from
tools/make-test-pth.py), and files that are damaged or mean harm."""
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile

TOOL, FILES = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
EXPECTED = {  # type, shape, struct's code, first number: what make-test-pth.py puts in, in order and in steps of 1
    "conv.weight": ("F32", [3, 2, 3, 3], "f", 0.5), "channels_last": ("F32", [3, 2, 3, 3], "f", 0.5),
    "transposed": ("F32", [2, 3, 4], "f", 0.5), "part": ("F32", [2, 12], "f", 0.5),
    "bn.num_batches_tracked": ("I64", [], "q", 7), "half": ("F16", [2, 3, 4], "e", 0.5),
    "brain": ("BF16", [2, 3, 4], "H", 0.5), "double": ("F64", [2, 3, 4], "d", 0.5), "int": ("I32", [24], "i", 0),
    "byte": ("U8", [24], "B", 0), "flag": ("BOOL", [24], "?", 0), "empty": ("F32", [0, 3], "f", 0),
}
failures = 0


def expect(true, what):
    global failures
    if not true:
        print("not as expected:", what)
        failures += 1


def convert(path, *options):
    """Exit status, stdout and stderr, and the file's tensors if there is one: name -> (type, shape, bytes)."""
    out = pathlib.Path("out.safetensors")
    out.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, TOOL, path, out, *options], capture_output=True, text=True)
    expect(not pathlib.Path("out.safetensors.tmp").exists(), f"{path}: a partial file is left")
    if not out.exists():
        return done.returncode, done.stdout + done.stderr, None
    data = out.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    expect(header.pop("__metadata__") == {"format": "pt"}, f"{path}: metadata")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        tensors[name] = entry["dtype"], entry["shape"], data[begin:end]
    return done.returncode, done.stdout + done.stderr, tensors


def refused(path, word, *options):
    status, text, tensors = convert(path, *options)
    good = status == 1 and tensors is None and text.count("\n") == 1 and word in text
    expect(good, f"{path}: exit {status}, {'a file, ' if tensors else ''}'{text.strip()}' instead of '{word}'")


def check_values(title, tensors):
    expect(tensors is not None and tensors.keys() == EXPECTED.keys(), f"{title}: its names")
    for name, (dtype, shape, code, first) in EXPECTED.items() if tensors else ():
        found = tensors.get(name, (None, None, b""))
        count = len(found[2]) // struct.calcsize(code)
        values = list(struct.unpack(f"<{count}{code}", found[2]))
        if dtype == "BF16":  # the upper half of a float
            values = [struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in values]
        want = [first + i for i in range(count)]
        if dtype == "BOOL":
            want = [i % 2 == 1 for i in range(count)]
        expect(found[:2] == (dtype, shape) and values == want, f"{title}: {name} is {found[:2]}, {values}")


def check_what_pytorch_saves():
    for name in "zip.pth", "legacy.pth", "checkpoint.pth":
        status, text, tensors = convert(FILES / name)
        expect(status == 0 and "12 tensors" in text, f"{name}: exit {status}, {text}")
        check_values(name, tensors)
    check_values("--key", convert(FILES / "checkpoint.pth", "--key", "state_dict")[2])
    refused(FILES / "checkpoint.pth", "no dictionary called weights", "--key", "weights")
    refused(FILES / "checkpoint.pth", "no tensors; what it holds is called state, param_groups", "--key", "optimizer")
    refused(FILES / "module.pth", "a whole model")


def check_damage():
    refused("nowhere.pth", "nowhere.pth: No such file")
    refused(".", "Is a directory")
    for name, step in ("zip.pth", 997), ("legacy.pth", 331):
        whole = (FILES / name).read_bytes()
        for size in range(0, len(whole) - 1, step):
            pathlib.Path("cut.pth").write_bytes(whole[:size])
            refused("cut.pth", "cut.pth: ")
    pathlib.Path("text.pth").write_text("weights\n")
    refused("text.pth", "not a file that PyTorch has saved")
    pathlib.Path("number.pth").write_bytes(pickle.dumps(3))
    refused("number.pth", "a pickle that PyTorch has not saved")


class Storage:  # pickled as PyTorch does: by a persistent id
    def __init__(self, kind, key, elements):
        self.id = "storage", kind, key, "cpu", elements


class Called:
    """Pickled as a call of module.name(*args)."""

    def __init__(self, module, name, *args):
        self.function, self.args = Named(module, name), args

    def __reduce__(self):
        return self.function, self.args


class Named:
    """A stand-in for a global of that name, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        pass


class Pickler(pickle._Pickler):  # the one in Python lets a stand-in be written as a global
    def persistent_id(self, thing):
        return thing.id if isinstance(thing, Storage) else None

    def save(self, thing, **options):
        if not isinstance(thing, Named):
            return super().save(thing, **options)
        self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())


def write_pth(path, saved, storages=(("0", bytes(16)),), others=()):
    data = io.BytesIO()
    Pickler(data, 2).dump(saved)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
        for key, content in storages:
            archive.writestr(f"archive/data/{key}", content)
        for name, content in others:
            archive.writestr(f"archive/{name}", content)


def tensor(size=(4,), stride=(1,), offset=0, elements=4, kind="FloatStorage", key="0"):
    storage = Storage(Named("torch", kind), key, elements)
    return Called("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, {})


def check_layouts():
    """Elements in order, however they lie; an expanded dimension has a stride of 0."""
    storage = struct.pack("<4f", 0, 1, 2, 3)
    for size, stride, offset, want in (((2, 2), (1, 2), 0, (0, 2, 1, 3)), ((2, 2), (0, 1), 1, (1, 2, 1, 2)),
                                       ((2, 2), (0, 0), 3, (3, 3, 3, 3)), ((3, 1, 1), (1, 7, 7), 1, (1, 2, 3)),
                                       ((2, 1, 2), (1, 0, 2), 0, (0, 2, 1, 3)), ((), (), 2, (2,)), ((0,), (1,), 0, ())):
        write_pth("layout.pth", {"w": tensor(size, stride, offset)}, [("0", storage)])
        found = convert("layout.pth")[2]
        expect(found == {"w": ("F32", list(size), struct.pack(f"<{len(want)}f", *want))}, f"{size} {stride}: {found}")


def check_harm():
    """No function is called that a file names."""
    write_pth("plain.pth", {"w": tensor()})
    expect(convert("plain.pth")[2] == {"w": ("F32", [4], bytes(16))}, "a file made here")
    for module, name, *args in (("os", "system", "touch harm"), ("posix", "system", "touch harm"),
                                ("builtins", "eval", "open('harm', 'w')"), ("subprocess", "getoutput", "touch harm")):
        write_pth("harm.pth", {"w": tensor(), "x": Called(module, name, *args)})
        status, text, tensors = convert("harm.pth")
        expect(status == 0 and list(tensors) == ["w"] and "1 other" in text, f"{module}.{name}: {text}")
        write_pth("harm.pth", Called(module, name, *args))
        refused("harm.pth", "expected a state_dict")
    for opcodes in (b"cos\nsystem\n(S'touch harm'\ntR.", b"(S'touch harm'\nios\nsystem\n.",
                    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch harm\x85R."):
        pathlib.Path("raw.pth").write_bytes(opcodes)
        refused("raw.pth", "raw.pth: ")
    expect(not os.path.exists("harm"), "a file's function has been called")


def check_lies():
    for title, lie in {"a stride too far": tensor(stride=(2,)), "an offset too far": tensor(offset=1),
                       "a negative offset": tensor(offset=-1), "a negative stride": tensor(stride=(-1,)),
                       "a negative size": tensor(size=(-4,)), "too few strides": tensor(size=(2, 2)),
                       "more elements than there are": tensor(size=(8,), elements=8),
                       "a key that is not there": tensor(key="1")}.items():
        write_pth("lie.pth", {"w": lie})
        status, text, tensors = convert("lie.pth")
        expect(status == 1 and tensors is None and text.count("\n") == 1, f"{title}: exit {status}, {text}")
    write_pth("types.pth", {"w": tensor(), "v": tensor(kind="IntStorage")})
    refused("types.pth", "a storage of two types")
    write_pth("script.pth", {"w": tensor()}, others=[("constants.pkl", b"")])
    refused("script.pth", "a TorchScript program")
    write_pth("order.pth", {"w": tensor()}, others=[("byteorder", b"big")])
    refused("order.pth", "highest byte first")
    write_pth("none.pth", {"epoch": 3})
    refused("none.pth", "no tensors; what it holds is called epoch")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    check_what_pytorch_saves()
    check_damage()
    check_layouts()
    check_harm()
    check_lies()
    os.chdir("/")
print("all as expected" if not failures else f"{failures} failures")
sys.exit(failures > 0)
