"""Writes small random models with what transformers makes of them: logits, loss, the gradient of every tensor.

    pip install torch==2.13.0 transformers==4.57.1 safetensors tokenizers && python generate.py

Each folder beside this file is a Hugging Face model folder with golden.json (texts, targets, logits, loss, tool versions)
and gradients.safetensors.
"""

import json
import pathlib
import random

import safetensors.torch
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors

SEED = 11
HERE = pathlib.Path(__file__).parent
WORDS = [f"w{i}" for i in range(34)]


def tokenizer(roberta):
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    unknown, first, last = ("<unk>", "<s>", "</s>") if roberta else ("[UNK]", "[CLS]", "[SEP]")
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    between = f"{last} {last}" if roberta else last
    pair_type = 0 if roberta else 1
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {between} $B:{pair_type} {last}:{pair_type}",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )
    return made, len(vocabulary), vocabulary["<pad>" if roberta else "[PAD]"]


def make(name, roberta, labels, pairs):
    random.seed(SEED)
    torch.manual_seed(SEED)
    made, size, pad = tokenizer(roberta)
    settings = dict(
        vocab_size=size, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32,
        max_position_embeddings=26, pad_token_id=pad, num_labels=labels, initializer_range=0.3,
        type_vocab_size=1 if roberta else 2, layer_norm_eps=1e-5 if roberta else 1e-12,
    )
    kind = "Roberta" if roberta else "Bert"
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    for parameter in model.parameters():
        # Biases and layer norms too: zeros and ones would hide mistakes.
        parameter.data += 0.1 * torch.randn_like(parameter)
    texts = [" ".join(random.choices(WORDS, k=k)) for k in [1, 7, 3, 12, 5]]
    second = [" ".join(random.choices(WORDS, k=k)) for k in [2, 1, 6, 4, 3]] if pairs else None
    encoded = [made.encode(a, b) for a, b in zip(texts, second)] if pairs else [made.encode(t) for t in texts]
    longest = max(len(e.ids) for e in encoded)
    rows = lambda get, fill: torch.tensor([get(e) + [fill] * (longest - len(e.ids)) for e in encoded])
    inputs = dict(input_ids=rows(lambda e: e.ids, pad), attention_mask=rows(lambda e: [1] * len(e.ids), 0))
    if not roberta:
        inputs["token_type_ids"] = rows(lambda e: e.type_ids, 0)
    targets = [random.gauss(0, 1) for _ in texts] if labels == 1 else [random.randrange(labels) for _ in texts]
    output = model(**inputs, labels=torch.tensor(targets))
    output.loss.backward()
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    config.save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    tensors = {n: p.detach().contiguous() for n, p in model.named_parameters()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    gradients = {n: p.grad.contiguous() for n, p in model.named_parameters()}
    safetensors.torch.save_file(gradients, folder / "gradients.safetensors")
    golden = dict(
        tool="transformers", version=transformers.__version__, torch=torch.__version__, seed=SEED,
        command="python generate.py", texts=texts, pairs=second, targets=targets,
        logits=output.logits.tolist(), loss=output.loss.item(),
    )
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


make("bert-pairs", roberta=False, labels=3, pairs=True)
make("roberta", roberta=True, labels=2, pairs=False)
make("bert-regression", roberta=False, labels=1, pairs=False)
