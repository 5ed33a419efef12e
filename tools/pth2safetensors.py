#!/usr/bin/env python3
"""Converts a state_dict that PyTorch has saved (.pth, .pt, .pth.tar) to safetensors. Needs nothing but Python.

A .pth file is a pickle, which may call any function when it is loaded. Here no function or class that it names is
looked up: those that rebuild tensors and dictionaries are replaced by the few below, everything else by an object that
does nothing and is left out."""
import argparse
import collections
import io
import json
import math
import os
import pathlib
import pickle
import struct
import sys
import zipfile

# torch's name of a storage: bytes of an element, and the type in safetensors.
STORAGES = {"FloatStorage": (4, "F32"), "DoubleStorage": (8, "F64"), "HalfStorage": (2, "F16"),
            "BFloat16Storage": (2, "BF16"), "LongStorage": (8, "I64"), "IntStorage": (4, "I32"),
            "ShortStorage": (2, "I16"), "CharStorage": (1, "I8"), "ByteStorage": (1, "U8"), "BoolStorage": (1, "BOOL")}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what PyTorch's format before 1.6 begins with
WRAPPERS = "module.", "_orig_mod."  # before every name, of DataParallel and of torch.compile
INSIDE = "state_dict", "model_state_dict", "model_state", "model", "net", "weights"  # of a checkpoint


class Refused(Exception):
    pass


class Nothing:
    """In place of what a state_dict has no use for; whatever is done to it has no effect."""

    def __init__(self, *args, **kwargs): pass
    def __call__(self, *args, **kwargs): return Nothing()
    def __setstate__(self, state): pass
    def __setitem__(self, key, value): pass
    def append(self, item): pass
    def extend(self, items): pass
    def add(self, item): pass


class Storage:
    def __init__(self, kind, elements):
        self.kind, self.elements, self.data = kind, elements, b""
        self.width, self.type = STORAGES[kind]

    def bytes(self):
        return self.elements * self.width

    def fill(self, data):
        if len(data) < self.bytes():
            raise Refused("a storage that is cut short")
        self.data = data


class Tensor:
    """A view of a storage, whose data may come later."""

    def __init__(self, storage, offset, size, stride, *rest):
        if not isinstance(storage, Storage):
            raise Refused("a tensor whose storage is no plain array")
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def bytes(self):
        """Its elements in order, the last dimension fastest."""
        spans = [(n - 1) * s for n, s in zip(self.size, self.stride)]
        sound = len(self.size) == len(self.stride) and min((self.offset, *self.size, *self.stride)) >= 0
        if not sound or (0 not in self.size and self.offset + sum(spans) >= self.storage.elements):
            raise Refused("a tensor that reaches beyond its storage")
        dense = [math.prod(self.size[i + 1 :]) for i in range(len(self.size))]
        count, width = math.prod(self.size), self.storage.width
        if count == 0 or all(s == d or n == 1 for n, s, d in zip(self.size, self.stride, dense)):
            return self.storage.data[self.offset * width : (self.offset + count) * width]
        element = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        source = memoryview(self.storage.data)[: self.storage.bytes()].cast(element)
        target = memoryview(bytearray(count * width)).cast(element)
        # Runs along the longest dimension, or single elements where no dimension has a stride.
        n, s, d = max(zip(self.size, self.stride, dense), key=lambda axis: axis[0] * (axis[1] > 0))
        n, s = (n, s) if s else (1, 1)
        for at, to in self.starts(dense, d if n > 1 else 0):
            target[to : to + (n - 1) * d + 1 : d] = source[at : at + (n - 1) * s + 1 : s]
        return target.tobytes()

    def starts(self, dense, but):
        """Where elements lie in the storage and in order, for each index of the dimensions but one."""
        places = [(self.offset, 0)]
        for n, s, d in zip(self.size, self.stride, dense):
            if d != but:
                places = [(at + i * s, to + i * d) for at, to in places for i in range(n)]
        return places


def parameter(data, *rest):
    return data


KNOWN = {("collections", "OrderedDict"): collections.OrderedDict,
         ("torch._utils", "_rebuild_tensor_v2"): Tensor,
         ("torch._utils", "_rebuild_tensor"): Tensor,
         ("torch._utils", "_rebuild_parameter"): parameter,
         ("torch", "Size"): tuple}


class Unpickler(pickle.Unpickler):
    def __init__(self, file, load_storage=None):
        super().__init__(file, encoding="latin1")
        self.storages, self.load_storage = {}, load_storage

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return name
        return KNOWN.get((module, name), Nothing)

    def persistent_load(self, pid):
        """('storage', kind, key, place, elements, and in the old format a view or None)"""
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and pid[1] in STORAGES):
            return Nothing()
        kind, key, elements = pid[1], str(pid[2]), int(pid[4])
        if len(pid) > 5 and pid[5] is not None:
            raise Refused("a storage that is a part of another")
        if key not in self.storages:
            self.storages[key] = Storage(kind, elements)
            if self.load_storage:
                self.storages[key].fill(self.load_storage(key))
        if self.storages[key].kind != kind:
            raise Refused("a storage of two types")
        return self.storages[key]


def read_zip(path):
    """Since PyTorch 1.6: NAME/data.pkl, and NAME/data/KEY for each storage."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next((n[: -len("data.pkl")] for n in names if n == "data.pkl" or n.endswith("/data.pkl")), None)
        if root is None:
            raise Refused("a zip file without data.pkl, which is none of PyTorch's")
        if root + "constants.pkl" in names:
            raise Refused("a TorchScript program, not a state_dict")
        if root + "byteorder" in names and archive.read(root + "byteorder") != b"little":
            raise Refused("numbers with their highest byte first")
        pickled = io.BytesIO(archive.read(root + "data.pkl"))
        return Unpickler(pickled, lambda key: archive.read(f"{root}data/{key}")).load()


def read_legacy(file):
    """Before: pickles of a magic number, a version, the system, what was saved and the storages' keys; then these, each
    with its number of elements before it."""
    if Unpickler(file).load() != LEGACY_MAGIC:
        raise Refused("a pickle that PyTorch has not saved")
    version, system = Unpickler(file).load(), Unpickler(file).load()
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian"):
        raise Refused("another version of PyTorch's old format than 1001, or numbers with their highest byte first")
    unpickler = Unpickler(file)
    loaded, keys = unpickler.load(), Unpickler(file).load()
    for key in map(str, keys):
        (elements,) = struct.unpack("<q", file.read(8))
        storage = unpickler.storages.get(key)
        if storage is None or elements != storage.elements:
            raise Refused("storages that do not go with the tensors")
        storage.fill(file.read(storage.bytes()))
    return loaded


def read(path):
    if zipfile.is_zipfile(path):
        return read_zip(path)
    with open(path, "rb") as file:
        return read_legacy(file)


def tensors_of(loaded, key):
    """The dictionary of tensors, wherever it is, and without wrappers before its names."""
    if not isinstance(loaded, dict):
        raise Refused("a whole model or something else that is no state_dict: save model.state_dict() instead")
    inside = [name for name in INSIDE if isinstance(loaded.get(name), dict)]
    found = loaded.get(key) if key else loaded[inside[0]] if inside else loaded
    if not isinstance(found, dict):
        raise Refused(f"no dictionary called {key}")
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise Refused(f"no tensors; what it holds is called {', '.join(map(str, list(found)[:8])) or 'nothing'}")
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name[len(wrapper) :]: value for name, value in tensors.items()}
    return tensors, len(found) - len(tensors)


def write_safetensors(path, tensors):
    """Wide types first, so that all are aligned. The file is whole or not there."""
    order = sorted(tensors, key=lambda name: -tensors[name].storage.width)
    header, blocks, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in order:
        data = tensors[name].bytes()
        header[name] = {"dtype": tensors[name].storage.type, "shape": tensors[name].size,
                        "data_offsets": [at, at + len(data)]}
        blocks.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = path.with_name(path.name + ".tmp")
    try:
        with open(partial, "wb") as file:
            file.writelines([struct.pack("<Q", len(text)), text, *blocks])
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description="Converts a state_dict that PyTorch has saved to safetensors.")
    parser.add_argument("pth", type=pathlib.Path, help="the .pth file, or a checkpoint that holds a state_dict")
    parser.add_argument("out", type=pathlib.Path, nargs="?", help="default: the same name with .safetensors")
    parser.add_argument("--key", help=f"where in a checkpoint the weights are (default: {', '.join(INSIDE)})")
    args = parser.parse_args()
    out = args.out or args.pth.with_suffix(".safetensors")
    try:
        tensors, left_out = tensors_of(read(args.pth), args.key)
        write_safetensors(out, tensors)
    except OSError as error:
        return f"{error.filename or args.pth}: {error.strerror or error}"
    except Refused as error:
        return f"{args.pth}: expected a state_dict, found {error}"
    except Exception as error:  # whatever a pickle or zip file that is damaged leads to
        return f"{args.pth}: not a file that PyTorch has saved, or damaged ({type(error).__name__}: {error})"
    count = sum(math.prod(t.size) for t in tensors.values())
    others = f"; {left_out} other entries left out" if left_out else ""
    print(f"{out}: {len(tensors)} tensors, {count} numbers{others}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
