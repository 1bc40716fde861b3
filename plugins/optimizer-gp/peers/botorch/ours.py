"""Our runs on the same problems, by asking and telling `bomf optimize`."""

import glob
import json
import os
import subprocess
import tempfile

import numpy as np

import problems
import run


def command(path):
    """What asks, given a file with space and objectives."""
    return [os.environ["BOMF_BIN"], "optimize", path, "--plugins", os.environ["BOMF_PLUGINS_DIR"]]


class Session:
    """A running optimizer: `ask` returns a point by names, `tell` its values."""

    def __init__(self, space, objectives, seed, budget, options):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        # JSON is YAML.
        json.dump(
            {
                "space": space,
                "objectives": objectives,
                "optimizer": {"use": "gp", **options},
                "budget": budget,
                "seed": seed,
                "threads": 1,
            },
            self.file,
        )
        self.file.flush()
        self.names = [objective["name"] for objective in objectives]
        self.process = subprocess.Popen(
            command(self.file.name), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self):
        line = self.process.stdout.readline()
        message = json.loads(line) if line else {}
        if "ask" not in message:
            raise RuntimeError(f"expected an ask, found {line!r}")
        self.id = message["ask"]["id"]
        return message["ask"]["point"]

    def tell(self, values):
        self.say({"id": self.id, "values": self.named(values)})

    def tell_more(self, point, values):
        """A point that was not asked for."""
        self.say({"point": point, "values": self.named(values)})

    def named(self, values):
        return dict(zip(self.names, (float(value) for value in values)))

    def say(self, tell):
        self.process.stdin.write(json.dumps({"tell": tell}) + "\n")
        self.process.stdin.flush()

    def cpu(self):
        """CPU seconds so far, all threads, to the nanosecond."""
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path) as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        self.file.close()


def simplex_session(members, objectives, seed, budget, options):
    sought = [
        {"name": f"f{i}", "direction": "maximize", "reference": problems.REFERENCE} for i in range(objectives)
    ]
    return Session({"coefficients": {"simplex": members}}, sought, seed, budget, options)


def run_simplex(problem, seed, options):
    """75 evaluations, the members first."""
    observe = problem.instance(seed).observer(seed)
    points = []
    with simplex_session(problems.MEMBERS, problem.objectives, seed, problems.EVALUATIONS, options) as session:
        for _ in range(problems.EVALUATIONS):
            points.append(np.array(session.ask()["coefficients"]))
            seconds = session.cpu()
            session.tell(observe(points[-1]))
    assert np.array_equal(points[: problems.MEMBERS], np.eye(problems.MEMBERS)), "members come first"
    return run.finish_simplex("ours", problem, seed, points, seconds, seconds)


def seconds_per_suggestion(points, seen, options):
    """CPU seconds, the median of five suggestions after these trials."""
    count = 6
    with simplex_session(points.shape[1], seen.shape[1], 1, len(points) + count, options) as session:
        times = []
        for turn in range(count):
            session.ask()
            if turn > 0:
                times.append(session.cpu() - start)
            else:
                for point, values in zip(points[1:], seen[1:]):
                    session.tell_more({"coefficients": point.tolist()}, values)
            start = session.cpu()
            # The first ask is the first member; later values need not be true to be worth as much work.
            session.tell(seen[turn])
        return float(np.median(times))


def axis(kind, rest):
    if kind == "choice":
        return {"choices": list(rest[0])}
    low, high = rest
    return {"low": low, "high": high, **{"float": {}, "log": {"scale": "log"}, "integer": {"integer": True}}[kind]}


def run_single(problem, seed, options):
    """50 evaluations."""
    space = {name: axis(kind, rest) for name, kind, *rest in problem.axes}
    values = []
    sought = [{"name": "value", "direction": "minimize"}]
    with Session(space, sought, seed, problems.SINGLE_EVALUATIONS, options) as session:
        for _ in range(problems.SINGLE_EVALUATIONS):
            values.append(problem.function(session.ask()))
            seconds = session.cpu()
            session.tell([values[-1]])
    return run.finish_single("ours", problem, seed, values, seconds)
