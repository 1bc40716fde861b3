"""Training step, logits, loss and gradients, side by side with PyTorch and transformers: pytorch MODEL_FOLDER [FUSED_FOLDER...]"""

import json
import os
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import torch
import transformers

THREADS, BATCH, ROUNDS = 2, 16, 8
ROOT = os.environ.get("BOMF_ROOT", ".")


def cargo(*arguments, **options):
    output = subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, **options)
    return [line for line in output.stdout.splitlines() if line.startswith(("{", "["))]


def best(work):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def measure(folder, tokens):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0)
    ids = torch.full((BATCH, tokens), 2143)
    inputs = dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.ones(BATCH, dtype=torch.long))

    def step():
        model.train()
        optimizer.zero_grad()
        model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    @torch.no_grad()
    def forward():
        model.eval()
        model(**inputs)

    return best(step), best(forward)


def speed(folder):
    torch.set_num_threads(THREADS)
    ours = [json.loads(line) for line in cargo("bench", "-q", "-p", "model-candle", "--bench", "step", "--", os.path.abspath(folder), str(THREADS))]
    print(f"{BATCH} texts, {THREADS} threads, best of {ROUNDS}, milliseconds; PyTorch {torch.__version__}")
    for row in ours:
        line = f"{row['tokens']:4} tokens, {row['frozen']} layers frozen: step {row['step_ms']:7.1f}, forward {row['forward_ms']:6.1f}"
        if row["frozen"] == 0:
            full = row
            step, forward = measure(folder, row["tokens"])
            line += f"; PyTorch step {step:7.1f} (ours {row['step_ms'] / step:.2f} of it), forward {forward:6.1f} ({row['forward_ms'] / forward:.2f})"
        else:
            line += f"; {row['step_ms'] / full['step_ms']:.2f} of the full step"
        print(line)


def parity(folder):
    words = "a film that is not good nor bad but charming funny dull moving the plot of which nobody will remember".split()
    texts = [" ".join(words[i % 7 : i % 7 + 1 + i % 13]) for i in range(40)]
    labels = [i % 3 % 2 for i in range(40)]
    lines = "\n".join(f"{label}\t{text}" for label, text in zip(labels, texts))
    with tempfile.TemporaryDirectory() as there:
        out = os.path.join(there, "model")
        ours = json.loads(cargo("run", "-q", "--release", "-p", "model-candle", "--example", "peer", "--", os.path.abspath(folder), out, input=lines)[0])
        gradients = safetensors.torch.load_file(os.path.join(out, "gradients.safetensors"))
        os.remove(os.path.join(out, "gradients.safetensors"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
        model, loading = transformers.AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    model.eval()
    result = model(**tokenizer(texts, padding=True, return_tensors="pt"), labels=torch.tensor(labels))
    result.loss.backward()
    logits = result.logits.detach().double()
    log = torch.tensor(ours["probabilities"], dtype=torch.float64).log()
    # Probabilities tell logits up to a constant.
    logits_off = ((log - log.mean(1, keepdim=True)) - (logits - logits.mean(1, keepdim=True))).abs().max().item()
    loss_off = abs(ours["loss"] - result.loss.item())
    # Relative to the greatest element of each tensor. The gradient of the keys' biases is zero but for rounding, which
    # the 1e-6 is for: softmax does not see them.
    named = {name: parameter.grad for name, parameter in model.named_parameters()}
    worst = max(((gradients[name] - named[name]).abs().max() / (named[name].abs().max() + 1e-3)).item() for name in named)
    fine = logits_off <= 1e-4 and loss_off <= 1e-5 and worst <= 1e-3 and set(named) == set(gradients) and not loading["missing_keys"]
    print(f"{folder}: {len(named)} tensors; off by at most: logits {logits_off:.1e} (allowed 1e-4), loss {loss_off:.1e} (1e-5), gradients {worst:.1e} of a tensor's greatest (1e-3): {'fine' if fine else 'NOT FINE'}")
    return fine


if len(sys.argv) < 2:
    sys.exit(__doc__)
speed(sys.argv[1])
sys.exit(0 if all([parity(folder) for folder in sys.argv[1:]]) else 1)
