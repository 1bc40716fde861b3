"""Time and memory of `bomf fuse` beside mergekit and a numpy script: mergekit [--members N] [--millions M] [--dtype f32|bf16] [--repeats N] [--no-mergekit] [--growth] [--folder DIR]"""

# Members are models of random weights with the tensors of a GPT-2; they are written once, read once so that the page cache has
# them, and fused by each tool in turn. Memory is the peak of what belongs to the process alone (RssAnon), looked at every few
# milliseconds: pages of mapped files are not counted, for any of them.

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BOMF = os.environ.get("BOMF_BIN", "bomf")
WIDTH = 768


def shapes(millions):
    """The tensors of a GPT-2 with so many layers that there are about so many million weights."""
    vocabulary = 50257 if millions >= 100 else 2000
    per_layer = 12 * WIDTH * WIDTH + 13 * WIDTH
    layers = max(1, round((millions * 1e6 - (vocabulary + 1024) * WIDTH) / per_layer))
    tensors = [("wte.weight", [vocabulary, WIDTH]), ("wpe.weight", [1024, WIDTH])]
    for layer in range(layers):
        name = f"h.{layer}."
        for norm in ("ln_1", "ln_2"):
            tensors += [(f"{name}{norm}.weight", [WIDTH]), (f"{name}{norm}.bias", [WIDTH])]
        for part, rows, columns in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH), ("mlp.c_fc", WIDTH, 4 * WIDTH), ("mlp.c_proj", 4 * WIDTH, WIDTH)):
            tensors += [(f"{name}{part}.weight", [rows, columns]), (f"{name}{part}.bias", [columns])]
    tensors += [("ln_f.weight", [WIDTH]), ("ln_f.bias", [WIDTH])]
    config = {"architectures": ["GPT2Model"], "model_type": "gpt2", "n_embd": WIDTH, "n_layer": layers, "n_head": 12, "n_positions": 1024, "vocab_size": vocabulary}
    return tensors, config


def write_member(folder, seed, tensors, config, dtype):
    os.makedirs(folder)
    size = {"F32": 4, "BF16": 2}[dtype]
    entries, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        length = int(np.prod(shape)) * size
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + length]}
        offset += length
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    random = np.random.default_rng(seed)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _, shape in tensors:
            numbers = random.standard_normal(int(np.prod(shape)), dtype=np.float32)
            file.write(numbers.tobytes() if dtype == "F32" else (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(dict(config, torch_dtype={"F32": "float32", "BF16": "bfloat16"}[dtype]), file)


def warm(paths):
    for path in paths:
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass


def private(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("RssAnon")), 0)
    except OSError:
        return 0


def timed(command, environment=None):
    """Wall seconds and MiB of peak private memory."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, **(environment or {})))
    peak = [0]

    def watch():
        while process.poll() is None:
            peak[0] = max(peak[0], private(process.pid))
            time.sleep(0.004)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, messages = process.communicate()
    seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command[0]}: {messages.decode()[-2000:]}")
    return seconds, peak[0] / 1024


def weights(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    array = np.memmap(path, dtype=np.uint8, mode="r")
    kinds = {"F32": np.float32, "BF16": np.uint16}
    found = {}
    for name, entry in entries.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            numbers = array[begin:end].view(kinds[entry["dtype"]])
            found[name] = numbers if entry["dtype"] == "F32" else (numbers.astype(np.uint32) << 16).view(np.float32)
    return found


def expect_alike(one, other, dtype):
    """Sums may be made in another order: they differ by a rounding or two."""
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    tolerance = {"F32": 1e-6, "BF16": 2.0**-7}[dtype]
    for name, numbers in one.items():
        worst = float(np.max(np.abs(numbers - other[name])))
        assert worst <= tolerance, (name, worst)


class Contest:
    def __init__(self, folder, members, dtype, with_mergekit):
        self.folder, self.members, self.dtype = folder, members, dtype
        self.with_mergekit = with_mergekit

    def tools(self, members):
        flags = [flag for member in members for flag in ("--member", member)]
        files = [os.path.join(member, "model.safetensors") for member in members]
        tools = {
            "bomf fuse --no-digests": [BOMF, "fuse", *flags, "--no-digests", "--out"],
            "bomf fuse": [BOMF, "fuse", *flags, "--out"],
            "numpy, one thread": [sys.executable, os.path.join(HERE, "numpy_fuse.py"), None, *files],
        }
        if self.with_mergekit:
            recipe = os.path.join(self.folder, "recipe.yaml")
            models = [{"model": file, "parameters": {"weight": 1 / len(members)}} for file in files]
            with open(recipe, "w") as file:
                json.dump({"merge_method": "linear", "models": models, "dtype": {"F32": "float32", "BF16": "bfloat16"}[self.dtype]}, file)
            tools["mergekit-pytorch"] = [os.path.join(os.path.dirname(sys.executable), "mergekit-pytorch"), recipe]
        return tools

    def run(self, members, repeats):
        """Seconds and peaks of every tool, in turn."""
        out = os.path.join(self.folder, "out")
        results = {}
        for round_ in range(repeats):
            for name, command in self.tools(members).items():
                if name == "mergekit-pytorch" and round_ > 1:
                    continue
                shutil.rmtree(out, ignore_errors=True)
                if None in command:
                    command = [out if part is None else part for part in command]
                else:
                    command = [*command, out]
                results.setdefault(name, []).append(timed(command))
                written = os.path.join(out, "model.safetensors")
                if round_ == 0:
                    kept = os.path.join(self.folder, "first.safetensors")
                    if name == "bomf fuse --no-digests":
                        shutil.copy(written, kept)
                    else:
                        expect_alike(kept, written, self.dtype)
        shutil.rmtree(out, ignore_errors=True)
        return {name: (statistics.median(s for s, _ in runs), max(p for _, p in runs)) for name, runs in results.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=15)
    parser.add_argument("--millions", type=float, default=124)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-mergekit", action="store_true")
    parser.add_argument("--growth", action="store_true", help="also bomf alone over fewer members: seconds per gigabyte")
    parser.add_argument("--folder", help="where the members are written; 16 GB have to fit (default: a temporary folder)")
    options = parser.parse_args()
    dtype = options.dtype.upper()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tensors, config = shapes(options.millions)
        members = [os.path.join(folder, f"member-{index}") for index in range(options.members)]
        for index, member in enumerate(members):
            write_member(member, index, tensors, config, dtype)
        files = [os.path.join(member, "model.safetensors") for member in members]
        gigabytes = sum(map(os.path.getsize, files)) / 1e9
        warm(files)
        contest = Contest(folder, members, dtype, not options.no_mergekit)
        results = contest.run(members, options.repeats)
        ours = results["bomf fuse --no-digests"][0]
        print(f"{len(members)} members of {sum(int(np.prod(s)) for _, s in tensors) / 1e6:.0f} M weights, {dtype}, {gigabytes:.2f} GB in the page cache\n")
        print("| tool | seconds | times bomf without digests | peak private MiB |\n|---|---|---|---|")
        for name, (seconds, peak) in results.items():
            print(f"| {name} | {seconds:.2f} | {seconds / ours:.2f} | {peak:.0f} |")
        if options.growth:
            print("\n| members | GB | seconds | seconds per GB | peak private MiB |\n|---|---|---|---|---|")
            contest.with_mergekit = False
            for count in sorted({min(count, len(members)) for count in (2, 4, 8, len(members))}):
                bytes_read = sum(map(os.path.getsize, files[:count])) / 1e9
                seconds, peak = contest.run(members[:count], 3)["bomf fuse --no-digests"]
                print(f"| {count} | {bytes_read:.2f} | {seconds:.2f} | {seconds / bytes_read:.3f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
