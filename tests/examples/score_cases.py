"""What the comparisons of texts' metrics with other tools share: arguments, our side of a case, speed side by side."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

TOLERANCE = 1e-9
# The tool gets as many pairs as it scores in this time.
SECONDS = 60.0
ROOT, BOMF = os.environ["BOMF_ROOT"], os.environ["BOMF_BIN"]


def arguments(doc, examples):
    """`--quick` is for a machine that checks every change: a part of the examples and no timing."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--examples", type=int, default=examples, help=f"random examples that are compared number by number [{examples}]")
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs whose scoring is timed, at the most [100000]; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a quarter of the examples, no timing")
    found = parser.parse_args()
    if found.quick:
        found.examples, found.pairs = found.examples // 4, 0
    return found


def columns(predictions, references):
    return {"predicted_text": predictions, "reference_text": references}


def ours(plugin, cases):
    """The results of cases {metric, options, columns, threads, repeat}, as score_cases.rs has them."""
    command = ["cargo", "run", "--quiet", "--release", "-p", "bomf-tests", "--example", "score_cases"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"plugin": plugin, **case}) + "\n" for case in cases)
        lines.seek(0)
        output = subprocess.run(command, cwd=ROOT, stdin=lines, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return [json.loads(line) for line in output.stdout.splitlines()]


def expect(found, wanted, what, case):
    if found is None or not abs(found - wanted) <= TOLERANCE * max(1.0, abs(found), abs(wanted)):
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}\n{json.dumps(case)}")


def speed(label, plugin, case, tool, theirs):
    """Prints how fast both are on one thread, and whether our time and memory grow as they should.

    `theirs(columns)` scores with the tool, and returns its score of the first name of ours, and seconds if it counts them itself.
    """

    def first(rows):
        return {name: values[:rows] for name, values in case["columns"].items()}

    def timed(rows):
        start = time.process_time()
        score, seconds = theirs(first(rows))
        return score, time.process_time() - start if seconds is None else seconds

    most = len(case["columns"]["predicted_text"])
    rows = max(100, most // 100)
    while True:
        score, seconds = timed(rows)
        fitting = min(most, int(rows * SECONDS / seconds))
        if rows >= most or fitting < 1.5 * rows:
            break
        rows = fitting
    part, whole, both = ours(plugin, [
        {**case, "columns": first(rows // 10), "repeat": 50},
        {**case, "columns": first(rows), "repeat": 5},
        {**case, "columns": first(rows), "repeat": 5, "threads": 2},
    ])
    if score is not None:
        expect(next(iter(whole["scores"].values())), score, label, {})
    if whole["scores"] != both["scores"]:
        raise SystemExit(f"{label}: two threads found {both['scores']}, one {whole['scores']}")
    print(
        f"{label}: {rows:,} pairs, {tool} {seconds:.2f} s, ours {whole['seconds']:.3f} s, {seconds / whole['seconds']:.0f} times as fast "
        f"(CPU, one thread each); a tenth of them in {part['seconds']:.4f} s, so {whole['seconds'] / part['seconds']:.1f} times the time "
        f"for 10 times the pairs; two threads {whole['wall'] / both['wall']:.2f} times as fast as one (wall); "
        f"memory {memory(case, first(rows)):.1f} times the text",
        flush=True,
    )


def memory(case, table):
    """What `bomf score` needs at its peak more for all rows than for one, over the bytes of their texts."""
    few = {name: values[:1] for name, values in table.items()}
    texts = sum(len(text.encode()) for text in table["predicted_text"]) + sum(len(text.encode()) for row in table["reference_text"] for text in row)
    return (peak_bytes(case, table) - peak_bytes(case, few)) / texts


def peak_bytes(case, table):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        keys = {"predicted_text": "prediction", "reference_text": "references"}
        for row in zip(*table.values(), strict=True):
            file.write(json.dumps({keys.get(name, name): value for name, value in zip(table, row)}, ensure_ascii=False) + "\n")
        file.flush()
        entry = json.dumps({"use": case["metric"], **case["options"]})
        command = [BOMF, "score", entry, "--examples", file.name, "--threads", "1", "--plugins", os.environ["BOMF_PLUGINS_DIR"]]
        # A process begins with the peak of the one that starts it: a small one stands between.
        starter = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
        starter += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        output = subprocess.run([sys.executable, "-c", starter, *command], check=True, stdout=subprocess.PIPE, text=True)
        return int(output.stdout) * 1024
