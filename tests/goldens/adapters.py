"""Writes adapters.json: what PEFT makes of tiny LoRA adapters: averages of them, and models they are merged into.

    python3 -m venv venv && venv/bin/pip install peft==0.21.2 transformers==5.24.0 torch==2.13.0 safetensors==0.8.0
    venv/bin/python adapters.py > adapters.json
"""

import importlib.metadata
import json
import pathlib
import platform
import tempfile
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

SEED = 20250518


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = torch.nn.Linear(5, 4)
        self.mix = Conv1D(6, 4)
        self.square = torch.nn.Linear(6, 6, bias=False)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(7, 5)
        self.block = Block()
        self.head = torch.nn.Linear(6, 3)

    def forward(self, ids):
        return self.head(self.block.square(self.block.mix(self.block.attention(self.embed(ids)))))


TARGETS = ["embed", "attention", "mix", "square"]
ADAPTERS = {
    "a": {"r": 2, "lora_alpha": 4, "target_modules": TARGETS},
    "b": {"r": 3, "lora_alpha": 3, "use_rslora": True, "target_modules": ["attention", "mix", "square"]},
    "c": {"r": 2, "lora_alpha": 2, "target_modules": TARGETS, "rank_pattern": {"embed": 1}, "alpha_pattern": {"attention": 5}},
    "d": {"r": 2, "lora_alpha": 1, "target_modules": TARGETS},
    "h": {"r": 1, "lora_alpha": 2, "target_modules": ["square"], "modules_to_save": ["head"]},
    "dora": {"r": 1, "lora_alpha": 2, "target_modules": ["square"], "use_dora": True},
}


def flat(tensor):
    return {"shape": list(tensor.shape), "values": tensor.detach().float().reshape(-1).tolist()}


def numbers(shape, generator):
    """In steps of 2^-8, so that decimals are short and exact."""
    return torch.round(torch.randn(shape, generator=generator) * 256) / 256


def fresh(state):
    model = Tiny()
    model.load_state_dict(state)
    return model


def train(state, folder):
    """Saves adapters with random factors, as PEFT saves them."""
    saved = {}
    for index, (name, settings) in enumerate(ADAPTERS.items()):
        generator = torch.Generator().manual_seed(SEED + index + 1)
        model = get_peft_model(fresh(state), LoraConfig(**settings))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = numbers(parameter.shape, generator)
        model.save_pretrained(folder / name)
        config = json.loads((folder / name / "adapter_config.json").read_text())
        tensors = load_file(folder / name / "adapter_model.safetensors")
        saved[name] = {"config": config, "tensors": {key: flat(value) for key, value in sorted(tensors.items())}}
    return saved


def load(state, folder, names):
    model = PeftModel.from_pretrained(fresh(state), folder / names[0], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(folder / name, adapter_name=name)
    return model


def average(state, folder, names, weights, kind, rank=None):
    """What a combined adapter adds to each module's weights."""
    model = load(state, folder, names)
    model.add_weighted_adapter(names, weights, "fused", combination_type=kind, svd_rank=rank)
    deltas = {}
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "get_delta_weight"):
            deltas[name] = flat(module.get_delta_weight("fused"))
    return {"kind": kind, "members": dict(zip(names, weights)), "rank": rank, "deltas": deltas}


def merge(state, folder, names, weights):
    model = load(state, folder, names)
    if names == ["h"]:
        merged = model.merge_and_unload(adapter_names=names)
    else:
        model.add_weighted_adapter(names, weights, "fused", combination_type="cat")
        merged = model.merge_and_unload(adapter_names=["fused"])
    return {"members": dict(zip(names, weights)), "merged": {key: flat(value) for key, value in merged.state_dict().items()}}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    generator = torch.Generator().manual_seed(SEED)
    state = {key: numbers(value.shape, generator) for key, value in Tiny().state_dict().items()}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        adapters = train(state, folder)
        averages = [
            average(state, folder, ["a", "d"], [0.7, 0.4], "linear"),
            average(state, folder, ["a", "d"], [0.7, -0.4], "linear"),
            average(state, folder, ["a", "b"], [0.7, -0.4], "cat"),
            average(state, folder, ["a", "c", "d"], [0.5, 0.25, 0.25], "svd", 2),
            average(state, folder, ["a", "b", "c"], [0.5, 0.25, 0.25], "svd"),
        ]
        merges = [
            merge(state, folder, ["a"], [1.0]),
            merge(state, folder, ["a", "b", "c"], [0.7, -0.4, 0.25]),
            merge(state, folder, ["h"], [1.0]),
        ]
    version = importlib.metadata.version
    print(
        json.dumps(
            {
                "tool": "peft",
                "version": version("peft"),
                "transformers": version("transformers"),
                "torch": version("torch"),
                "python": platform.python_version(),
                "command": "python adapters.py > adapters.json",
                "seed": SEED,
                "base": {key: flat(value) for key, value in state.items()},
            }
        )[:-1]
        + ","
    )
    print('"adapters": ' + json.dumps(adapters) + ",")
    print('"averages": [' + ",\n".join(map(json.dumps, averages)) + "],")
    print('"merges": [' + ",\n".join(map(json.dumps, merges)) + "]}")
