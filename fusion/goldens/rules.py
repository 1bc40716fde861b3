"""Writes rules.json: what mergekit makes of small tensors with every rule that draws no random numbers.

    python3 -m venv venv && venv/bin/pip install mergekit==0.1.5 torch==2.13.0 numpy==2.4.6
    venv/bin/python rules.py > rules.json
"""

import importlib.metadata
import json
import platform

import numpy
import torch
from mergekit.merge_methods import registry
from mergekit.merge_methods.base import TensorGroup

SEED = 20250518
MEMBERS = 3
SHAPES = {
    "matrix": (7, 6),
    "vector": (37,),
    "one": (1,),
    "cube": (3, 2, 4),
    "ties": (40,),  # few values: equal magnitudes and deltas that cancel
    "still": (12,),  # the members are the base
    "near": (24,),  # members so close to the base that slerp goes straight
}
NAMES = {"coefficients": "weight"}  # ours: mergekit's


def tensors():
    """Base and members in steps of 2^-12, so that their decimals are short and exact; magnitudes differ where they can."""
    random = numpy.random.default_rng(SEED)
    for name, shape in SHAPES.items():
        step, spread = {"ties": (4, 1.0), "still": (4096, 0.0), "near": (4096, 0.02)}.get(name, (4096, 0.6))
        base = numpy.round(random.standard_normal(shape) * 4096) / 4096
        while True:
            deltas = numpy.round(random.standard_normal((MEMBERS, *shape)) * spread * step) / step
            if name in ("ties", "still") or all(len(numpy.unique(abs(delta))) == delta.size for delta in deltas):
                break
        yield name, base.astype(numpy.float32), (base + deltas).astype(numpy.float32)


def rules():
    """Options of every call, in our names."""
    yield {"use": "linear", "coefficients": [0.5, 0.3, 0.7], "normalize": True}
    yield {"use": "linear", "coefficients": [0.5, -0.3, 0.7], "normalize": False}
    for t in (0.0, 0.3, 1.0):
        yield {"use": "slerp", "t": t}
    yield {"use": "task_arithmetic", "coefficients": [0.5, 0.3, 0.7]}
    yield {"use": "task_arithmetic", "coefficients": [0.5, -0.3, 0.7], "lambda": 1.5, "normalize": True}
    yield {"use": "task_arithmetic", "coefficients": [0.5, -0.5, 0.0], "normalize": True}
    for use in ("ties", "breadcrumbs", "breadcrumbs_ties"):
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 0.5}
        yield {"use": use, "coefficients": [1.0, 1.0, 1.0], "density": [0.2, 0.7, 1.0], "lambda": 0.8}
        yield {"use": use, "coefficients": [0.5, -0.3, 0.7], "density": 0.3, "rescale": True}
        for normalize in (False, True):
            yield {"use": use, "coefficients": [1.0, -1.0, 0.4], "density": 0.6, "normalize": normalize}
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 0.0}
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 0.001}
    for use in ("breadcrumbs", "breadcrumbs_ties"):
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 0.6, "gamma": [0.1, 0.2, 0.9]}
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 0.6, "gamma": 0.25, "rescale": True}
    # Nothing is dropped at density 1, so these draw nothing.
    for use in ("dare_linear", "dare_ties"):
        yield {"use": use, "coefficients": [0.5, 0.3, 0.7], "density": 1.0, "lambda": 0.9}
    yield {"use": "model_stock"}
    yield {"use": "model_stock", "filter_wise": True}


def is_settled(options, base, members):
    """Whether the rule alone decides: of equal magnitudes mergekit keeps those that torch's unstable sort puts first."""
    distinct = all(len(numpy.unique(abs(member - base))) == base.size for member in members)
    return distinct or options.get("density", 1.0) in (0.0, 1.0)


def merged(options, base, members):
    options = dict(options)
    use = options.pop("use")
    parameters = {NAMES.get(key, key): value for key, value in options.items()}
    if use == "linear":
        group = TensorGroup.from_tensors([torch.tensor(x) for x in members])
    else:
        if use == "slerp":
            members = members[:1]
        group = TensorGroup.from_tensors([torch.tensor(x) for x in (base, *members)], base_index=0)
    return registry.get(use)([group], parameters=parameters)[0]


def flat(array):
    return [float(x) for x in array.reshape(-1)]


if __name__ == "__main__":
    everything = list(tensors())
    print(
        json.dumps(
            {
                "tool": "mergekit",
                "version": importlib.metadata.version("mergekit"),
                "torch": importlib.metadata.version("torch"),
                "python": platform.python_version(),
                "command": "python rules.py > rules.json",
                "seed": SEED,
            }
        )[:-1]
        + ', "tensors": {'
    )
    print(
        ",\n".join(
            f'"{name}": '
            + json.dumps({"shape": base.shape, "base": flat(base), "members": [flat(member) for member in members]})
            for name, base, members in everything
        )
    )
    print('}, "merges": [')
    print(
        ",\n".join(
            json.dumps({"rule": options, "tensor": name, "merged": flat(merged(options, base, members))})
            for options in rules()
            for name, base, members in everything
            if is_settled(options, base, members)
        )
    )
    print("]}")
