"""Writes merges.json: what mergekit-pytorch makes of tiny models with every method that draws no random numbers.

    python3 -m venv venv && venv/bin/pip install mergekit==0.1.5 torch==2.13.0 numpy==2.4.6
    venv/bin/python merges.py > merges.json
"""

import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

import numpy
import torch
import yaml
from safetensors.torch import load_file, save_file

SEED = 20250518
SHAPES = {"layer.weight": (6, 5), "norm.weight": (7,)}
METHODS = [
    ("linear", {"normalize": True}, [0.5, 0.3, 0.7]),
    ("linear", {"normalize": False}, [0.5, -0.3, 0.7]),
    ("slerp", {"t": 0.3}, None),
    ("task_arithmetic", {"lambda": 0.9}, [0.5, -0.3, 0.7]),
    ("ties", {"density": 0.4}, [0.5, 0.3, 0.7]),
    ("ties", {"density": [0.2, 0.7, 1.0], "lambda": 0.8, "rescale": True}, [1.0, 1.0, -1.0]),
    ("breadcrumbs", {"density": 0.6, "gamma": 0.1}, [0.5, 0.3, 0.7]),
    ("breadcrumbs_ties", {"density": 0.6, "gamma": 0.1, "normalize": True}, [0.5, 0.3, 0.7]),
    ("model_stock", {}, None),
    ("model_stock", {"filter_wise": True}, None),
]


def models():
    """A base and three members in steps of 2^-12, no two differences of one magnitude."""
    random = numpy.random.default_rng(SEED)
    drawn = {name: {} for name in ("base", "a", "b", "c")}
    for tensor, shape in SHAPES.items():
        base = numpy.round(random.standard_normal(shape) * 4096) / 4096
        drawn["base"][tensor] = base.astype(numpy.float32)
        for member in ("a", "b", "c"):
            while True:
                delta = numpy.round(random.standard_normal(shape) * 0.6 * 4096) / 4096
                if len(numpy.unique(abs(delta))) == delta.size:
                    break
            drawn[member][tensor] = (base + delta).astype(numpy.float32)
    return drawn


def merged(folder, method, options, coefficients):
    """Runs the command line tool. A list is one value per member."""
    members = ["a"] if method == "slerp" else ["a", "b", "c"]
    config = {"merge_method": method, "dtype": "float32", "parameters": {}, "models": []}
    if method != "linear":
        config["base_model"] = str(folder / "base.safetensors")
    for index, member in enumerate(members):
        parameters = {"weight": coefficients[index]} if coefficients else {}
        parameters |= {key: value[index] for key, value in options.items() if isinstance(value, list)}
        config["models"].append({"model": str(folder / f"{member}.safetensors"), "parameters": parameters})
    config["parameters"] = {key: value for key, value in options.items() if not isinstance(value, list)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    tool = pathlib.Path(sys.executable).with_name("mergekit-pytorch")
    out = folder / "out"
    subprocess.run([tool, folder / "config.yaml", out], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tensors = {}
    for file in out.glob("*.safetensors"):
        tensors |= load_file(file)
        file.unlink()
    return {name: tensors[name].reshape(-1).tolist() for name in SHAPES}


if __name__ == "__main__":
    drawn = models()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for model, tensors in drawn.items():
            save_file({key: torch.tensor(value) for key, value in tensors.items()}, folder / f"{model}.safetensors")
        cases = [
            {"method": method, "options": options, "coefficients": coefficients, "merged": merged(folder, method, options, coefficients)}
            for method, options, coefficients in METHODS
        ]
    version = importlib.metadata.version
    head = {
        "tool": "mergekit-pytorch",
        "version": version("mergekit"),
        "torch": version("torch"),
        "python": platform.python_version(),
        "command": "python merges.py > merges.json",
        "seed": SEED,
        "shapes": SHAPES,
        "models": {model: {key: value.reshape(-1).tolist() for key, value in tensors.items()} for model, tensors in drawn.items()},
    }
    print(json.dumps(head)[:-1] + ', "cases": [')
    print(",\n".join(map(json.dumps, cases)))
    print("]}")
