"""The protocol of a bench program: it says when it is warm, times as many runs as each line of its input asks for, and
says at the end what memory it took. `benchmarks/harness/turns.ts` is the other side."""

import json
import os
import sys
import time

# These settings of a machine slow matrix products down; a peer runs at its best.
for setting in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(setting, None)


def threads():
    """Threads that the harness gives every contender."""
    return int(os.environ["BENCH_THREADS"])


def say(**line):
    print(json.dumps(line), flush=True)


def serve(peer, run, warm=2, notes=None):
    """Runs `run` until it is warm (compiled, tuned), then on request. `notes()` is asked at the end."""
    for _ in range(warm - 1):
        run()
    say(ready=True, peer=peer, warm_seconds=timed(run))
    for line in sys.stdin:
        before = time.process_time(), children()
        seconds = [timed(run) for _ in range(int(line))]
        say(seconds=seconds, cpu_seconds=time.process_time() - before[0] + children() - before[1])
    say(peak_mb=peak_bytes() / 1e6, **(notes() if notes else {}))


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def children():
    """CPU seconds of worker processes that are alive, as far as the system tells."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for pid in child_pids():
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
        except OSError:
            pass
    return total


def child_pids():
    try:
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
            return file.read().split()
    except OSError:
        return []


def peak_bytes():
    """Most resident memory of this process; Linux counts kibibytes, macOS bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
