"""Folders that `bomf fuse` writes, loaded by transformers and peft: logits beside those expected, and model cards"""

import copy
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, TaskType, get_peft_model

BOMF = os.environ.get("BOMF_BIN", "bomf")
SEED = 20250518
IDS = torch.tensor([[1, 5, 9, 3, 7], [2, 2, 8, 0, 4]])
# Of logits about 1, in float32; in bfloat16 both sides round the same weights.
TOLERANCE = 2e-5


def llama(tied=False):
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=32, tie_word_embeddings=tied, initializer_range=0.3,
        )
    )


def gpt2():
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=61, n_positions=32, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    )


def bert():
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=32, num_labels=3, initializer_range=0.3,
        )
    )


def trained(make, seed):
    """A random model: tiny training is not needed to see whether weights arrive."""
    torch.manual_seed(seed)
    return make().eval()


def near(model, seed):
    """Another one in its neighbourhood."""
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return other


def averaged(models, coefficients):
    """The weighted sum of the weights, in a copy of the first model."""
    fused = copy.deepcopy(models[0])
    with torch.no_grad():
        for parameters in zip(fused.parameters(), *(model.parameters() for model in models)):
            parameters[0].copy_(sum(c * p for c, p in zip(coefficients, parameters[1:])))
    return fused


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits.float()


def fuse(*arguments):
    subprocess.run([BOMF, "fuse", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def compare(what, found, expected):
    error = (found - expected).abs().max().item()
    spread = expected.std().item()
    print(f"{what:<76} largest difference {error:.1e} of logits spread over {spread:.2f}")
    if not error <= TOLERANCE * max(1.0, spread):
        sys.exit(f"{what}: found a difference of {error}, expected at most {TOLERANCE}")


def loaded(folder, kind=transformers.AutoModelForCausalLM, **options):
    """Loads a folder, and insists that every weight was in it."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    faults = {key: value for key, value in info.items() if value and key != "error_msgs" or key == "error_msgs" and value}
    if faults:
        sys.exit(f"{folder}: transformers says {faults}")
    return model.eval()


def card(folder, library):
    """The card is one that the hub's own library reads."""
    data = ModelCard.load(folder / "README.md").data
    assert data.library_name == library and "merge" in data.tags, data
    return data


def models(folder):
    for name, make in [("llama", llama), ("tied llama", lambda: llama(True)), ("gpt2", gpt2)]:
        here = folder / name.replace(" ", "-")
        first = trained(make, SEED)
        pair = [first, near(first, SEED + 1)]
        for number, model in enumerate(pair):
            model.save_pretrained(here / str(number))
        members = ["--member", f"{here / '0'}=0.7", "--member", f"{here / '1'}=0.3"]
        expected = averaged(pair, [0.7, 0.3])

        fuse(*members, "--out", here / "one")
        compare(f"{name}, one file", logits(loaded(here / "one")), logits(expected))
        card(here / "one", "transformers")
        fuse(*members, "--shard-size", "20KB", "--out", here / "sharded")
        assert len(list((here / "sharded").glob("*.safetensors"))) > 2
        compare(f"{name}, several files", logits(loaded(here / "sharded")), logits(expected))
        fuse(*members, "--dtype", "bf16", "--out", here / "half")
        half = loaded(here / "half")
        assert half.dtype == torch.bfloat16, half.dtype
        # A detour by disk: buffers that are not saved stay what they are.
        copy.deepcopy(expected).to(torch.bfloat16).save_pretrained(here / "expected")
        compare(f"{name}, bfloat16 as the configuration says", logits(half), logits(loaded(here / "expected")))
        if name == "tied llama":
            tied = loaded(here / "one")
            assert tied.lm_head.weight.data_ptr() == tied.model.embed_tokens.weight.data_ptr()

        fuse("--method", "task_arithmetic", "--base", here / "0", "--member", f"{here / '1'}=0.3", "--out", here / "task")
        compare(f"{name}, task arithmetic", logits(loaded(here / "task")), logits(averaged(pair, [0.7, 0.3])))


def adapter(model, seed, folder, **settings):
    torch.manual_seed(seed)
    config = LoraConfig(base_model_name_or_path="someone/tiny", **settings)
    with_adapter = get_peft_model(copy.deepcopy(model), config)
    config.base_model_name_or_path = "someone/tiny"
    with torch.no_grad():
        for name, parameter in with_adapter.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    with_adapter.save_pretrained(folder)


def combined(model, folders, weights, kind):
    """What peft makes of adapters: combined, on the model."""
    names = [folder.name for folder in folders]
    peft = PeftModel.from_pretrained(copy.deepcopy(model), folders[0], adapter_name=names[0])
    for name, folder in zip(names[1:], folders[1:]):
        peft.load_adapter(folder, adapter_name=name)
    peft.add_weighted_adapter(names, weights, "fused", combination_type=kind)
    peft.set_adapter("fused")
    return peft.eval()


def adapters(folder):
    targets = {
        "llama": ["q_proj", "v_proj", "down_proj", "embed_tokens"],
        "gpt2": ["c_attn", "c_proj", "c_fc", "wte"],
    }
    for name, make in [("llama", llama), ("gpt2", gpt2)]:
        here = folder / f"{name}-lora"
        model = trained(make, SEED)
        model.save_pretrained(here / "model")
        settings = {"target_modules": targets[name], "task_type": TaskType.CAUSAL_LM}
        adapter(model, 1, here / "a", r=4, lora_alpha=8, **settings)
        adapter(model, 2, here / "b", r=4, lora_alpha=4, **settings)
        adapter(model, 3, here / "c", r=8, lora_alpha=8, use_rslora=True, **settings)
        on_model = lambda out: PeftModel.from_pretrained(copy.deepcopy(model), here / out).eval()

        # peft's `linear` multiplies both factors by the root of a weight.
        fuse("--member", f"{here / 'a'}={0.7 ** 0.5}", "--member", f"{here / 'b'}={0.3 ** 0.5}", "--out", here / "factors")
        expected = logits(combined(model, [here / "a", here / "b"], [0.7, 0.3], "linear"))
        compare(f"{name}, adapter of averaged factors, scales differ", logits(on_model("factors")), expected)

        three = [here / "a", here / "b", here / "c"]
        members = [word for path, weight in zip(three, [0.5, 0.3, -0.2]) for word in ("--member", f"{path}={weight}")]
        expected = logits(combined(model, three, [0.5, 0.3, -0.2], "cat"))
        fuse(*members, "--lora", "products", "--rank", "16", "--out", here / "products")
        compare(f"{name}, adapter of averaged products, ranks differ", logits(on_model("products")), expected)
        assert card(here / "products", "peft").base_model == ["someone/tiny"]

        # Merged, embeddings that are tied to the head change it too.
        expected = logits(combined(model, three, [0.5, 0.3, -0.2], "cat").merge_and_unload())
        fuse(*members, "--into", here / "model", "--out", here / "merged")
        compare(f"{name}, three adapters in their model", logits(loaded(here / "merged")), expected)


def heads(folder):
    """A base saved without a head, and an adapter that brings one."""
    here = folder / "bert-lora"
    model = trained(bert, SEED)
    model.bert.save_pretrained(here / "encoder")
    adapter(model, 1, here / "a", r=4, lora_alpha=8, target_modules=["query", "value"], task_type=TaskType.SEQ_CLS)
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), here / "a").eval())
    fuse("--member", f"{here / 'a'}=1", "--into", here / "encoder", "--out", here / "merged")
    kind = transformers.AutoModelForSequenceClassification
    merged = loaded(here / "merged", kind, num_labels=3)
    compare("bert, an adapter with a head in an encoder", logits(merged), expected)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        for part in (models, adapters, heads):
            part(pathlib.Path(name))
