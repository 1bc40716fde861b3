"""Makes the peers' results that `compare.py` reads: `python peers.py [botorch|botorch-rust|random|single]...`.

Long: BoTorch takes some ten CPU minutes a run. Runs that are recorded already are not made again.
"""

import os
import sys

# One thread each, so that CPU seconds are those of the work.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"

import problems
import run

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def simplex(method, ask, seeds):
    results = run.Results(os.path.join(RESULTS, f"simplex-{method}.jsonl"))
    for seed in range(seeds):
        for problem in problems.SIMPLEX:
            if results.get(method, problem.name, seed) is None:
                results.record(run.run_simplex(method, problem, seed, ask))
                print(method, problem.name, seed, results.get(method, problem.name, seed), flush=True)


def single(method, attempt):
    results = run.Results(os.path.join(RESULTS, f"single-{method}.jsonl"))
    for seed in range(problems.SEEDS):
        for problem in problems.SINGLE:
            if results.get(method, problem.name, seed) is None:
                results.record(attempt(problem, seed))
                print(method, problem.name, seed, results.get(method, problem.name, seed), flush=True)


def main(which):
    if "random" in which:
        simplex("random", run.dirichlet, problems.SEEDS)
    if "single" in which:
        single("optuna", run.run_single_optuna)
        single("botorch", run.run_single_botorch)
    if "botorch-rust" in which:
        simplex("botorch-rust", run.botorch_rust_nehvi, problems.SEEDS)
    if "botorch" in which:
        simplex("botorch", run.botorch_nehvi, 3)


if __name__ == "__main__":
    main(sys.argv[1:] or ["random", "single", "botorch-rust", "botorch"])
