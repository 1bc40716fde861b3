"""A weighted sum of safetensors files as one would write it with numpy: one thread, tensor by tensor, mapped files."""

import json
import os
import sys

import numpy as np


def header(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length))


def read(array, start, entry):
    begin, end = entry["data_offsets"]
    raw = array[start + begin : start + end]
    if entry["dtype"] == "F32":
        return raw.view(np.float32)
    # bf16 is the upper half of an f32.
    return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def stored(numbers, dtype):
    if dtype == "F32":
        return numbers
    bits = numbers.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def main(out, paths):
    headers = [header(path) for path in paths]
    maps = [np.memmap(path, dtype=np.uint8, mode="r") for path in paths]
    share = np.float32(1 / len(paths))
    os.makedirs(out)
    first = headers[0][1]
    with open(paths[0], "rb") as source, open(os.path.join(out, "model.safetensors"), "wb") as file:
        file.write(source.read(headers[0][0]))
        names = sorted((name for name in first if name != "__metadata__"), key=lambda name: first[name]["data_offsets"])
        for name in names:
            total = None
            for (start, entries), array in zip(headers, maps):
                term = read(array, start, entries[name]) * share
                if total is None:
                    total = term
                else:
                    total += term
            file.write(stored(total, first[name]["dtype"]).tobytes())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
