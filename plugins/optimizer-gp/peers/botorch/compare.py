"""Hypervolume, regret and time of the GP optimizer beside BoTorch, botorch-rust, optuna and random search."""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

# One thread each, so that CPU seconds are those of the work.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from scipy.stats import rankdata, wilcoxon

import best
import ours
import problems
import run

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
NAMES = {"ours": "bomf", "botorch": "BoTorch", "botorch-rust": "botorch-rust", "random": "random", "optuna": "optuna GP"}
SIGNIFICANT = 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="simplex, single, time; all unless given")
    parser.add_argument("--options", type=json.loads, default={}, help="options of the optimizer, as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--time-peers", action="store_true", help="time the peers, too: minutes, most of them BoTorch's")
    parser.add_argument("--write", action="store_true", help="write results/table.md")
    arguments = parser.parse_args()
    parts = {"simplex": simplex, "single": single, "time": time_suggestions}
    unknown = set(arguments.parts) - set(parts)
    if unknown:
        parser.error(f"found {', '.join(sorted(unknown))}, expected one of {', '.join(parts)}")
    lines = []
    for name in arguments.parts or parts:
        lines += parts[name](arguments) + [""]
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        with open(os.path.join(RESULTS, "table.md"), "w") as file:
            file.write(f"Made by `cargo xtask peers botorch {' '.join(sys.argv[1:])}`.\n\n" + text)


def recorded(kind, methods):
    """What the peers reached, as `peers.py` recorded it: {(method, problem, seed): run}."""
    runs = {}
    for method in methods:
        runs.update(run.Results(os.path.join(RESULTS, f"{kind}-{method}.jsonl")).runs)
    return runs


def made_fresh(function, choice, arguments):
    """Our runs on every problem and seed."""
    jobs = [(problem, seed, arguments.options) for problem in choice for seed in range(problems.SEEDS)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = list(pool.map(lambda job: function(*job), jobs))
    return {run.Results.key(entry): entry for entry in runs}


def table(header, rows):
    return ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"] + [
        "| " + " | ".join(row) + " |" for row in rows
    ]


def worse(ours_values, theirs):
    """The p of a paired one-sided Wilcoxon test that ours are smaller; 1 if all are equal."""
    if np.array_equal(ours_values, theirs):
        return 1.0
    return float(wilcoxon(ours_values, theirs, alternative="less").pvalue)


def simplex(arguments):
    """Hypervolumes after 75 evaluations, as shares of what there is."""
    methods = ("ours", "botorch", "botorch-rust", "random")
    runs = made_fresh(ours.run_simplex, problems.SIMPLEX, arguments) | recorded("simplex", methods[1:])
    rows, means = [], []
    for problem in problems.SIMPLEX:
        whole = [best.hypervolume(problem, seed) for seed in range(problems.SEEDS)]
        shares = [
            {
                seed: runs[method, problem.name, seed]["hypervolume"] / whole[seed]
                for seed in range(problems.SEEDS)
                if (method, problem.name, seed) in runs
            }
            for method in methods
        ]
        rows.append([problem.name, f"{mean(shares[0].values()):.4f}"] + [beside(shares[0], peer) for peer in shares[1:]])
        means.append([[mean(shares[0][seed] for seed in peer), mean(peer.values())] for peer in shares])
    # Over the problems that a peer has runs of.
    ours_mean, peers_mean = np.nanmean(np.array(means, dtype=float), axis=0).T
    overall = [f"{a:.4f} / {b:.4f}" for a, b in zip(peers_mean[1:], ours_mean[1:])]
    rows.append(["mean", f"{ours_mean[0]:.4f}"] + overall)
    return [
        f"Hypervolume after {problems.EVALUATIONS} evaluations, {problems.MEMBERS} of them the members: mean share of the",
        f"hypervolume of the dense Pareto set (`best.py`), over {problems.SEEDS} seeds. For every peer: its mean / that of bomf on",
        "the same seeds; in brackets how many of these there are, in how many bomf has more, and the p of a paired Wilcoxon",
        "test that bomf has less (from 5 seeds on).",
        "",
    ] + table(["problem"] + [NAMES[method] for method in methods], rows)


def mean(values):
    """Not a number if there are none."""
    values = list(values)
    return np.mean(values) if values else np.nan


def beside(ours_values, theirs):
    """A peer's mean, and how ours compare on the same seeds."""
    if not theirs:
        return "-"
    seeds = sorted(theirs)
    ours_same = [ours_values[seed] for seed in seeds]
    ahead = sum(ours_values[seed] > theirs[seed] for seed in seeds)
    text = f"{mean(theirs.values()):.4f} / {mean(ours_same):.4f} ({len(seeds)}: {ahead}"
    if len(seeds) >= 5:
        text += f", p {worse(ours_same, [theirs[seed] for seed in seeds]):.3f}"
    return text + ")"


def single(arguments):
    """Regrets after 50 evaluations, ranks and tests."""
    methods = ("ours", "botorch", "optuna")
    runs = made_fresh(ours.run_single, problems.SINGLE, arguments) | recorded("single", methods[1:])
    rows, ranks = [], []
    for problem in problems.SINGLE:
        seeds = [s for s in range(problems.SEEDS) if all((m, problem.name, s) in runs for m in methods)]
        regrets = {m: [runs[m, problem.name, s]["regret"] for s in seeds] for m in methods}
        of_problem = np.mean([rankdata([regrets[m][i] for m in methods]) for i in range(len(seeds))], axis=0)
        ranks.append(of_problem)
        row = [problem.name]
        for method, rank in zip(methods, of_problem):
            text = f"{np.median(regrets[method]):.1e} (rank {rank:.1f}"
            if method != "ours":
                text += f", p {worse(-np.array(regrets['ours']), -np.array(regrets[method])):.3f}"
            row.append(text + ")")
        rows.append(row)
    rows.append(["mean rank"] + [f"{rank:.2f}" for rank in np.mean(ranks, axis=0)])
    return [
        f"Simple regret after {problems.SINGLE_EVALUATIONS} evaluations: median over {problems.SEEDS} seeds; in brackets the mean rank and",
        "the p of a paired Wilcoxon test that bomf's regret is larger.",
        "",
    ] + table(["problem"] + [NAMES[method] for method in methods], rows)


# Members, objectives, trials.
SIZES = ((15, 2, 75), (15, 3, 75), (64, 2, 320))


def time_suggestions(arguments):
    """CPU seconds per suggestion on the same points."""
    peers = {"botorch": run.botorch_nehvi, "botorch-rust": run.botorch_rust_nehvi}
    rows = []
    for members, objectives, trials in SIZES:
        points, seen = evaluated(members, objectives, trials)
        row = [f"{members}, {objectives}, {trials}", f"{ours.seconds_per_suggestion(points, seen, arguments.options):.3f}"]
        for name, ask in peers.items():
            if not arguments.time_peers or (name == "botorch" and members > problems.MEMBERS):
                row.append("-")
                continue
            times = []
            for seed in range(2 if name == "botorch" else 3):
                start = run.cpu()
                ask(points, seen, seed)
                times.append(run.cpu() - start)
            row.append(f"{np.min(times):.2f}")
        rows.append(row)
    header = ["members, objectives, trials"] + [NAMES[method] for method in ("ours", *peers)]
    return [
        "CPU seconds per suggestion, fit and acquisition together, on one thread: the median of five for bomf, the least of",
        "three (BoTorch: two) for the peers. The same points for all: members, their average, then random ones.",
        "",
    ] + table(header, rows)


def evaluated(members, objectives, trials):
    """Members, their average and random points, with smooth values."""
    random = np.random.RandomState(6000)
    points = np.concatenate(
        [
            np.eye(members),
            np.full((1, members), 1.0 / members),
            random.dirichlet(np.ones(members), size=trials - members - 1),
        ]
    )
    targets = random.dirichlet(np.ones(members), size=objectives)
    values = np.stack([-((points - target) ** 2).sum(1) for target in targets], 1)
    low, high = values[:members].min(0), values[:members].max(0)
    return points, (values - low) / (high - low)


if __name__ == "__main__":
    main()
